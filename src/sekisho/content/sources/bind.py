"""BIND (named): query log, responses, refusals and failures, with or without print-time, category and severity."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from sekisho.contract import Hints, Lines, Recognise, Source
from sekisho.model import Text
from sekisho.ocsf import Event

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
HEAD = re.compile(
    r"(?:(?P<day>\d{2})-(?P<month>[A-Z][a-z]{2})-(?P<year>\d{4}) (?P<clock>\d\d:\d\d:\d\d(?:\.\d{1,6})?) "
    r"|(?P<iso>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:?\d\d)?) )?"
    r"(?:(?P<category>[a-z][a-z-]{1,30}): )?(?:(?P<severity>info|notice|warning|error|critical|debug \d+): )?"
)
CLIENT = r"client (?:@0x[0-9a-f]+ )?(?P<ip>[0-9A-Fa-f:.%]+)#(?P<port>\d{1,5})(?:/key \S+)?(?: \((?P<asked>[^)]*)\))?: (?:view (?P<view>\S+): )?"
QUERY = re.compile(
    CLIENT
    + r"(?P<what>query|response): (?P<name>\S*) (?P<class>\S+) (?P<type>\S+)(?: (?P<rcode>[A-Z]{4,10}))?"
    r"(?: (?P<flags>[+-]\S*))?(?: \((?P<to>[0-9A-Fa-f:.]+)\))?(?P<more>.*)$"
)
DENIED = re.compile(
    CLIENT
    + r"(?:query|query \(cache\)|update|zone transfer) '(?P<name>[^/']*)/(?:(?P<type>\w+)/)?(?P<class>\w+)' denied"
)
FAILED = re.compile(
    CLIENT
    + r"query failed \((?P<rcode>[^)]+)\) for (?P<name>\S+)/(?P<class>\w+)/(?P<type>\w+) at (?P<at>\S+)"
)


@dataclass
class Line:
    """``time`` has no offset unless print-time is iso8601-tzinfo or -utc."""

    text: str
    time: datetime | None
    category: str | None
    rest: dict[str, str] = field(default_factory=dict)


def _time(found: re.Match[str]) -> datetime | None:
    try:
        if found["iso"]:
            return datetime.fromisoformat(found["iso"])
        if found["day"]:
            month = MONTHS.index(found["month"]) + 1
            return datetime.fromisoformat(f"{found['year']}-{month:02}-{found['day']}T{found['clock']}")
    except ValueError:
        return None
    return None


def parse(text: str, hints: Hints) -> Line:
    """The header's time is used before a local time without offset, which only a stated zone can place."""
    found = HEAD.match(text)
    assert found is not None, "every part of the head is optional"
    time = _time(found)
    if time is not None and time.tzinfo is None and hints.time is not None:
        time = None
    rest = {"severity": found["severity"]} if found["severity"] else {}
    return Line(text[found.end() :], time, found["category"], rest)


def fill(found: re.Match[str], event: Event, rest: dict[str, str]) -> None:
    values = found.groupdict()
    event.update({"class_uid": 4003, "activity_id": 1, "status_id": 1})
    event["src_endpoint_ip"], event["src_endpoint_port"] = values["ip"], int(values["port"])
    event["query_hostname"] = (values["name"] or "").rstrip(".") or "."
    event["query_type"] = values["type"]
    event["rcode"] = values.get("rcode")
    event["dst_endpoint_ip"] = values.get("to")
    for name in ("view", "class", "flags", "more", "at"):
        if value := (values.get(name) or "").strip():
            rest[name] = value


def to_event(line: Line, hints: Hints) -> Event:
    event: Event = {
        "time": line.time,
        "class_uid": 0,
        "activity_id": 0,
        "device_hostname": hints.host,
        "metadata_log_name": line.category,
        "metadata_log_provider": "named",
    }
    if found := QUERY.match(line.text):
        fill(found, event, line.rest)
        if found["what"] == "response":
            event["activity_id"] = 2
            event["status_id"] = 1 if found["rcode"] == "NOERROR" else 2
    elif found := DENIED.match(line.text):
        fill(found, event, line.rest)
        event.update({"status_id": 2, "disposition_id": 2, "rcode": "REFUSED", "message": line.text})
    elif found := FAILED.match(line.text):
        fill(found, event, line.rest)
        event.update({"activity_id": 2, "status_id": 2, "message": line.text})
    else:
        event["message"] = line.text
    return event


SOURCE = Source(
    id="bind",
    title=Text(ja="BIND（DNS 問い合わせログ）", en="BIND (DNS query log)"),
    vendor="ISC",
    product="BIND",
    decode=Lines(parse),
    map=to_event,
    recognise=Recognise(
        pattern=re.compile(
            rb"^(?:\d{2}-[A-Z][a-z]{2}-\d{4} [\d:.]{8,15} |\d{4}-\d\d-\d\dT[\d:.]{8,15}\S{0,6} )?(?:[a-z-]{2,30}: )?(?:[a-z0-9 ]{4,9}: )?"
            rb"client (?:@0x[0-9a-f]+ )?[0-9A-Fa-f:.%]+#\d{1,5}"
        ),
        programs=("named",),
        sourcetypes=("isc:bind:query", "isc:bind:network", "named"),
        rank=10,
    ),
    reference="https://bind9.readthedocs.io/en/stable/reference.html#namedconf-statement-querylog",
    switch_on=Text(
        ja="named.conf の logging で category queries を syslog へ、または print-time iso8601-utc を付けてファイルへ出力します。",
        en="Log category queries in named.conf to syslog, or to a file with print-time iso8601-utc.",
    ),
    advisory=("A1", "N1"),
)
