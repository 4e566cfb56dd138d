"""Unbound: queries (``log-queries``) and replies (``log-replies``), in a file or in syslog."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sekisho.contract import Hints, Lines, Recognise, Source
from sekisho.model import Text
from sekisho.ocsf import Event

HEAD = re.compile(
    r"(?:\[(?P<time>\d{9,10})\] )?(?:unbound)?(?:\[(?P<pid>\d+):(?P<thread>\w+)\] )?(?P<level>\w+): "
)
QUERY = re.compile(
    r"(?:query: |reply: )?(?P<ip>[0-9A-Fa-f:.]+)(?:@(?P<port>\d{1,5}))? (?P<name>\S+) (?P<type>[A-Z0-9]+) (?P<class>[A-Z0-9]+)"
    r"(?: (?P<rcode>[A-Z][A-Z0-9]+|THROWAWAY) (?P<seconds>\d+\.\d+) (?P<cached>[01]) (?P<size>\d{1,9})(?P<more>.*))?$"
)


@dataclass
class Line:
    text: str
    time: datetime | None
    rest: dict[str, str] = field(default_factory=dict)


def parse(text: str, hints: Hints) -> Line:
    found = HEAD.match(text)
    if found is None:
        return Line(text, None)
    time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(found["time"])) if found["time"] else None
    rest = {name: found[name] for name in ("thread", "level") if found[name]}
    return Line(text[found.end() :], time, rest)


def to_event(line: Line, hints: Hints) -> Event:
    event: Event = {
        "time": line.time,
        "class_uid": 0,
        "activity_id": 0,
        "device_hostname": hints.host,
        "metadata_log_provider": "unbound",
    }
    found = QUERY.match(line.text)
    if found is None:
        event["message"] = line.text
        return event
    event.update({"class_uid": 4003, "activity_id": 1, "status_id": 1})
    event["src_endpoint_ip"] = found["ip"]
    event["src_endpoint_port"] = int(found["port"]) if found["port"] else None
    event["query_hostname"] = found["name"].rstrip(".") or "."
    event["query_type"] = found["type"]
    line.rest["class"] = found["class"]
    if found["rcode"]:
        event["activity_id"] = 2
        event["rcode"] = found["rcode"]
        event["status_id"] = 1 if found["rcode"] == "NOERROR" else 2
        event["duration"] = round(float(found["seconds"]) * 1000)
        event["traffic_bytes_in"] = int(found["size"])
        line.rest["cached"] = found["cached"]
        if found["more"].strip():
            line.rest["more"] = found["more"].strip()
    return event


SOURCE = Source(
    id="unbound",
    title=Text(ja="Unbound（DNS 問い合わせログ）", en="Unbound (DNS query log)"),
    vendor="NLnet Labs",
    product="Unbound",
    decode=Lines(parse),
    map=to_event,
    recognise=Recognise(
        pattern=re.compile(rb"^(?:\[\d{9,10}\] )?unbound\[\d+:\w+\] \w+: "),
        programs=("unbound",),
        sourcetypes=("unbound",),
        rank=10,
    ),
    reference="https://unbound.docs.nlnetlabs.nl/en/latest/manpages/unbound.conf.html",
    switch_on=Text(
        ja="unbound.conf で log-queries: yes と log-replies: yes を設定し、syslog で Sekisho へ送ります。",
        en="Set log-queries: yes and log-replies: yes in unbound.conf and send to Sekisho by syslog.",
    ),
    advisory=("A1", "N1"),
)
