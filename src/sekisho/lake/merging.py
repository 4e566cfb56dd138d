"""Joining many small files into a bigger one. The rows stay the same; only the files change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sekisho.lake import files
from sekisho.lake.manifest import Stored

#: A merged file does not grow beyond this; one of half the size is full and left alone.
LARGEST = 1 << 21
#: Bytes of rows in memory before a row group is written.
GROUP_BYTES = 64 << 20


class Unreadable(Exception):  # noqa: N818 - like model.Refused, a fact
    """``file`` cannot be joined because it cannot be read."""

    def __init__(self, file: Stored, why: str) -> None:
        super().__init__(f"{file.name}: {why}")
        self.file = file
        self.why = why


def choose(stored: list[Stored], enough: int) -> list[Stored]:
    """The oldest ``enough`` neighbours of one level that together fit in one file, or nothing."""
    levels: dict[int, list[Stored]] = {}
    for file in stored:
        if file.rows * 2 < LARGEST:
            levels.setdefault(file.level, []).append(file)
    for level in sorted(levels):
        waiting = sorted(levels[level], key=lambda file: file.offset_min)
        if len(waiting) >= enough:
            group = _fitting(waiting[:enough])
            if len(group) > 1:
                return group
    return []


def _fitting(waiting: list[Stored]) -> list[Stored]:
    rows = 0
    for count, file in enumerate(waiting):
        rows += file.rows
        if rows > LARGEST:
            return waiting[:count]
    return waiting


def join(folder: Path, group: list[Stored], name: str) -> Stored:
    """Write the rows of ``group`` as file ``name``, each row group in order of time. Memory stays small.

    Raises ``Unreadable`` if one of them is damaged; then nothing is written.
    """
    path = folder / name
    held: set[str] = set()
    for file in group:
        with _reading(file):
            held.update(pq.read_schema(folder / file.name).names)
    schema = pa.schema([f for f in files.SCHEMA if f.name in held], metadata=files.SCHEMA.metadata)
    with files.create(path) as out, files.writer(out, schema) as parquet:
        for rows in _row_groups(folder, group, schema):
            parquet.write_table(rows.sort_by("time"), row_group_size=files.ROW_GROUP)
    return group[-1]._replace(
        name=name,
        level=max(file.level for file in group) + 1,
        rows=sum(file.rows for file in group),
        bytes=path.stat().st_size,
        time_min=min(file.time_min for file in group),
        time_max=max(file.time_max for file in group),
        offset_min=min(file.offset_min for file in group),
        offset_max=max(file.offset_max for file in group),
        timeless=sum(file.timeless for file in group),
        sources=tuple(sorted({source for file in group for source in file.sources})),
        schema_version=max(file.schema_version for file in group),
        last_commit=max(file.last_commit for file in group),
    )


@contextmanager
def _reading(file: Stored) -> Iterator[None]:
    """A fault of this file, as distinct from one of the file that is written, or of the machine's memory."""
    try:
        yield
    except pa.ArrowMemoryError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise Unreadable(file, f"not readable: {error}") from error


def _parts(folder: Path, file: Stored, schema: pa.Schema) -> Iterator[pa.Table]:
    with _reading(file):
        parquet = pq.ParquetFile(folder / file.name, page_checksum_verification=True)
    with parquet:
        for number in range(parquet.num_row_groups):
            with _reading(file):
                part = parquet.read_row_group(number)
            yield files.shaped(part, schema)


def _row_groups(folder: Path, group: list[Stored], schema: pa.Schema) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    rows = size = 0
    for file in group:
        for part in _parts(folder, file, schema):
            waiting.append(part)
            rows += part.num_rows
            size += part.nbytes
            if rows >= files.ROW_GROUP or size >= GROUP_BYTES:
                yield pa.concat_tables(waiting)
                waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.concat_tables(waiting)
