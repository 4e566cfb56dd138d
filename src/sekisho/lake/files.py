"""Parquet files of the hot tier: written durably, checked cheaply, swept by name."""

from __future__ import annotations

import errno
import os
import re
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sekisho.lake.manifest import Stored
from sekisho.model import Retry
from sekisho.ocsf import EVENT_SCHEMA, EVENT_SCHEMA_VERSION

#: Only names of these forms are ever swept.
PATTERN = re.compile(r"hot-[0-9a-f]{16}-[0-9a-f]{8}\.parquet")
COLD_PATTERN = re.compile(r"cold-\d{8}-[0-9a-f]{8}\.(?:parquet|index|hours)")
#: Where the files of each tier lie, below the lake's folder.
FOLDERS = {"hot": Path("hot"), "cold": Path("cold/data")}

#: Written even when they hold no value: every reader may rely on them.
KEYS = ("time", "class_uid", "event_uid", "source", "journal_offset", "ingested_at")

#: Long and hardly repeated: neither dictionary nor minimum and maximum pay.
WIDE = frozenset({"raw", "unmapped", "message", "process_cmd_line", "process_parent_process_cmd_line"})
_NO_DICTIONARY = WIDE | {"event_uid", "time", "ingested_at", "journal_offset", "metadata_uid"}

_DELTA = frozenset({"time", "ingested_at", "journal_offset"})

ROW_GROUP = 65_536
_MAGIC = b"PAR1"


def field_id(column: str) -> int:
    """Number of a column inside Parquet files: stays the same whatever columns come or go."""
    return zlib.crc32(column.encode()) & 0x7FFF_FFFF


#: The schema of the lake with the Parquet field ids.
SCHEMA: pa.Schema = pa.schema(
    [f.with_metadata({"PARQUET:field_id": str(field_id(f.name))}) for f in EVENT_SCHEMA],
    metadata={"sekisho.schema": str(EVENT_SCHEMA_VERSION)},
)
if len({field_id(name) for name in SCHEMA.names}) != len(SCHEMA.names):
    raise AssertionError("two columns share a Parquet field id; rename the newer one")


def new_name(upto: int) -> str:
    return f"hot-{upto:016x}-{secrets.token_hex(4)}.parquet"


def new_cold_name(day: str) -> str:
    """``day``: eight digits."""
    return f"cold-{day}-{secrets.token_hex(4)}.parquet"


def path_of(folder: Path, file: Stored) -> Path:
    """Where a file of the lake in ``folder`` lies."""
    return folder / FOLDERS[file.tier] / file.name


def held_schema(events: pa.Table) -> pa.Schema:
    """The part of the lake's schema that is worth writing for these events."""
    held = [
        SCHEMA.field(name)
        for name in SCHEMA.names
        if name in KEYS or (name in events.column_names and events[name].null_count < events.num_rows)
    ]
    return pa.schema(held, metadata=SCHEMA.metadata)


@contextmanager
def create(path: Path) -> Iterator[IO[bytes]]:
    """A new file, on the disk (file and folder fsynced) when the block ends, or gone if it fails.

    Raises ``Retry`` when the disk is full.
    """
    try:
        with path.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            path.unlink()
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise Retry(5, f"{path.parent}: the disk is full") from error
        raise


def remove(path: Path) -> None:
    """A cold file with all that lies beside it."""
    for suffix in (".index", ".hours", ".parquet"):
        path.with_suffix(suffix).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def writer(file: IO[bytes], schema: pa.Schema, *, level: int = 3, delta: bool = False) -> Any:
    """A Parquet writer with the lake's options (zstd, statistics on columns that are searched).

    ``delta``: numbers that hardly repeat are stored as differences (pays where rows are sorted)
    """
    names = schema.names
    return pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        compression_level=level,
        column_encoding={name: "DELTA_BINARY_PACKED" for name in names if delta and name in _DELTA} or None,
        use_dictionary=[name for name in names if name not in _NO_DICTIONARY],
        write_statistics=[name for name in names if name not in WIDE],
        write_page_checksum=True,
        store_schema=False,
    )


