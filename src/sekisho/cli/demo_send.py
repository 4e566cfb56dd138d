"""Sends the range's streams as shippers do: HEC, ``_bulk``, OTLP, NDJSON and syslog over TCP."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import aiohttp
import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from sekisho.model import Refused
from sekisho.range import STREAMS, Emitted, Stream

BATCH = 1000
TRIES = 20
_JSON = {"Content-Type": "application/json"}
_NDJSON = {"Content-Type": "application/x-ndjson"}


class Address(NamedTuple):
    """Where the receivers listen. ``http``: base URL; ``syslog_tcp``: (host, port)."""

    http: str
    token: str
    syslog_tcp: tuple[str, int]


class Post(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


def hec(stream: Stream, token: str, records: Sequence[Emitted]) -> Post:
    """Events one after the other, as Splunk's clients write them."""
    parts = []
    for one in records:
        event = one.body if one.body.startswith(b"{") else msgspec.json.encode(one.body.decode())
        head = {"time": round(one.time.timestamp(), 3), "sourcetype": stream.label, "source": stream.product}
        parts.append(msgspec.json.encode(head)[:-1] + b',"event":' + event + b"}")
    headers = {"Authorization": f"Splunk {token}", **_JSON}
    return Post("/services/collector/event", headers, b"\n".join(parts))


def bulk(stream: Stream, token: str, records: Sequence[Emitted]) -> Post:
    action = msgspec.json.encode({"create": {"_index": stream.label}})
    body = b"".join(action + b"\n" + one.body + b"\n" for one in records)
    key = base64.b64encode(f"demo:{token}".encode()).decode()
    return Post("/_bulk", {"Authorization": f"ApiKey {key}", **_NDJSON}, body)


def otlp(stream: Stream, token: str, records: Sequence[Emitted]) -> Post:
    """An ``ExportLogsServiceRequest`` in protobuf; each body is the record's text."""
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.append(
        KeyValue(key="service.name", value=AnyValue(string_value=stream.label))
    )
    scope = resource.scope_logs.add()
    for one in records:
        log = scope.log_records.add()
        log.time_unix_nano = int(one.time.timestamp() * 1_000_000) * 1000
        log.body.string_value = one.body.decode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-protobuf"}
    return Post("/v1/logs", headers, request.SerializeToString())


def ndjson(stream: Stream, token: str, records: Sequence[Emitted]) -> Post:
    body = b"".join(one.body + b"\n" for one in records)
    return Post(f"/v1/ingest/{stream.label}", {"Authorization": f"Bearer {token}", **_NDJSON}, body)


POSTS: Mapping[str, Callable[[Stream, str, Sequence[Emitted]], Post]] = {
    "hec": hec,
    "bulk": bulk,
    "otlp": otlp,
    "ndjson": ndjson,
}


def octets(records: Sequence[Emitted]) -> bytes:
    """Syslog over TCP with octet counting (RFC 6587, 3.4.1)."""
    return b"".join(b"%d %b" % (len(one.body), one.body) for one in records)


class Pace:
    """At most so many records a second over all streams; None = as fast as they are taken."""

    def __init__(self, per_second: float | None) -> None:
        self._per_second = per_second
        self._next = 0.0

    async def wait(self, records: int) -> None:
        if self._per_second is None:
            return
        clock = asyncio.get_running_loop().time
        start = max(self._next, clock())
        self._next = start + records / self._per_second
        await asyncio.sleep(max(0.0, start - clock()))


async def send(
    streams: Mapping[str, Sequence[Emitted]],
    to: Address,
    told: Callable[[str, int], None],
    per_second: float | None = None,
) -> int:
    """Send everything, all streams at once; ``told(stream, records)`` after each batch that was taken.

    Gives the number of records sent. A busy receiver (429, 503) is asked again; any other refusal is
    raised as ``Refused``.
    """
    pace = Pace(per_second)
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
        for name, records in streams.items():
            if STREAMS[name].transport == "syslog":
                group.create_task(_syslog(name, records, to, told, pace))
            else:
                group.create_task(_posts(session, name, records, to, told, pace))
    return sum(map(len, streams.values()))


async def _posts(
    session: aiohttp.ClientSession,
    name: str,
    records: Sequence[Emitted],
    to: Address,
    told: Callable[[str, int], None],
    pace: Pace,
) -> None:
    stream = STREAMS[name]
    for at in range(0, len(records), BATCH):
        part = records[at : at + BATCH]
        await pace.wait(len(part))
        await _post(session, to.http, POSTS[stream.transport](stream, to.token, part))
        told(name, len(part))


async def _post(session: aiohttp.ClientSession, base: str, post: Post) -> None:
    for attempt in range(TRIES):
        try:
            async with session.post(base + post.path, data=post.body, headers=post.headers) as answer:
                text = await answer.text()
                if answer.status < 300 and '"errors":true' not in text.replace(" ", "")[:200]:
                    return
                if answer.status not in (429, 503):
                    raise Refused(f"{base}{post.path} answered {answer.status}: {text[:300]}")
                pause = float(answer.headers.get("Retry-After", "1"))
        except aiohttp.ClientConnectionError:
            pause = 0.2 * (attempt + 1)
        await asyncio.sleep(min(pause, 5.0))
    raise Refused(f"{base}{post.path} did not take a batch in {TRIES} tries", "see the log of `sekisho up`")


async def _syslog(
    name: str, records: Sequence[Emitted], to: Address, told: Callable[[str, int], None], pace: Pace
) -> None:
    _, writer = await asyncio.open_connection(*to.syslog_tcp)
    try:
        for at in range(0, len(records), BATCH):
            part = records[at : at + BATCH]
            await pace.wait(len(part))
            writer.write(octets(part))
            await writer.drain()
            told(name, len(part))
    finally:
        writer.close()
        await writer.wait_closed()
