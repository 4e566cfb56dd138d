"""Senders with a valid token who mean ill: memory stays bounded, others are served meanwhile."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from sekisho.collect import local
from sekisho.collect.objects import RECORDS
from sekisho.model import Records
from tests.collect.http_server import Receiver, receiver

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
SIZE = 16 << 20


def resident() -> int:
    """Bytes of this process in memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no VmRSS")


async def send(server: Receiver, path: str, data: bytes, kind: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as client,
        client.post(server.url + path, data=data, headers=server.auth | {"Content-Type": kind}) as response,
    ):
        return response.status, await response.text()


def empty_protobuf(size: int) -> bytes:
    return b"\x0a\x00" * (size // 2)  # ResourceLogs of no content


def nested_protobuf(size: int) -> bytes:
    """Empty log records in one scope of one resource."""

    def field(number: int, content: bytes) -> bytes:
        length, out = len(content), bytearray([number << 3 | 2])
        while length > 0x7F:
            out.append(length & 0x7F | 0x80)
            length >>= 7
        return bytes(out) + bytes([length]) + content

    return field(1, field(2, b"\x12\x00" * (size // 2)))


HOSTILE = [
    ("/v1/ingest/auto", b"[" + b"1," * (SIZE // 2) + b"1]", JSON),
    ("/v1/ingest/auto", b"{}" * (SIZE // 2), JSON),
    ("/v1/ingest/auto", b"x\n" * (4 << 20), "text/plain"),
    ("/v1/ingest/auto", b"\n" * SIZE, "text/plain"),
    ("/services/collector", b"{}" * (SIZE // 2), JSON),
    ("/services/collector/raw", b"x\n" * (4 << 20), "text/plain"),
    ("/_bulk", b"{}\n" * (4 << 20), JSON),
    ("/v1/logs", b'{"resourceLogs":[' + b"{}," * (SIZE // 3) + b"{}]}", JSON),
    ("/v1/logs", empty_protobuf(SIZE), PROTOBUF),
    ("/v1/logs", nested_protobuf(SIZE), PROTOBUF),
]


@pytest.mark.slow
async def test_many_tiny_records_are_refused_with_the_limit_named(tmp_path: Path) -> None:
    async with receiver(tmp_path) as server:
        before = resident()
        for path, data, kind in HOSTILE:
            status, said = await send(server, path, data, kind)
            assert status == 413, (path, said[:200])
            assert str(RECORDS) in said or "lines" in said
            assert resident() - before < 300 << 20, path
        assert server.stored == []
        assert sum(server.counters.refused.values()) == len(HOSTILE)


@pytest.mark.slow
async def test_others_are_served_while_a_hostile_body_is_split(tmp_path: Path) -> None:
    """Brackets that never close are the dearest to look through."""
    async with receiver(tmp_path) as server:
        hostile = asyncio.create_task(
            send(server, "/services/collector", b'{"a":{"a":[1,\n' * (SIZE // 15), JSON)
        )
        await asyncio.sleep(0.1)
        slowest = 0.0
        while not hostile.done():
            began = time.perf_counter()
            assert (await send(server, "/v1/ingest/auto", b'{"n":1}', JSON))[0] == 200
            slowest = max(slowest, time.perf_counter() - began)
        status, _ = await hostile
        assert status in (200, 400, 413)
        assert slowest < 3


async def test_requests_that_wait_for_the_disk_share_the_memory(tmp_path: Path) -> None:
    async with receiver(tmp_path, max_body=1 << 20) as server:
        server.hold = asyncio.Event()  # the journal does not answer
        data = b"x\n" * 5_000  # costs 1.6 MB each, of 4 MB that there are
        waiting = [asyncio.create_task(send(server, "/v1/ingest/auto", data, "text/plain")) for _ in range(6)]
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        assert {task.result()[0] for task in done} == {503}
        server.hold.set()
        answers = [status for status, _ in await asyncio.gather(*waiting)]
        assert answers.count(200) >= 2
        assert set(answers) == {200, 503}
        assert (await send(server, "/v1/ingest/auto", data, "text/plain"))[0] == 200  # given back


async def test_a_large_resource_is_not_multiplied_without_bound(tmp_path: Path) -> None:
    """Each record carries its resource: 900 kB times 1,000 would be 900 MB."""
    resource = b'{"attributes":[{"key":"a","value":{"stringValue":"%s"}}]}' % (b"x" * 900_000)
    body = b'{"resourceLogs":[{"resource":%s,"scopeLogs":[{"logRecords":[%s]}]}]}' % (
        resource,
        b",".join([b"{}"] * 1000),
    )
    async with receiver(tmp_path) as server:
        assert (await send(server, "/v1/logs", body, JSON))[0] == 413
        assert server.stored == []


async def test_local_socket_in_a_folder_of_150_characters(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 150)
    folder.mkdir()

    async with receiver(folder) as server:
        assert len(str(server.unix)) > 150
        assert server.unix.is_socket()
        assert await asyncio.to_thread(local.answers, server.unix)
    assert not server.unix.exists()
    assert not local.answers(server.unix)


async def test_records_through_a_local_socket_in_a_deep_folder(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 150)
    folder.mkdir()
    stored: list[Records] = []

    async def append(records: Records) -> int:
        stored.append(records)
        return 41

    routes = [web.post(local.PATH, local.local_records(append))]
    records = Records("auto", "file", "none", "p", "", 7, (b"one",), {})

    def hand_over(path: Path) -> int:
        with local.client(path) as give:
            return give(records)

    async with receiver(folder, routes=routes) as server:
        assert await asyncio.to_thread(hand_over, server.unix) == 41
    assert stored == [records]
