"""Counts and digests by which a copy is compared with the original."""

from __future__ import annotations

import hashlib
import mmap
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sekisho.journal import format as fmt
from sekisho.journal.writer import segments
from sekisho.keeping.backup.description import Tables
from sekisho.lake import manifest, reader
from sekisho.lake.engines import Engine
from sekisho.model import RECORDS_PER_FRAME

_NO = Tables({}, {})


def lake(
    folder: Path, engine: Engine, since_us: int, upto: int | None = None
) -> tuple[int | None, Tables, Tables]:
    """(last frame, all events, events received since ``since_us``); ``upto``: only of frames up to this one.

    The digest is an XOR, so the order of rows and files does not matter. Raises ``FileUnreadable``.
    """
    if not (folder / manifest.FILE).exists():
        return None, _NO, _NO
    snapshot = reader.snapshot(folder)
    last = snapshot.offset if upto is None else upto
    if not snapshot.files or last is None:
        return snapshot.offset, _NO, _NO
    digest = "bit_xor(md5_number_lower(event_uid || ':' || journal_offset))"
    recent = "FILTER (ingested_at >= make_timestamptz(?::BIGINT))"
    table = engine.select(
        snapshot.paths(snapshot.files),
        f"SELECT source, count(*) AS n, CAST({digest} AS VARCHAR) AS x, count(*) {recent} AS rn,"  # noqa: S608
        f" CAST({digest} {recent} AS VARCHAR) AS rx FROM events WHERE journal_offset < ? GROUP BY source",
        (since_us, since_us, (last + 1) * RECORDS_PER_FRAME),
    )
    rows = table.to_pylist()
    everything = Tables({r["source"]: r["n"] for r in rows}, {r["source"]: r["x"] for r in rows})
    some = [r for r in rows if r["rn"]]
    return (
        snapshot.offset,
        everything,
        Tables({r["source"]: r["rn"] for r in some}, {r["source"]: r["rx"] for r in some}),
    )


def damaged(folder: Path) -> list[str]:
    """Files that the lake names and that are missing or not readable."""
    there = (folder / manifest.FILE).exists()
    return [str(damage) for damage in reader.snapshot(folder).damaged] if there else []


def console(path: Path) -> tuple[dict[str, int], str]:
    """Rows by table, and a digest over the alerts; of a database that is not in use."""
    if not path.exists():
        return {}, ""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        names = [
            str(name)
            for (name,) in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
                " ORDER BY name"
            )
        ]
        rows = {name: _count(database, name) for name in names}
        if "alerts_alert" not in names:
            return rows, ""
        hashed = hashlib.sha256()
        query = "SELECT uid, state FROM alerts_alert ORDER BY uid"
        for uid, state in database.execute(query):
            hashed.update(f"{uid} {state}\n".encode())
        return rows, hashed.hexdigest()


def _count(database: sqlite3.Connection, table: str) -> int:
    name = table.replace('"', '""')
    found: Any = database.execute(f'SELECT count(*) FROM "{name}"').fetchone()  # noqa: S608 - quoted
    return int(found[0])


def journal_faults(folder: Path) -> list[str]:
    """Frames that are not whole, by segment: every frame's checksum is compared."""
    faults = [(path.name, _segment_fault(path)) for path in segments(folder)]
    return [f"{name}: {fault}" for name, fault in faults if fault]


def _segment_fault(path: Path) -> str:
    if not path.stat().st_size:
        return "empty"
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        view = memoryview(data)
        try:
            return _walk_fault(view, int(path.stem))
        finally:
            view.release()


def _walk_fault(view: memoryview, number: int) -> str:
    position = fmt.SEGMENT_HEADER.size
    while position < len(view):
        rest = view[position:]
        try:
            header = fmt.read_header(rest)
            fmt.check(rest, header)
        except fmt.Broken as broken:
            return f"position {position}: {broken.why}"
        finally:
            rest.release()
        if header.number != number:
            return f"position {position}: frame {header.number} stands where {number} should"
        number += 1
        position += header.size
    return ""
