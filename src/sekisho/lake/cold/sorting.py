"""Sorting more events than fit in memory: runs are split by key ranges into files, each sorted by itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

#: Bytes of rows that are sorted at once; about three times as much is in memory then.
PART_BYTES = 64 << 20
#: Rows looked at to find the ranges, at most.
_SAMPLE = 100_000
_MOST_PARTS = 256

#: Whom or what a row is about: the first of these that is recorded.
WHO = ("account", "actor_account", "user_name", "src_endpoint_ip", "device_hostname")
_KEYS = [("source", "ascending"), ("who", "ascending"), ("time", "ascending")]

#: Gives the rows to be sorted, in tables of moderate size; called twice.
Rows = Callable[[Sequence[str] | None], Iterable[pa.Table]]


def keys_of(rows: pa.Table) -> pa.Table:
    """What a cold file is sorted by: source, who it is about, time."""
    held = [rows[name] for name in WHO if name in rows.column_names]
    who = pc.coalesce(*held, pa.scalar("")) if held else pa.array([""] * rows.num_rows)
    return pa.table([rows["source"], who, rows["time"]], names=["source", "who", "time"])


def key_columns(names: Iterable[str]) -> list[str]:
    """The columns that ``keys_of`` reads, of those that there are."""
    return [name for name in names if name in {"source", "time", *WHO}]


def in_order(
    rows: Rows, names: Sequence[str], count: int, row_bytes: float, scratch: Path
) -> Iterator[pa.Table]:
    """All rows in order, in tables of at most about ``PART_BYTES``.

    ``names``      columns there are
    ``count``      how many rows there are; ``row_bytes`` of about so many bytes each
    ``scratch``    a folder for what does not fit in memory; it is made and removed here
    """
    parts = min(_MOST_PARTS, int(count * row_bytes / PART_BYTES) + 1)
    if parts == 1:
        tables = list(rows(None))
        if tables:
            yield _sorted(pa.concat_tables(tables))
        return
    edges = _edges(rows(key_columns(names)), count, parts)
    scratch.mkdir(mode=0o700, parents=True)
    try:
        _split(rows(None), edges, scratch)
        for number in range(edges.num_rows + 1):
            path = scratch / f"{number}.arrow"
            if path.exists():
                with pa.OSFile(str(path)) as file:
                    yield _sorted(pa.ipc.open_stream(file).read_all())
                path.unlink()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _sorted(rows: pa.Table) -> pa.Table:
    return rows.take(pc.sort_indices(keys_of(rows), sort_keys=_KEYS))


def _edges(rows: Iterable[pa.Table], count: int, parts: int) -> pa.Table:
    """Keys that cut the rows into ``parts`` of about equal size."""
    step = max(1, count // _SAMPLE)
    sample = pa.concat_tables(
        [
            keys_of(table).take(pa.array(np.arange(0, table.num_rows, step)))
            for table in rows
            if table.num_rows
        ]
    )
    sample = sample.sort_by(_KEYS)
    return sample.take(pa.array([sample.num_rows * n // parts for n in range(1, parts)]))


def _split(rows: Iterable[pa.Table], edges: pa.Table, scratch: Path) -> None:
    with _files(scratch) as write:
        for table in rows:
            keys = pa.concat_tables([edges.cast(keys_of(table).schema), keys_of(table)])
            # equal keys keep their order (the sort is stable): an edge comes before rows equal to it
            order = pc.sort_indices(keys, sort_keys=_KEYS).to_numpy()
            at = np.flatnonzero(order < edges.num_rows)
            ordered = table.take(pa.array(order[order >= edges.num_rows] - edges.num_rows))
            cuts = [0, *(at - np.arange(len(at))).tolist(), table.num_rows]
            for number in range(len(cuts) - 1):
                if cuts[number + 1] > cuts[number]:
                    write(number, ordered.slice(cuts[number], cuts[number + 1] - cuts[number]))


@contextmanager
def _files(scratch: Path) -> Iterator[Callable[[int, pa.Table], None]]:
    """Files of the parts, opened when first written to."""
    sinks: dict[int, tuple[Any, Any]] = {}

    def write(number: int, table: pa.Table) -> None:
        if number not in sinks:
            file = pa.OSFile(str(scratch / f"{number}.arrow"), "wb")
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            sinks[number] = (file, pa.ipc.new_stream(file, table.schema, options=options))
        sinks[number][1].write_table(table.combine_chunks())

    try:
        yield write
    finally:
        for file, stream in sinks.values():
            stream.close()
            file.close()
