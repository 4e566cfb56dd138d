"""Winlogbeat's JSON in its usual shape, read fast; anything unusual is left to ``windows_json``."""

from __future__ import annotations

from datetime import datetime

import msgspec

from sekisho.contract import WindowsEvent


class _Process(msgspec.Struct, gc=False):
    pid: int | None = None


class _User(msgspec.Struct, gc=False):
    identifier: str | None = None


class _Winlog(msgspec.Struct, gc=False):
    event_id: int | str
    provider_name: str
    channel: str
    computer_name: str
    event_data: dict[str, str]
    record_id: int | None = None
    process: _Process | None = None
    user: _User | None = None
    activity_id: str | None = None
    user_data: msgspec.Raw = msgspec.Raw(b"")


class _Log(msgspec.Struct, gc=False):
    level: str | None = None


class _Beat(msgspec.Struct, gc=False):
    timestamp: str = msgspec.field(name="@timestamp")
    winlog: _Winlog
    log: _Log | None = None
    message: str | None = None


_decode = msgspec.json.Decoder(_Beat).decode
_LEVELS = {"critical": 1, "error": 2, "warning": 3, "information": 4, "verbose": 5}


def parse(payload: bytes) -> WindowsEvent | None:
    """None if the record is not of the usual shape."""
    try:
        beat = _decode(payload)
        time = datetime.fromisoformat(beat.timestamp)
        event_id = int(beat.winlog.event_id)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    winlog, level = beat.winlog, beat.log.level if beat.log else None
    if time.tzinfo is None or winlog.user_data or not winlog.computer_name:
        return None
    if level is not None and level not in _LEVELS:
        return None
    return WindowsEvent(
        provider=winlog.provider_name,
        event_id=event_id,
        channel=winlog.channel,
        computer=winlog.computer_name,
        time=time,
        rest=winlog.event_data,
        record_id=winlog.record_id,
        level=None if level is None else _LEVELS[level],
        process_id=winlog.process.pid if winlog.process else None,
        user_sid=winlog.user.identifier or None if winlog.user else None,
        activity_id=winlog.activity_id or None,
        message=beat.message or None,
    )
