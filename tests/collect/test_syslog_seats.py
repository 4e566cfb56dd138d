"""Plain syslog in the hands of whoever reaches the port: memory, time and seats are bounded."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import pytest

from sekisho.collect import syslog
from sekisho.collect.counters import Counters
from sekisho.collect.seats import peer_key
from tests.collect.syslog_keys import Keys, make_keys
from tests.collect.test_syslog_servers import LINE, Journal, running, server_context, until

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


async def connect(port: int, source: int = 1) -> Pair:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.0.{source}", 0))


async def ended(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(5):
            return await reader.read() == b""
    except ConnectionError:
        return True


async def works(journal: Journal, pair: Pair, number: int) -> None:
    pair[1].write(LINE % number + b"\n")
    await until(lambda: LINE % number in journal.bodies)


async def test_a_byte_now_and_then_does_not_outlive_the_time_for_a_message() -> None:
    journal, counters = Journal(), Counters()
    async with running(journal, counters, read_timeout=0.6) as receivers:
        reader, writer = await connect(receivers.ports["syslog-tcp"])
        start = asyncio.get_running_loop().time()
        writer.write(b"9999 <13>")
        while not reader.at_eof() and asyncio.get_running_loop().time() < start + 5:
            await asyncio.sleep(0.1)
            with contextlib.suppress(ConnectionError):
                writer.write(b"x")
        assert asyncio.get_running_loop().time() - start < 2
    assert counters.refused["syslog-tcp", "stalled"] == 1
    assert journal.bodies[0].startswith(b"<13>x"), "what had come is kept"


async def test_messages_that_follow_each_other_each_have_their_time() -> None:
    """Each read ends inside a message; none takes long, all together do."""
    journal, counters = Journal(), Counters()
    async with running(journal, counters, read_timeout=0.5) as receivers:
        _, writer = await connect(receivers.ports["syslog-tcp"])
        for number in range(12):
            writer.write(b"\n<13>message %d" % number)
            await asyncio.sleep(0.1)
        writer.write(b"\n")
        await until(lambda: len(journal.bodies) == 12)
        writer.close()
    assert not counters.refused


async def test_time_in_which_we_do_not_read_is_not_the_senders() -> None:
    journal, counters = Journal(), Counters()
    journal.full = True
    async with running(journal, counters, read_timeout=0.4) as receivers:
        _, writer = await connect(receivers.ports["syslog-tcp"])
        writer.write(LINE % 1 + b"\n<13>half")
        await asyncio.sleep(1.0)
        writer.write(b" and half\n")
        journal.full = False
        await until(lambda: b"<13>half and half" in journal.bodies)
        writer.close()
    assert not counters.refused


async def test_unfinished_messages_together_are_bounded_and_the_oldest_go() -> None:
    journal, counters = Journal(), Counters()
    async with running(journal, counters, max_unfinished=1_000_000, max_record=200_000) as receivers:
        port = receivers.ports["syslog-tcp"]
        held = []
        for source in range(2, 22):
            held.append(await connect(port, source))
            held[-1][1].write(b"190000 <13>" + b"x" * 150_000)
            await held[-1][1].drain()
        good = await connect(port)
        await works(journal, good, 1)
        unfinished = receivers._streams._unfinished
        await until(lambda: counters.dropped["syslog-tcp", "unfinished-budget"] >= 14)
        assert unfinished.total <= 1_000_000
        assert await ended(held[0][0]), "the oldest is closed"
        held[-1][1].write(b"x" * (190_000 - 150_004))
        await until(lambda: any(len(body) == 190_000 for body in journal.bodies))
        await works(journal, good, 2)
        for _, writer in (*held, good):
            writer.close()
    assert unfinished.total == 0
    assert counters.dropped["syslog-tcp", "unfinished-budget"] == 14


async def test_one_peer_has_its_share_and_no_more() -> None:
    journal, counters = Journal(), Counters()
    async with running(journal, counters, max_connections_of_peer=3) as receivers:
        port = receivers.ports["syslog-tcp"]
        kept = [await connect(port) for _ in range(3)]
        await asyncio.sleep(0.1)
        assert await ended((await connect(port))[0])
        assert counters.refused["syslog-tcp", "too-many-of-peer"] == 1
        other = await connect(port, 2)
        await works(journal, other, 1)
        kept.pop()[1].close()
        await asyncio.sleep(0.1)
        again = await connect(port)
        await works(journal, again, 2)


async def test_where_all_seats_are_taken_a_newcomer_gets_that_of_who_holds_more() -> None:
    journal, counters = Journal(), Counters()
    async with running(journal, counters, max_connections=4) as receivers:
        port = receivers.ports["syslog-tcp"]
        honest = await connect(port, 2)
        await works(journal, honest, 1)
        greedy = [await connect(port, 3) for _ in range(3)]
        for number, pair in enumerate(greedy[:2], 10):
            await works(journal, pair, number)
        others = [await connect(port, 4)]
        await works(journal, others[0], 2)
        assert await ended(greedy[2][0]), "who never sent anything goes first"
        others.append(await connect(port, 5))
        await works(journal, others[1], 3)
        assert await ended(greedy[0][0]), "then who was quiet longest"
        assert counters.refused["syslog-tcp", "made-room"] == 2
        assert await ended((await connect(port, 6))[0]), "nobody holds more than one: all are as good"
        for number, pair in enumerate((honest, *others, greedy[1]), 20):
            await works(journal, pair, number)


async def test_plain_connections_take_no_seat_of_tls(keys: Keys) -> None:
    journal, counters = Journal(), Counters()
    async with running(journal, counters, context=server_context(keys), max_connections=2) as receivers:
        plain = [await connect(receivers.ports["syslog-tcp"]) for _ in range(3)]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            receivers.ports["syslog-tls"],
            ssl=ssl.create_default_context(cafile=keys.ca),
            server_hostname="localhost",
        )
        await works(journal, (reader, writer), 1)
        for _, one in (*plain, (reader, writer)):
            one.close()
    assert counters.refused["syslog-tcp", "too-many-connections"] == 1


async def test_a_forwarder_may_be_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has sent a message is closed after a day, who never did after an hour."""
    assert syslog.IDLE >= 12 * 3600
    monkeypatch.setattr(syslog, "UNPROVEN", 0.3)
    journal, counters = Journal(), Counters()
    async with running(journal, counters, read_timeout=0.2) as receivers:
        quiet = await connect(receivers.ports["syslog-tcp"])
        await works(journal, quiet, 1)
        silent = await connect(receivers.ports["syslog-tcp"])
        assert await ended(silent[0])
        await works(journal, quiet, 2)
    assert counters.refused["syslog-tcp", "idle"] == 1


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_one_host_is_one_peer(peer: str, key: str) -> None:
    assert peer_key(peer) == key