def write(path: Path, events: pa.Table) -> None:
    """One batch as a file; ``events`` has columns of ``EVENT_SCHEMA`` (missing ones are null)."""
    schema = held_schema(events)
    with create(path) as file, writer(file, schema) as parquet:
        parquet.write_table(shaped(events, schema), row_group_size=ROW_GROUP)


def shaped(events: pa.Table, schema: pa.Schema) -> pa.Table:
    """``events`` with exactly the columns of ``schema``; what is missing is null.

    Raises ``ValueError`` for a column that the lake does not know or that has another type (a bug).
    """
    if events.schema.equals(schema):
        return events
    unknown = [name for name in events.column_names if name not in SCHEMA.names]
    if unknown:
        raise ValueError(f"columns unknown to the lake: {unknown}")
    rows = events.num_rows
    columns = [
        events[field.name] if field.name in events.column_names else pa.nulls(rows, field.type)
        for field in schema
    ]
    table = pa.table(columns, names=schema.names)
    wrong = [
        f"{f.name}: {t} instead of {f.type}"
        for f, t in zip(schema, table.schema.types, strict=True)
        if f.type != t and not _widened(t, f.type)
    ]
    if wrong:
        raise ValueError(f"columns of another type than the lake's: {wrong}")
    return table.cast(schema)


def _widened(old: pa.DataType, new: pa.DataType) -> bool:
    """An older file may hold a narrower whole number."""
    both = pa.types.is_signed_integer(old) and pa.types.is_signed_integer(new)
    return bool(both and old.bit_width < new.bit_width)


def describe(name: str, path: Path, events: pa.Table, last_commit: int) -> Stored:
    """The manifest row of a file just written."""
    time = pc.min_max(events["time"].cast(pa.int64()))
    offset = pc.min_max(events["journal_offset"])
    return Stored(
        id=0,
        name=name,
        tier="hot",
        level=0,
        rows=events.num_rows,
        bytes=path.stat().st_size,
        time_min=time["min"].as_py(),
        time_max=time["max"].as_py(),
        offset_min=offset["min"].as_py(),
        offset_max=offset["max"].as_py(),
        timeless=pc.sum(pc.equal(events["time"], events["ingested_at"])).as_py() or 0,
        sources=tuple(sorted(pc.unique(events["source"]).to_pylist())),
        schema_version=EVENT_SCHEMA_VERSION,
        last_commit=last_commit,
        replaced_at=None,
    )


def fault(path: Path, size: int) -> str | None:
    """What is wrong with a file, by its length and both ends (cheap); None if nothing."""
    try:
        with path.open("rb") as file:
            held = file.seek(0, os.SEEK_END)
            if held != size:
                return f"{held} bytes long instead of {size}"
            file.seek(0)
            head = file.read(4)
            file.seek(-4, os.SEEK_END)
            if head != _MAGIC or file.read(4) != _MAGIC:
                return "not a Parquet file any more"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"not readable: {error.strerror}"
    return None


def deep_fault(path: Path) -> str | None:
    """What is wrong inside a file: every page is read and its checksum compared; None if nothing."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            for number in range(parquet.num_row_groups):
                parquet.read_row_group(number)
    except pa.ArrowMemoryError:
        raise
    except (OSError, pa.ArrowException) as error:
        return f"not readable: {error}"
    return None


def uids_of(path: Path, span: tuple[int, int] | None, among: set[int] | None = None) -> pa.ChunkedArray:
    """Ids in a file; with ``span`` (µs since 1970 UTC, inclusive) only of row groups that reach into it.

    ``among``  look into these row groups only; None = all
    """
    with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
        groups = [n for n in range(parquet.num_row_groups) if reaches(parquet.metadata.row_group(n), span)]
        groups = [n for n in groups if among is None or n in among]
        return parquet.read_row_groups(groups, columns=["event_uid"])["event_uid"]


def reaches(group: Any, span: tuple[int, int] | None) -> bool:
    """Whether a row group (Parquet metadata) can hold times in ``span`` (µs since 1970 UTC, inclusive)."""
    if span is None:
        return True
    held = group.column(0)
    assert held.path_in_schema == "time"
    statistics = held.statistics
    if statistics is None or not statistics.has_min_max:
        return True
    low, high = (int(value.timestamp() * 1_000_000) for value in (statistics.min, statistics.max))
    return low - 1 <= span[1] and span[0] <= high + 1
