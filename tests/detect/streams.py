"""Streams of events over weeks, for tests of absence: a few words become thousands of stored rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from sekisho.lake import Lake
from sekisho.model import Offset
from sekisho.ocsf import EVENT_SCHEMA
from sekisho.settings import Lake as LakeSettings

ZONE = ZoneInfo("Asia/Tokyo")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_OWN = {"every", "from", "to", "days", "hours", "delay", "sequence", "skip", "times", "except"}


def seconds(text: str) -> float:
    return float(text[:-1]) * _UNITS[text[-1]]


def at(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=ZONE)


def _inside(stream: Mapping[str, Any], moment: datetime) -> bool:
    local = moment.astimezone(ZONE)
    if "days" in stream and local.weekday() not in stream["days"]:
        return False
    if "hours" in stream and not stream["hours"][0] <= local.hour < stream["hours"][1]:
        return False
    return not any(at(low) <= moment < at(high) for low, high in stream.get("except", ()))


def expand(stream: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row for each event. ``every`` from ``from`` until before ``to``, on ``days`` (0 = Monday), in
    ``hours``, not in
    ``except``; ``delay`` to the receipt (default 2s); ``sequence``: the first record number, of which those
    of ``skip`` ([low, high] pairs) are left out."""
    columns = {name: value for name, value in stream.items() if name not in _OWN}
    rows = []
    moment, end = at(stream["from"]), at(stream["to"])
    step = timedelta(seconds=seconds(stream["every"]))
    number = stream.get("sequence")
    while moment < end:
        if _inside(stream, moment):
            row = {"receiver": "hec", "class_uid": 0, "activity_id": 0, **columns, "time": moment}
            row["ingested_at"] = moment + timedelta(seconds=seconds(stream.get("delay", "2s")))
            if number is not None:
                row["metadata_sequence"] = number
                number += 1
            left_out = stream.get("skip", ())
            if number is None or not any(a <= row["metadata_sequence"] <= b for a, b in left_out):
                rows.append(row)
        moment += step
    return rows


def rows_of(streams: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All rows in order of receipt, each with its ``event_uid``."""
    rows = [row for stream in streams for row in expand(stream)]
    for row in rows:
        stem = "|".join(f"{k}={row[k]}" for k in sorted(row))
        row["event_uid"] = hashlib.sha256(stem.encode()).hexdigest()[:32]
    return sorted(rows, key=lambda row: (row["ingested_at"], row["event_uid"]))


def table(rows: list[dict[str, Any]], frame: int) -> pa.Table:
    """As the lake stores them, as records of one frame of the journal."""
    held = {name for row in rows for name in row}
    unknown = held - set(EVENT_SCHEMA.names)
    assert not unknown, f"no such columns: {sorted(unknown)}"
    offsets = [Offset(frame, index).packed for index in range(len(rows))]
    arrays = []
    for field in EVENT_SCHEMA:
        if field.name == "journal_offset":
            arrays.append(pa.array(offsets, pa.int64()))
        elif field.name in held:
            arrays.append(pa.array([_value(row.get(field.name), field.type) for row in rows], field.type))
        else:
            arrays.append(pa.nulls(len(rows), field.type))
    return pa.Table.from_arrays(arrays, schema=EVENT_SCHEMA)


def _value(value: Any, kind: pa.DataType) -> Any:
    if pa.types.is_timestamp(kind):
        moment = at(value) if isinstance(value, str) else value
        return None if moment is None else moment.astimezone(UTC)
    return value


def store(folder: Path, rows: list[dict[str, Any]], *, batch: int = 20_000, frame: int = 0) -> int:
    """Commit them in batches of frames from ``frame`` on; the next free frame."""
    folder.mkdir(parents=True, exist_ok=True)
    with Lake(folder, LakeSettings(), now=lambda: datetime(2026, 6, 1, tzinfo=UTC)) as lake:
        for start in range(0, len(rows), batch):
            lake.commit(table(rows[start : start + batch], frame), frame)
            frame += 1
    return frame
