"""A batch that comes again for want of an answer is marked; one whose sender was answered is not."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import aiohttp
import msgspec

from sekisho import settings, wiring
from sekisho.collect.deliveries import WINDOW, Deliveries
from sekisho.first_run import prepare
from sekisho.journal import GroupCommit, JournalReader
from sekisho.model import RETRY_OF, Records
from sekisho.wiring.receiving import owed_answers
from tests.collect.http_server import Receiver, receiver
from tests.collect.test_syslog_servers import until

BODY = b"link is up\n"


def marks(server: Receiver) -> list[str]:
    return [records.attributes.get(RETRY_OF, "") for records in server.stored]


async def post(server: Receiver) -> int:
    async with (
        aiohttp.ClientSession(headers=server.auth) as session,
        session.post(f"{server.url}/v1/ingest/auto", data=BODY) as response,
    ):
        return response.status


async def test_what_is_told_again_after_an_answer_is_new(tmp_path: Path) -> None:
    async with receiver(tmp_path) as server:
        assert [await post(server) for _ in range(3)] == [200] * 3
    assert marks(server) == [""] * 3


async def test_what_comes_again_without_an_answer_is_marked(tmp_path: Path) -> None:
    async with receiver(tmp_path) as server:
        server.hold = asyncio.Event()
        head = f"POST /v1/ingest/auto HTTP/1.1\r\nHost: x\r\nAuthorization: Splunk {server.token}\r\n"
        with socket.create_connection(("127.0.0.1", server.port)) as sender:
            sender.sendall(f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
            await asyncio.sleep(0.3)  # it is being journaled
        await asyncio.sleep(0.3)  # the sender is gone
        server.hold.set()
        server.hold = None
        assert await post(server) == 200
        await until(lambda: len(server.stored) >= 1)
        first = min(records.received_at for records in server.stored)
        assert marks(server)[-1] in ("", str(first))
        assert len([mark for mark in marks(server) if not mark]) == 1, "one happening"
        assert await post(server) == 200
    assert marks(server)[-1] == "", "its sender was answered, so this is another one"


async def test_a_refused_batch_is_a_retry_when_it_comes_again(tmp_path: Path) -> None:
    """Of a request of several batches some may be journaled before the whole is refused."""
    async with receiver(tmp_path) as server:
        server.full = True
        assert await post(server) == 503
        server.full = False
        assert await post(server) == 200
    assert [bool(mark) for mark in marks(server)] == [True]


def records(at: int, receiver_: str = "ndjson", body: bytes = b"x") -> Records:
    return Records("auto", receiver_, "none", "192.0.2.1", "t", at, (body,))


async def test_a_killed_process_may_have_owed_the_last_answers(tmp_path: Path) -> None:
    prepare(tmp_path, 1.0)
    held = msgspec.structs.replace(settings.load(tmp_path), data=tmp_path)
    writer = wiring.journaling.open_journal(held)
    commit = GroupCommit(writer)
    second = 10**9
    for one in (
        records(0, body=b"long ago"),
        records(200 * second, "syslog-udp"),
        records(201 * second, body=b"last"),
    ):
        await commit.append(one)
    await commit.close()
    writer.close()
    owed = owed_answers(held, JournalReader(held.journal_dir).end())
    owed.begin()
    assert owed.mark(records(202 * second, body=b"last")).attributes == {RETRY_OF: str(201 * second)}
    assert owed.mark(records(202 * second, body=b"long ago")).attributes == {}
    assert owed.mark(records(202 * second, "syslog-udp")).attributes == {}


def test_a_retry_comes_within_the_window_and_a_mark_is_kept_over_two_retries() -> None:
    deliveries = Deliveries()
    deliveries.begin()
    assert deliveries.mark(records(5)).attributes == {}
    again = deliveries.mark(records(5 + WINDOW))
    assert again.attributes == {RETRY_OF: "5"}
    assert deliveries.mark(records(6 + WINDOW)).attributes == {}, "too late for a retry"
    later = Deliveries()
    later.recall([again])
    assert later.mark(records(9 + WINDOW)).attributes == {}, "the window counts from the first time"
    assert later.mark(records(4 + WINDOW, body=b"y")).attributes == {}
