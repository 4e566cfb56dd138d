"""Windows events as JSON.

* evtx tools: ``{"Event": {"System": {...}, "EventData": {...}}}``, attributes under ``#attributes``,
  ``@attributes`` or ``NAME_attributes``; ``SystemTime`` is UTC;
* Winlogbeat 7 and 8: ``{"@timestamp": ..., "winlog": {...}}``; ``@timestamp`` is the event's own time;
* flat: NXLog, Azure tables, ``Get-WinEvent | ConvertTo-Json`` and their relatives.

Time of a flat record: the first of ``TimeCreated``, ``EventTime``, ``TimeGenerated``, ``@timestamp``,
``timestamp``, ``EventReceivedTime`` that states its offset. NXLog writes ``EventTime`` in the local time of
the sender without saying which, so it is never guessed: where no field has an offset, Sysmon's ``UtcTime``
(UTC by its documentation) stands, else the time of the wrapping, else the
zone that a person states for the frame, else the record is refused (``no-zone``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from sekisho.contract import Hints, Unmappable, WindowsEvent
from sekisho.normalise.formats import windows_xml
from sekisho.normalise.formats.windows_xml import moment, number

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_TIMES = ("TimeCreated", "EventTime", "TimeGenerated", "@timestamp", "timestamp", "EventReceivedTime")
_LEVELS = {
    "critical": 1, "error": 2, "warning": 3, "information": 4, "info": 4, "audit_success": 0,
    "audit_failure": 0, "verbose": 5, "debug": 5,
}  # fmt: skip


def as_text(value: Any) -> str:
    """The value in the notation of event XML: numbers in decimal, lists and objects as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else _encode(value).decode()


def _texts(data: dict[str, Any]) -> dict[str, str]:
    """The same dictionary; every value that is not text is replaced by its text."""
    for name, value in data.items():
        if type(value) is not str:
            data[name] = as_text(value)
    return data


def _whole(value: Any, name: str) -> int | None:
    if value is None or type(value) is int:
        return value
    return number(as_text(value), name)


def _optional(value: Any, name: str, rest: dict[str, Any]) -> int | None:
    """A number that an event need not have; what is none is left in ``rest``."""
    try:
        return _whole(value, name)
    except Unmappable:
        rest.setdefault(name, as_text(value))
        return None


def _stated(value: Any) -> datetime | None:
    """The time in ``value`` if it states its offset."""
    if type(value) is not str:
        return None
    if value.startswith("/Date(") and value.endswith(")/"):
        digits = value[6:-2]
        if digits.lstrip("-").isdigit() and len(digits) < 15:
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(digits))
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return time if time.tzinfo is not None else None


def _flat_time(data: dict[str, Any], hints: Hints) -> datetime:
    for name in _TIMES:
        if (value := data.get(name)) is not None and (time := _stated(value)) is not None:
            del data[name]
            return time
    if isinstance(value := data.get("UtcTime"), str) and "Sysmon" in str(
        data.get("SourceName") or data.get("Channel")
    ):
        return moment(value)
    if hints.time is not None:
        return hints.time
    if (local := _local(data)) is not None:
        return local
    shown = {name: data[name] for name in _TIMES if name in data}
    raise Unmappable(
        "no-zone", f"no time with an offset from UTC in this event (found {as_text(shown)[:200]})"
    )


def _local(data: dict[str, Any]) -> datetime | None:
    """A time without offset: it counts only if a person states the zone (frame attribute ``zone``)."""
    for name in ("TimeCreated", "EventTime"):
        if isinstance(value := data.get(name), str):
            try:
                return datetime.fromisoformat(value)
            except ValueError:
                continue
    return None


def _first(data: dict[str, Any], *names: str) -> Any:
    for name in names:
        if (value := data.get(name)) is not None and value != "":
            del data[name]
            return value
    return None


def _level(value: Any, rest: dict[str, Any]) -> int | None:
    if type(value) is str and not value.isdigit():
        return _LEVELS.get(value.lower())
    return _optional(value, "Level", rest)


def _unfold(data: dict[str, Any]) -> None:
    """Bring a nested ``EventData`` (object, JSON text or XML text) to the top."""
    inner = data.get("EventData")
    if isinstance(inner, str) and inner.lstrip()[:1] == "<":
        inner = windows_xml.event_data_text(inner.strip())
    elif isinstance(inner, str) and inner.lstrip()[:1] == "{":
        try:
            inner = _decode(inner)
        except (msgspec.DecodeError, RecursionError):
            return
    if isinstance(inner, dict):
        del data["EventData"]
        for name, value in inner.items():
            data.setdefault(name, value)


def _flat(data: dict[str, Any], hints: Hints) -> WindowsEvent:
    time = _flat_time(data, hints)
    if "EventData" in data:
        _unfold(data)
    event_id = _whole(_first(data, "EventID", "EventId", "event_id", "Id"), "EventID")
    if event_id is None:
        raise Unmappable("wrong-shape", "no EventID in this event")
    pop = data.pop
    return WindowsEvent(
        provider=as_text(
            pop("SourceName", None) or _first(data, "Provider", "EventSourceName", "ProviderName", "Source")
        ),
        event_id=event_id,
        channel=as_text(pop("Channel", None) or _first(data, "EventLog", "LogName", "log_name")),
        computer=as_text(
            pop("Hostname", None) or _first(data, "Computer", "MachineName", "host") or hints.host
        ),
        time=time,
        record_id=_optional(
            pop("RecordNumber", None) or _first(data, "EventRecordID", "RecordId"), "RecordNumber", data
        ),
        level=_level(pop("Level", None) or _first(data, "EventLevel", "Severity"), data),
        opcode=_optional(pop("OpcodeValue", None), "OpcodeValue", data),
        process_id=_optional(pop("ExecutionProcessID", None), "ExecutionProcessID", data),
        user_sid=pop("UserID", None) if type(data.get("UserID")) is str else None,
        activity_id=pop("ActivityID", None) if type(data.get("ActivityID")) is str else None,
        message=pop("Message", None) if type(data.get("Message")) is str else None,
        rest=_texts(data),
    )


