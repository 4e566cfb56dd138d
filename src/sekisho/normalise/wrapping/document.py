"""A JSON document that a shipper made around a text: the text is the record.

The text is in ``message`` (Elastic, rsyslog, Vector, Logstash), ``log`` (Fluent Bit, Docker), ``msg``
(rsyslog) or ``MESSAGE`` (systemd journal): a syslog line, a bare message, or a JSON object written as a text.
Beside it stands a time, or what a syslog header says. Keys are those of rsyslog's property replacer, of the
Elastic Common Schema (nested or dotted), of systemd.journal-fields(7), and of Vector's and Logstash's syslog
inputs.

Time: that of the line if it states its offset, for then the document's time may be when the line was read
(Filebeat); else the document's. ``@timestamp`` without offset is UTC (as Elasticsearch reads it), other times
are read as those of syslog headers. What was not used becomes ``document.NAME`` of ``unmapped``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, TypeVar

import msgspec

from sekisho.contract import Hints
from sekisho.normalise.mending import sound
from sekisho.normalise.wrapping import syslog
from sekisho.normalise.wrapping.unwrapped import Unwrapped

T = TypeVar("T")

_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_value = msgspec.json.Decoder().decode
_TEXTS = ("message", "log", "msg", "MESSAGE")
_TIMES = (
    "@timestamp", "timereported", "timestamp", "date", "time", "timegenerated",
    "_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP",
)  # fmt: skip
_HOSTS = ("hostname", "host", "host.name", "host.hostname", "_HOSTNAME", "logsource", "fromhost")
_PROGRAMS = (
    "programname", "program", "app-name", "appname", "app_name", "ident", "process.name", "process.program",
    "log.syslog.appname", "syslog.identifier", "SYSLOG_IDENTIFIER", "_COMM", "syslogtag", "syslog-tag",
)  # fmt: skip
_PIDS = ("procid", "proc_id", "pid", "process.pid", "log.syslog.procid", "SYSLOG_PID", "_PID")
_SEVERITIES = (
    "severity", "syslogseverity", "severity_label", "syslogseverity-text", "log.syslog.severity.code",
    "syslog.severity", "PRIORITY",
)  # fmt: skip
_FACILITIES = (
    "facility", "syslogfacility", "facility_label", "syslogfacility-text", "log.syslog.facility.code",
    "syslog.facility", "SYSLOG_FACILITY",
)  # fmt: skip
_LEVELS = {
    "emerg": 0, "emergency": 0, "panic": 0, "alert": 1, "crit": 2, "critical": 2, "err": 3, "error": 3,
    "warning": 4, "warn": 4, "notice": 5, "info": 6, "informational": 6, "debug": 7,
}  # fmt: skip
_FACILITY = {
    "kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "lpr": 6, "news": 7, "uucp": 8,
    "cron": 9, "authpriv": 10, "ftp": 11, "ntp": 12, "audit": 13, "alert": 14, "clock": 15,
    "local0": 16, "local1": 17,
    "local2": 18, "local3": 19, "local4": 20, "local5": 21, "local6": 22, "local7": 23,
}  # fmt: skip
_TAG = re.compile(r"([^\[\s:]{1,128})(?:\[(\d{1,10})\])?:?\s*")
#: A line whose header states the offset of its time.
_STATED = re.compile(
    rb"\s*(?:<\d{1,3}>)?(?:1 )?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})? ?(?:Z|[+-]\d\d:?\d\d)\s"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 253_402_300_799


class _Members:
    """Members of the document by name or by dotted path; remembers which were used up."""

    def __init__(self, members: dict[str, msgspec.Raw]) -> None:
        self._raw = members
        self._known: dict[str, Any] = {}
        self.used: set[str] = set()

    def get(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = _value(self._raw[name]) if name in self._raw else None
        return self._known[name]

    def at(self, path: str) -> Any:
        """A text or a number at a path, which may be one dotted name; else None."""
        found, (first, *others) = self.get(path), path.split(".")
        if found is None and others and first in self._raw:
            found = self.get(first)
            for step in others:
                found = found.get(step) if isinstance(found, dict) else None
        return found if isinstance(found, str | int | float) and not isinstance(found, bool) else None

    def first(self, paths: Iterable[str], read: Callable[[str], T | None]) -> T | None:
        """What ``read`` makes of the first of ``paths`` of which it makes anything."""
        for path in paths:
            value = self.at(path)
            if value not in (None, "", "-") and (found := read(str(value))) is not None:
                self.used.add(path)
                return found
        return None

    def rest(self, prefix: str) -> dict[str, Any]:
        return {prefix + name: raw for name, raw in self._raw.items() if name not in self.used}


def _seconds(value: float) -> datetime | None:
    """Seconds, milliseconds, microseconds or nanoseconds since 1970, as the magnitude says."""
    for power in (0, 3, 6, 9):
        if 0 < value < _LATEST * 10**power and (power == 9 or value < 10 ** (11 + power)):
            micro = int(value * 10 ** (6 - power)) if power <= 6 else int(value) // 10 ** (power - 6)
            return _EPOCH + timedelta(microseconds=micro)
    return None


def _read(value: Any, zone: tzinfo, near: datetime) -> datetime | None:
    if isinstance(value, int | float):
        return _seconds(value)
    if not isinstance(value, str) or len(value) > 60:
        return None
    if value.isascii() and value.isdigit():
        return _seconds(int(value))
    text = value.encode("utf-8", "replace")
    time, end = syslog.time_at(text, 0, zone, near)
    return time if not text[end:].strip() else None


def _time(members: _Members, zone: tzinfo, near: datetime) -> datetime | None:
    for name in _TIMES:
        value = members.at(name)
        if value is not None and (found := _read(value, UTC if name == "@timestamp" else zone, near)):
            members.used.add(name)
            return found
    return None


def _number(names: dict[str, int], limit: int) -> Callable[[str], int | None]:
    def read(value: str) -> int | None:
        text = value.strip().lower()
        found = int(text) if text.isascii() and text.isdigit() and len(text) < 11 else names.get(text)
        return found if found is not None and found <= limit else None

    return read


_severity, _facility = _number(_LEVELS, 7), _number(_FACILITY, 23)
_pid = _number({}, 9_999_999_999)


def _program(members: _Members) -> tuple[str | None, int | None]:
    """Name and number of the program; ``sshd[42]:`` gives both."""
    tag, pid = members.first(_PROGRAMS, _TAG.fullmatch), members.first(_PIDS, _pid)
    if tag is None:
        return None, pid
    return tag[1].rsplit("/", 1)[-1], int(tag[2]) if pid is None and tag[2] else pid


def _text(members: dict[str, msgspec.Raw]) -> str | None:
    """Name of the member that holds the record."""
    return next((name for name in _TEXTS if memoryview(members.get(name, b" "))[0] == ord('"')), None)


def _said(members: _Members, line: bytes, zone: tzinfo, outer: Hints) -> Hints | None:
    """What the document says about the line; None if it says nothing that a shipper would say."""
    program, pid = _program(members)
    if program is None and all(members.at(name) is None for name in _TIMES):
        return None
    severity, facility = members.first(_SEVERITIES, _severity), members.first(_FACILITIES, _facility)
    return Hints(
        outer.received_at,
        None if _STATED.match(line) else _time(members, zone, outer.received_at) or outer.time,
        members.first(_HOSTS, str) or outer.host,
        program or outer.program,
        outer.pid if pid is None else pid,
        outer.severity if severity is None else severity,
        outer.facility if facility is None else facility,
    )


def _line(opened: Unwrapped, hints: Hints, members: _Members, zone: tzinfo, outer: Hints) -> Unwrapped:
    """``opened`` without its syslog header if it has one."""
    # with a program or a severity beside it, the message is what a syslog line would hold
    said = (hints.program, hints.severity, hints.facility) != (None, None, None)
    if said and opened.payload[:1] != b"{":
        opened = opened._replace(wrapping="syslog")
    found = syslog.inner(opened, outer.received_at, zone)
    if found.hints.time is not None:
        return found
    # the line seemed to state its time, and did not
    time = _time(members, zone, outer.received_at) or outer.time
    return found._replace(hints=found.hints._replace(time=time))


def _members_of(payload: bytes) -> dict[str, msgspec.Raw]:
    """Raises msgspec's errors."""
    try:
        payload.decode()  # what is not looked at below is never decoded, and goes to ``unmapped``
        return _object(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _object(sound(payload))


def unwrap(unwrapped: Unwrapped, zone: tzinfo, depth: int = 0) -> Unwrapped | None:
    """The record inside; None if this is no such document. ``depth``: how many were opened already."""
    outer = unwrapped.hints
    try:
        found = _members_of(unwrapped.payload)
        if (name := _text(found)) is None:
            return None
        members = _Members(found)
        line = members.get(name).encode().strip(b"\r\n\x00 ")
        hints = _said(members, line, zone, outer)
        if hints is None or not line:
            return None
        opened = _line(Unwrapped(line, hints, unwrapped.label), hints, members, zone, outer)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    members.used.add(name)
    rest = {**(unwrapped.rest or {}), **members.rest("document." * (depth + 1)), **(opened.rest or {})}
    return opened._replace(rest=rest or None)
