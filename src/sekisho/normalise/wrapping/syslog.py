"""Syslog headers: RFC 5424, RFC 3164, and what devices really send.

RFC 5424 is read exactly (structured data kept). Everything else is read from left to right, each part
if it is there: priority, sequence numbers (Cisco), a host before the time, the time (BSD with or without a
year, fraction or zone; ISO 8601; seconds since 1970), the host, and the program with its number.

Times without a zone: the frame's attribute ``zone`` if the receiver has one for this peer, else the zone
of the receiver (``Normaliser(zone=...)``). A zone abbreviation counts only where it is not ambiguous (UTC,
GMT, JST and those of RFC 5322, 4.3); with any other the header gives no time, and the record gets the
time of receipt. A date without a year (RFC 3164) is the one nearest to the receipt that is not more than
a day after it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from sekisho.contract import Hints
from sekisho.normalise.wrapping.unwrapped import Unwrapped

_PRI = re.compile(rb"\s*(?:\d{1,7} )?<(\d{1,3})>")
_RFC5424 = re.compile(
    rb"1 (-|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)?|\d{9,10}(?:\.\d{1,9})?)"
    rb" (\S{1,255}) (\S{1,48}) (\S{1,128}) (\S{1,32}) ?"
)
_ELEMENT = re.compile(
    rb'\[([^\s=\]"]{1,128})((?: +[^\s=\]"]{1,128}="(?:[^"\\\]]|\\.|\](?!["\[ ]))*")*) *\]', re.DOTALL
)
_PARAMETER = re.compile(rb' +([^\s=\]"]{1,128})="((?:[^"\\]|\\.)*)"', re.DOTALL)
_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), 1
    )
}
_CLOCK = rb"(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?"
_BSD = re.compile(
    rb"[*.]?(?:(?:mon|tue|wed|thu|fri|sat|sun),? +)?"
    rb"(?:(\d{4}) +)?(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec) +(\d{1,2})(?:,? +(\d{4}))? +"
    + _CLOCK
    + rb"(?: +(\d{4})(?=[\s:]))?(?: *(Z|[+-]\d\d:?\d\d|(?-i:[A-Z]{2,5}))(?= ?:|\s*$| +(?![A-Z]{3}\b)))?",
    re.IGNORECASE,
)
_ISO = re.compile(
    rb"(\d{4})-(\d\d)-(\d\d)[T ]" + _CLOCK + rb"(?: ?(Z|[+-]\d\d:?\d\d))?(?=[\s:,]|$)", re.IGNORECASE
)
_EPOCH = re.compile(rb"(\d{10})(?:\.(\d{1,9}))?(?=\s)")
_BEFORE = re.compile(
    rb"(?::? *)(?:\d{1,10}: )?(?:([A-Za-z0-9][\w.-]{0,254}): +)?(?:\d{1,10}: )?(?:\*?\w{1,40}: +)?"
    rb"(?:(?:[\w.-]{1,255} )?\w+/\d+/\w+/\w+:)?(?:1 )?"
)
_HOST = re.compile(rb"[ :]*([A-Za-z0-9_][\w.:-]{0,254})(?<!:)(?= )")
_TAG = re.compile(
    rb" *(?:(%[A-Z0-9_]{1,40}(?:-\w{1,40}){0,6}-\d-\w{1,60}) ?: ?"
    rb"|([A-Za-z_/][\w./()@+-]{0,127})(?:\[(\d{1,10})[^\]\s]{0,20}\]: ?|: ))"
)
_LEVEL = re.compile(
    rb" (?:emerg|alert|crit|err|warning|notice|info|debug)(?= [A-Za-z_/][\w./()@+-]{0,127}(?:\[\d+\])?: )"
)
_ZONES = {
    b"UTC": 0, b"GMT": 0, b"Z": 0, b"UT": 0, b"JST": 9,
    b"EST": -5, b"EDT": -4, b"CST": -6, b"CDT": -5, b"MST": -7, b"MDT": -6, b"PST": -8, b"PDT": -7,
}  # fmt: skip
#: RFC 5424, 7.3.1: the number of the message, 1 to 2147483647, counted by its sender.
_SEQUENCE = "syslog.meta.sequenceId"
_BOM = b"\xef\xbb\xbf"
_END = b"\r\n\x00 "


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _nil(value: bytes) -> str | None:
    return None if value == b"-" else _text(value)


def _micro(digits: bytes | None) -> int:
    return int(digits[:6].ljust(6, b"0")) if digits else 0


def _zone(mark: bytes | None, zone: tzinfo) -> tzinfo | None:
    """The zone that a mark names, ``zone`` if there is no mark, None if the mark says nothing sure."""
    if not mark:
        return zone
    if mark[:1] in b"+-":
        hours, minutes = int(mark[1:3]), int(mark[-2:])
        sign = -1 if mark[:1] == b"-" else 1
        return (
            timezone(sign * timedelta(hours=hours, minutes=minutes)) if hours < 24 and minutes < 60 else None
        )
    offset = _ZONES.get(mark.upper())
    return None if offset is None else timezone(timedelta(hours=offset))


def nearest_year(
    month: int, day: int, clock: tuple[int, int, int, int], zone: tzinfo, near: datetime
) -> datetime | None:
    """The newest such date that is not more than a day after ``near`` (29 February: up to 8 years back)."""
    latest = near + timedelta(days=1)
    hour, minute, second, micro = clock
    this_year = near.astimezone(zone).year
    for year in range(this_year + 1, this_year - 9, -1):
        try:
            found = datetime(year, month, day, hour, minute, second, micro, tzinfo=zone)
        except ValueError:
            continue
        if found <= latest:
            return found
    return None


def _bsd(match: re.Match[bytes], zone: tzinfo, near: datetime) -> datetime | None:
    before, name, day, middle, hour, minute, second, fraction, after, mark = match.groups()
    where = _zone(mark, zone)
    if where is None:
        return None
    month = _MONTHS[name.lower()]
    clock = (int(hour), int(minute), min(int(second), 59), _micro(fraction))
    year = before or middle or after
    if year is None:
        return nearest_year(month, int(day), clock, where, near)
    try:
        return datetime(int(year), month, int(day), *clock, tzinfo=where)
    except ValueError:
        return None


def _iso(match: re.Match[bytes], zone: tzinfo) -> datetime | None:
    year, month, day, hour, minute, second, fraction, mark = match.groups()
    where = _zone(mark, zone)
    if where is None:
        return None
    try:
        return datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            min(int(second), 59),
            _micro(fraction),
            tzinfo=where,
        )
    except ValueError:
        return None


def _epoch(match: re.Match[bytes]) -> datetime:
    whole = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(match[1]))
    return whole + timedelta(microseconds=_micro(match[2]))


def time_at(body: bytes, at: int, zone: tzinfo, near: datetime) -> tuple[datetime | None, int]:
    """The time that begins at ``at`` and the place after it; (None, ``at``) if there is none."""
    if match := _BSD.match(body, at):
        return _bsd(match, zone, near), match.end()
    if match := _ISO.match(body, at):
        return _iso(match, zone), match.end()
    if match := _EPOCH.match(body, at):
        return _epoch(match), match.end()
    return None, at


def _structured(body: bytes, at: int) -> tuple[dict[str, str], int]:
    """Structured data at ``at`` as ``{"id.name": value}`` and the place after it (RFC 5424, 6.3)."""
    found: dict[str, str] = {}
    if body[at : at + 1] == b"-":
        return found, at + 1
    while match := _ELEMENT.match(body, at):
        identity = _text(match[1])
        for name, value in _PARAMETER.findall(match[2]):
            found[f"syslog.{identity}.{_text(name)}"] = _text(re.sub(rb'\\(["\\\]])', rb"\1", value))
        at = match.end()
    return found, at


def _rfc5424(
    body: bytes, match: re.Match[bytes], pri: int | None, received_at: datetime, zone: tzinfo
) -> Unwrapped:
    _, host, program, process, message_id = match.groups()
    time, _ = time_at(body, match.start(1), zone, received_at)
    rest, at = _structured(body, match.end())
    if message_id != b"-":
        rest["syslog.msgid"] = _text(message_id)
    if process != b"-" and not process.isdigit():
        rest["syslog.procid"] = _text(process)
    # rsyslog keeps the blank after "sshd[77]:" when it rewrites a line of RFC 3164 as RFC 5424
    payload = body[at:].removeprefix(b" ").removeprefix(_BOM).lstrip(b" ").rstrip(_END)
    hints = _hints(pri, received_at, time, _nil(host), _nil(program), process)
    number = rest.get(_SEQUENCE, "")
    if number.isascii() and number.isdigit() and len(number) <= 10:
        del rest[_SEQUENCE]
        hints = hints._replace(sequence=int(number))
    return Unwrapped(payload, hints, None, "syslog", rest or None)


def _hints(
    pri: int | None,
    received_at: datetime,
    time: datetime | None,
    host: str | None,
    program: str | None,
    pid: bytes | None,
) -> Hints:
    number = int(pid) if pid and pid.isdigit() and len(pid) <= 10 else None
    if pri is None or pri > 191:
        return Hints(received_at, time, host, program, number)
    return Hints(received_at, time, host, program, number, pri & 7, pri >> 3)


def _program(body: bytes, at: int) -> tuple[str | None, bytes | None, int]:
    if level := _LEVEL.match(body, at):
        at = level.end()
    match = _TAG.match(body, at)
    if match is None:
        return None, None, at
    name = _text(match[1] or match[2])
    return name.rsplit("/", 1)[-1] if name[:1] == "/" else name, match[3], match.end()


def _loose(body: bytes, at: int, pri: int | None, received_at: datetime, zone: tzinfo) -> Unwrapped:
    start = at
    while body[at : at + 1] == b" ":
        at += 1
    host: str | None = None
    time, after = time_at(body, at, zone, received_at)
    if after == at and (before := _BEFORE.match(body, at)) and before.end() > at:
        time, end = time_at(body, before.end(), zone, received_at)
        if end > before.end():
            after, host = end, _text(before[1]) if before[1] else None
    if after == at:  # no time at all
        program, pid, end = _program(body, at)
        return Unwrapped(
            body[end:].strip(_END), _hints(pri, received_at, None, None, program, pid), None, "syslog"
        )
    at = max(after, start)
    if (
        host is None
        and not _TAG.match(body, at + (body[at : at + 1] == b":"))
        and (named := _HOST.match(body, at))
    ):
        host, at = _text(named[1]), named.end()
    elif body[at : at + 1] == b":" or body[at : at + 2] == b" :":
        at = body.index(b":", at) + 1
    program, pid, at = _program(body, at)
    return Unwrapped(
        body[at:].strip(_END), _hints(pri, received_at, time, host, program, pid), None, "syslog"
    )


def unwrap(body: bytes, received_at: datetime, zone: tzinfo) -> Unwrapped:
    """Never raises: whatever cannot be read of a header stays in the payload."""
    pri, at = None, 0
    if match := _PRI.match(body):
        pri, at = int(match[1]), match.end()
    if match := _RFC5424.match(body, at):
        return _rfc5424(body, match, pri, received_at, zone)
    return _loose(body, at, pri, received_at, zone)


_LOOKS = re.compile(
    rb"\s*<\d{1,3}>"
    rb"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec) [ \d]\d (?:\d{4} )?\d\d:\d\d:\d\d(?: \d{4})?[ .]"
    rb"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)"
    rb" [\w.-]{1,255} [A-Za-z_/][\w./()@+-]{0,127}(?:\[\d{1,10}\])?: ",
    re.IGNORECASE,
)


def inner(unwrapped: Unwrapped, received_at: datetime, zone: tzinfo) -> Unwrapped:
    """Open a syslog line that came in another wrapping, or in none (``/var/log/auth.log``).

    The outer wrapping's time and host stand where it has them: its sender stated them with an offset.
    """
    payload = unwrapped.payload
    if payload[:1] in b'{["' or not _LOOKS.match(payload):
        return unwrapped
    line = unwrap(payload, received_at, zone)
    outer = unwrapped.hints
    hints = line.hints._replace(
        time=outer.time or line.hints.time,
        host=line.hints.host or outer.host,
        program=line.hints.program or outer.program,
        pid=line.hints.pid or outer.pid,
    )
    rest = {**(unwrapped.rest or {}), **(line.rest or {})}
    return Unwrapped(line.payload, hints, unwrapped.label, "syslog", rest or None)