def _winlogbeat(data: dict[str, Any], hints: Hints) -> WindowsEvent:
    log = data["winlog"]
    if not isinstance(log, dict):
        raise Unmappable("wrong-shape", f"winlog: an object was expected, not {type(log).__name__}")
    time = _stated(data.get("@timestamp")) or hints.time
    event_id = _whole(log.get("event_id"), "winlog.event_id")
    if time is None or event_id is None:
        raise Unmappable("wrong-shape", "a Winlogbeat event needs @timestamp and winlog.event_id")
    rest: dict[str, Any] = {}
    for name in ("event_data", "user_data"):
        if isinstance(part := log.get(name), dict):
            rest.update(part)
    host, process, user = data.get("host"), log.get("process"), log.get("user")
    computer = log.get("computer_name") or (host.get("name") if isinstance(host, dict) else None)
    return WindowsEvent(
        provider=as_text(log.get("provider_name")),
        event_id=event_id,
        channel=as_text(log.get("channel")),
        computer=as_text(computer),
        time=time,
        rest=_texts(rest),
        record_id=_optional(log.get("record_id"), "winlog.record_id", rest),
        level=_beat_level(data.get("log")),
        opcode=None,
        process_id=_optional(process.get("pid"), "winlog.process.pid", rest)
        if isinstance(process, dict)
        else None,
        user_sid=as_text(user.get("identifier")) or None if isinstance(user, dict) else None,
        activity_id=as_text(log.get("activity_id")) or None,
        message=as_text(data.get("message")) or None,
    )


def _beat_level(log: Any) -> int | None:
    level = log.get("level") if isinstance(log, dict) else None
    return _LEVELS.get(level.lower()) if isinstance(level, str) else None


def _attributes(system: dict[str, Any], name: str) -> dict[str, Any]:
    element = system.get(name)
    if isinstance(element, dict):
        found = element.get("#attributes") or element.get("@attributes") or element
    else:
        found = system.get(f"{name}_attributes")
    return found if isinstance(found, dict) else {}


def _content(value: Any) -> Any:
    return value.get("#text") if isinstance(value, dict) else value


def _evtx_leaves(value: dict[str, Any], rest: dict[str, Any], depth: int = 0) -> None:
    for name, item in value.items():
        if name in ("#attributes", "@attributes") or name.endswith("_attributes"):
            continue
        if isinstance(item, dict) and "#text" not in item and depth < 20:
            _evtx_leaves(item, rest, depth + 1)
        elif name == "Data" and isinstance(content := _content(item), list):
            rest.update({f"param{number}": part for number, part in enumerate(content, 1)})
        else:
            rest["param1" if name == "Data" else name] = _content(item)


def _evtx(event: Any) -> WindowsEvent:
    system = event.get("System") if isinstance(event, dict) else None
    if not isinstance(system, dict):
        raise Unmappable("wrong-shape", "Event has no System object")
    event_id = _whole(_content(system.get("EventID")), "EventID")
    time = _attributes(system, "TimeCreated").get("SystemTime")
    if event_id is None or not isinstance(time, str):
        raise Unmappable("wrong-shape", "System has no EventID or no TimeCreated SystemTime")
    rest: dict[str, Any] = {}
    for name in ("EventData", "UserData"):
        if isinstance(part := event.get(name), dict):
            _evtx_leaves(part, rest)
    for name in ("Keywords", "Task"):
        if (value := system.get(name)) is not None:
            rest.setdefault(f"System.{name}", value)
    rendering = event.get("RenderingInfo")
    message = rendering.get("Message") if isinstance(rendering, dict) else None
    return WindowsEvent(
        provider=as_text(_attributes(system, "Provider").get("Name")),
        event_id=event_id,
        channel=as_text(system.get("Channel")),
        computer=as_text(system.get("Computer")),
        time=moment(time),
        rest=_texts(rest),
        record_id=_optional(_content(system.get("EventRecordID")), "EventRecordID", rest),
        level=_optional(_content(system.get("Level")), "Level", rest),
        opcode=_optional(_content(system.get("Opcode")), "Opcode", rest),
        process_id=_optional(_attributes(system, "Execution").get("ProcessID"), "Execution ProcessID", rest),
        user_sid=as_text(_attributes(system, "Security").get("UserID")) or None,
        activity_id=as_text(_attributes(system, "Correlation").get("ActivityID")) or None,
        message=message if isinstance(message, str) else None,
    )


def parse(data: dict[str, Any], hints: Hints) -> WindowsEvent:
    """``data`` is used up. Raises ``Unmappable``."""
    if "winlog" in data:
        return _winlogbeat(data, hints)
    if "Event" in data:
        return _evtx(data["Event"])
    xml = data.get("SyslogMessage")
    if isinstance(xml, str) and xml.lstrip().startswith("<Event"):
        return windows_xml.parse(xml.encode("utf-8", "backslashreplace"))
    return _flat(data, hints)
