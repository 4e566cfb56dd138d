"""One cold file out of rows of a day: sorted, with its index and its counts by hour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sekisho.lake import files
from sekisho.lake.cold import cube, index, sorting
from sekisho.lake.manifest import Stored
from sekisho.lake.merging import Unreadable
from sekisho.ocsf import EVENT_SCHEMA_VERSION

#: Rows of a row group: what is read in vain or for one row (decision 0031 has the measurement).
ROW_GROUP = 16_384
#: zstd level of cold files (decision 0030 has the measurement).
LEVEL = 6
DAY = 86_400_000_000  # µs


class Input(NamedTuple):
    """A file whose rows are taken over, wholly or those of some days only."""

    file: Stored
    path: Path


class Window(NamedTuple):
    """low <= time < high, µs since 1970 UTC."""

    low: int
    high: int


class Held(NamedTuple):
    """``names`` of columns that hold something; ``rows`` in the window; ``row_bytes`` of memory each."""

    names: list[str]
    rows: int
    row_bytes: float


def tables(
    inputs: Sequence[Input], window: Window, columns: Sequence[str] | None, schema: pa.Schema
) -> Iterator[pa.Table]:
    """Rows in the window with the columns of ``schema`` (or ``columns`` of it). Raises ``Unreadable``."""
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    for one in inputs:
        if one.file.time_min >= window.high or one.file.time_max < window.low:
            continue
        try:
            with pq.ParquetFile(one.path, page_checksum_verification=True) as parquet:
                yield from _of_file(parquet, window, wanted)
        except pa.ArrowMemoryError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise Unreadable(one.file, f"not readable: {error}") from error


def _of_file(parquet: pq.ParquetFile, window: Window, wanted: pa.Schema) -> Iterator[pa.Table]:
    names = [name for name in parquet.schema_arrow.names if name in wanted.names]
    for number in range(parquet.num_row_groups):
        if not files.reaches(parquet.metadata.row_group(number), (window.low, window.high - 1)):
            continue
        part = parquet.read_row_group(number, columns=[*names, "time"] if "time" not in names else names)
        time = part["time"].cast(pa.int64())
        inside = pc.and_(pc.greater_equal(time, window.low), pc.less(time, window.high))
        if not pc.all(inside).as_py():
            part = part.filter(inside)
        if part.num_rows:
            yield files.shaped(part.select(names), wanted)


def look(inputs: Sequence[Input], window: Window) -> Held:
    """What there is in the window. Raises ``Unreadable``."""
    names: set[str] = set()
    size = rows = 0
    for one in inputs:
        try:
            metadata = pq.read_metadata(one.path)
            names.update(metadata.schema.to_arrow_schema().names)
        except (OSError, pa.ArrowException) as error:
            raise Unreadable(one.file, f"not readable: {error}") from error
        size += sum(metadata.row_group(n).total_byte_size for n in range(metadata.num_row_groups))
        rows += metadata.num_rows
    schema = pa.schema(
        [field for field in files.SCHEMA if field.name in names], metadata=files.SCHEMA.metadata
    )
    inside = sum(table.num_rows for table in tables(inputs, window, ["time"], schema))
    return Held(schema.names, inside, 1.5 * size / max(1, rows) + 8 * len(schema.names))


def write(inputs: Sequence[Input], window: Window, held: Held, path: Path, scratch: Path) -> Stored:
    """Write file, index and counts; all durable at return. The caller sets ``id`` and ``last_commit``.

    Raises ``Unreadable`` for a damaged input, ``Retry`` when the disk is full; then nothing is left.
    """
    schema = pa.schema([files.SCHEMA.field(name) for name in held.names], metadata=files.SCHEMA.metadata)

    def rows(columns: Sequence[str] | None) -> Iterable[pa.Table]:
        return tables(inputs, window, columns, schema)

    ordered = sorting.in_order(rows, held.names, held.rows, held.row_bytes, scratch)
    hours = cube.Cube()
    facts = Facts()
    try:
        with files.create(path) as out, files.create(path.with_suffix(index.SUFFIX)) as beside:
            keys = index.Writer(beside)
            with files.writer(out, schema, level=LEVEL, delta=True) as parquet:
                for group in _groups(ordered):
                    parquet.write_table(group, row_group_size=ROW_GROUP)
                    keys.add(group)
                    hours.add(group)
                    facts.add(group)
            keys.finish()
        hours.write(path.with_suffix(cube.SUFFIX))
    except BaseException:
        files.remove(path)
        raise
    return facts.stored(path)


def _groups(ordered: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in row groups of the size of a cold file's."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in ordered:
        waiting.append(table)
        rows += table.num_rows
        if rows < ROW_GROUP:
            continue
        joined = pa.concat_tables(waiting)
        whole = rows // ROW_GROUP * ROW_GROUP
        for at in range(0, whole, ROW_GROUP):
            yield joined.slice(at, ROW_GROUP).combine_chunks()
        rest = joined.slice(whole)
        waiting, rows = [rest.combine_chunks()] if rest.num_rows else [], rest.num_rows
    if rows:
        yield pa.concat_tables(waiting).combine_chunks()


class Facts:
    """What the manifest says of a file, added up row group by row group."""

    def __init__(self) -> None:
        self.rows = self.timeless = 0
        self.times: list[int] = []
        self.offsets: list[int] = []
        self.sources: set[str] = set()

    def add(self, rows: pa.Table) -> None:
        time = pc.min_max(rows["time"].cast(pa.int64()))
        offset = pc.min_max(rows["journal_offset"])
        self.times += [time["min"].as_py(), time["max"].as_py()]
        self.offsets += [offset["min"].as_py(), offset["max"].as_py()]
        self.rows += rows.num_rows
        self.timeless += pc.sum(pc.equal(rows["time"], rows["ingested_at"])).as_py() or 0
        self.sources.update(pc.unique(rows["source"]).to_pylist())

    def stored(self, path: Path) -> Stored:
        return Stored(
            id=0,
            name=path.name,
            tier="cold",
            level=0,
            rows=self.rows,
            bytes=path.stat().st_size,
            time_min=min(self.times),
            time_max=max(self.times),
            offset_min=min(self.offsets),
            offset_max=max(self.offsets),
            timeless=self.timeless,
            sources=tuple(sorted(self.sources)),
            schema_version=EVENT_SCHEMA_VERSION,
            last_commit=0,
            replaced_at=None,
        )
