"""Squid access log: the native format and the common/combined formats, with Squid's result at the end."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import urlsplit

from sekisho.contract import Hints, Lines, Recognise, Source, Unmappable
from sekisho.model import Text
from sekisho.ocsf import Event

NATIVE = re.compile(
    r"\s*(?P<time>\d{9,10}\.\d{3})\s+(?P<ms>-?\d{1,12}) (?P<ip>\S+) (?P<result>[A-Z_]+)/(?P<code>\d{3}) (?P<size>\d{1,15}) "
    r"(?P<method>\S+) (?P<url>\S+) (?P<user>\S+) (?P<hierarchy>[A-Z_]+)/(?P<peer>\S+) (?P<type>\S+)(?P<more>.*)$"
)
COMBINED = re.compile(
    r"(?P<ip>\S+) \S+ (?P<user>\S+) \[(?P<day>\d{2})/(?P<month>[A-Z][a-z]{2})/(?P<year>\d{4}):(?P<clock>\d\d:\d\d:\d\d) "
    r'(?P<zone>[+-]\d{4})\] "(?P<method>\S+) (?P<url>\S+)(?: [^"]*)?" (?P<code>\d{3}) (?P<size>\d{1,15}|-)'
    r'(?: "(?P<referer>[^"]*)" "(?P<agent>[^"]*)")?(?: (?P<result>[A-Z_]+):(?P<hierarchy>[A-Z_]+))?$'
)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
METHODS = {
    "CONNECT": 1,
    "DELETE": 2,
    "GET": 3,
    "HEAD": 4,
    "OPTIONS": 5,
    "POST": 6,
    "PUT": 7,
    "TRACE": 8,
    "PATCH": 9,
}


@dataclass
class Access:
    """One request; texts as they stand, "-" as None."""

    time: datetime
    values: dict[str, str | None]
    rest: dict[str, str] = field(default_factory=dict)


def _combined_time(found: re.Match[str]) -> datetime:
    hours, minutes = int(found["zone"][1:3]), int(found["zone"][3:])
    offset = timedelta(hours=hours, minutes=minutes) * (-1 if found["zone"][0] == "-" else 1)
    hour, minute, second = (int(part) for part in found["clock"].split(":"))
    try:
        month = MONTHS.index(found["month"]) + 1
        return datetime(
            int(found["year"]), month, int(found["day"]), hour, minute, second, tzinfo=timezone(offset)
        )
    except ValueError as error:
        raise Unmappable("wrong-shape", f"Squid: this is no time: {error}") from error


def parse(text: str, hints: Hints) -> Access:
    if found := NATIVE.match(text):
        whole, milli = found["time"].split(".")
        time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(whole), milliseconds=int(milli))
    elif found := COMBINED.match(text):
        time = _combined_time(found)
    else:
        raise Unmappable("wrong-shape", f"neither Squid's native nor its common log format: {text[:80]!r}")
    values = {name: None if value in ("-", "") else value for name, value in found.groupdict().items()}
    rest = {
        name: value.strip()
        for name in ("hierarchy", "type", "referer", "more")
        if (value := values.get(name)) and value.strip()
    }
    return Access(time, values, rest)


def host_of(url: str | None, method: str | None) -> tuple[str | None, int | None]:
    """Host and port of the URL; of a CONNECT target ``host:port``."""
    if url is None:
        return None, None
    try:
        parts = urlsplit(f"//{url}" if method == "CONNECT" or "://" not in url else url)
        return parts.hostname, parts.port
    except ValueError:
        return None, None


def outcome(event: Event, result: str | None, code: int) -> None:
    denied = result is not None and "DENIED" in result
    event["status_id"] = 2 if denied or code >= 400 or code == 0 else 1
    event["disposition_id"] = 2 if denied else 1
    event["status"] = result


def to_event(record: Access, hints: Hints) -> Event:
    values = record.values
    method = values["method"]
    code = int(values["code"] or 0)
    host, port = host_of(values["url"], method)
    peer = values.get("peer")
    size = values["size"]
    milliseconds = values.get("ms")
    event: Event = {
        "time": record.time,
        "class_uid": 4002,
        "activity_id": METHODS.get(method or "", 99),
        "src_endpoint_ip": values["ip"],
        "actor_user_name": values["user"],
        "http_request_http_method": method,
        "http_request_url_url_string": values["url"],
        "http_request_url_hostname": host,
        "http_request_user_agent": values.get("agent"),
        "http_response_code": code,
        "traffic_bytes_in": int(size) if size else None,
        "duration": int(milliseconds) if milliseconds else None,
        "dst_endpoint_hostname": host,
        "dst_endpoint_port": port,
        "device_hostname": hints.host,
        "metadata_log_provider": hints.program,
    }
    if event["activity_id"] == 99:
        event["activity_name"] = method
    if peer and (":" in peer or peer.replace(".", "").isdigit()):
        event["dst_endpoint_ip"] = peer
    elif peer:
        record.rest["peer"] = peer
    outcome(event, values.get("result"), code)
    return event


SOURCE = Source(
    id="squid",
    title=Text(ja="Squid プロキシー", en="Squid proxy"),
    vendor="Squid",
    product="Squid",
    decode=Lines(parse),
    map=to_event,
    recognise=Recognise(
        pattern=re.compile(
            rb"^\s*\d{9,10}\.\d{3}\s+-?\d{1,12} \S+ [A-Z_]+/\d{3} \d+ \S+ "
            rb'|^\S+ \S+ \S+ \[\d\d/[A-Z][a-z]{2}/\d{4}:[^"]{1,40}" ?[^"]*".*(?:TCP|UDP|NONE)_?[A-Z_]*:[A-Z_]+$'
        ),
        programs=("squid", "(squid-1)", "squid-1"),
        sourcetypes=("squid", "squid:access"),
        rank=10,
    ),
    reference="https://wiki.squid-cache.org/Features/LogFormat",
    switch_on=Text(
        ja="squid.conf に access_log を設定し（native 形式、認証利用者名を含める）、syslog またはファイルで Sekisho へ送ります。",
        en="Set access_log in squid.conf (native format, with the authenticated user) and send it by syslog or as a file.",
    ),
    advisory=("A1", "A7", "N1"),
)
