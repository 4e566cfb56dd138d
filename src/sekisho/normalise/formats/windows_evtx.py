"""The JSON of evtx tools in its usual shape, read fast; anything unusual is left to ``windows_json``."""

from __future__ import annotations

from typing import Any

import msgspec

from sekisho.contract import WindowsEvent
from sekisho.normalise.formats.windows_xml import moment


class _Attributes(msgspec.Struct, gc=False):
    attributes: dict[str, str | int | None] = msgspec.field(name="#attributes", default_factory=dict)


class _System(msgspec.Struct, gc=False, rename="pascal"):
    provider: _Attributes
    event_id: int = msgspec.field(name="EventID")
    time_created: _Attributes
    channel: str
    computer: str
    record_id: int | None = msgspec.field(name="EventRecordID", default=None)
    level: int | None = None
    opcode: int | None = None
    task: int | None = None
    keywords: str | None = None
    execution: _Attributes | None = None
    security: _Attributes | None = None
    correlation: _Attributes | None = None


class _Event(msgspec.Struct, gc=False, rename="pascal"):
    system: _System
    event_data: dict[str, str | int] | None = None
    user_data: msgspec.Raw = msgspec.Raw(b"")
    rendering_info: msgspec.Raw = msgspec.Raw(b"")


class _Whole(msgspec.Struct, gc=False):
    event: _Event = msgspec.field(name="Event")


_decode = msgspec.json.Decoder(_Whole).decode


def _of(element: _Attributes | None, name: str) -> Any:
    return None if element is None else element.attributes.get(name)


def parse(payload: bytes) -> WindowsEvent | None:
    """None if the record is not of the usual shape. Raises ``Unmappable`` if its time is none."""
    try:
        event = _decode(payload).event
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    system = event.system
    time, rest = system.time_created.attributes.get("SystemTime"), event.event_data or {}
    if event.user_data or event.rendering_info or "Data" in rest or not isinstance(time, str):
        return None
    data: dict[str, Any] = rest
    for name, value in data.items():
        if type(value) is not str:
            data[name] = str(value)
    if system.keywords is not None:
        data.setdefault("System.Keywords", system.keywords)
    if system.task is not None:
        data.setdefault("System.Task", str(system.task))
    process = _of(system.execution, "ProcessID")
    sid, activity = _of(system.security, "UserID"), _of(system.correlation, "ActivityID")
    if (
        not isinstance(process, int | None)
        or not isinstance(sid, str | None)
        or not isinstance(activity, str | None)
    ):
        return None
    return WindowsEvent(
        provider=str(system.provider.attributes.get("Name") or ""),
        event_id=system.event_id,
        channel=system.channel,
        computer=system.computer,
        time=moment(time),
        rest=data,
        record_id=system.record_id,
        level=system.level,
        opcode=system.opcode,
        process_id=process,
        user_sid=sid,
        activity_id=activity,
    )
