"""The syslog receivers with real sockets: UDP, TCP, TLS; back-pressure; limits; clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sekisho import settings
from sekisho.collect import syslog
from sekisho.collect.counters import Counters
from sekisho.model import Records, Retry
from tests.collect.syslog_keys import Keys, make_keys

LINE = b"<38>May 14 10:02:03 host.example sshd[%d]: Failed password for invalid user guest"


class Journal:
    """Keeps what is appended; says Retry while ``full``."""

    def __init__(self) -> None:
        self.records: list[Records] = []
        self.full = False
        self.asked = 0

    async def append(self, records: Records) -> int:
        self.asked += 1
        if self.full:
            raise Retry(0.05, "disk full")
        self.records.append(records)
        return len(self.records) - 1

    @property
    def bodies(self) -> list[bytes]:
        return [body for records in self.records for body in records.bodies]


def free_port() -> int:
    """A port that is free for TCP and UDP now."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            try:
                udp.bind(tcp.getsockname())
            except OSError:
                continue
            return int(tcp.getsockname()[1])


async def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(
    journal: Journal, counters: Counters, *, context: ssl.SSLContext | None = None, **keys: object
) -> AsyncIterator[syslog.Receivers]:
    port = free_port()
    collect = settings.Collect(
        syslog_udp_port=port,
        syslog_tcp_port=port,
        syslog_tls_port=free_port() if context else 0,
        **keys,  # type: ignore[arg-type]
    )
    receivers = await syslog.start(
        journal.append, counters, collect, now=lambda: 1_747_184_523_000_000_000, ssl_context=context
    )
    try:
        yield receivers
    finally:
        await receivers.close()


async def send_tcp(port: int, *chunks: bytes, pause: float = 0.0) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    for chunk in chunks:
        writer.write(chunk)
        await writer.drain()
        await asyncio.sleep(pause)
    writer.close()
    await writer.wait_closed()


async def test_tcp_lines_and_counts_arrive_byte_for_byte() -> None:
    journal, counters = Journal(), Counters()
    odd = b"<13>1 - \xff\xfe not UTF-8"
    async with running(journal, counters) as receivers:
        await send_tcp(receivers.ports["syslog-tcp"], LINE % 1 + b"\n", LINE % 2 + b"\r\n")
        await send_tcp(receivers.ports["syslog-tcp"], b"%d %s" % (len(odd), odd))
        await until(lambda: len(journal.bodies) == 3)
    assert sorted(journal.bodies) == sorted([LINE % 1, LINE % 2, odd])
    records = journal.records[0]
    assert (records.source, records.receiver, records.wrapping) == ("auto", "syslog-tcp", "syslog")
    assert (records.peer, records.identity) == ("127.0.0.1", "")
    assert counters.records["auto", "syslog-tcp"] == 3
    assert counters.last_seen["auto"] == 1_747_184_523_000_000_000


async def test_a_quiet_connection_is_journaled_without_being_closed() -> None:
    journal = Journal()
    async with running(journal, Counters()) as receivers:
        _, writer = await asyncio.open_connection("127.0.0.1", receivers.ports["syslog-tcp"])
        writer.write(LINE % 1 + b"\n")
        await until(lambda: journal.bodies == [LINE % 1], 2)
        writer.write(LINE % 2 + b"\n")
        await until(lambda: len(journal.bodies) == 2, 2)
        writer.close()


async def test_a_trickle_does_not_put_off_the_batch() -> None:
    journal = Journal()
    async with running(journal, Counters()) as receivers:
        lines = [LINE % n + b"\n" for n in range(12)]
        sender = asyncio.create_task(send_tcp(receivers.ports["syslog-tcp"], *lines, pause=0.1))
        await until(lambda: bool(journal.bodies), 0.9)
        await sender


async def test_many_messages_come_in_few_batches() -> None:
    journal = Journal()
    async with running(journal, Counters()) as receivers:
        lines = b"".join(LINE % n + b"\n" for n in range(20_000))
        await send_tcp(receivers.ports["syslog-tcp"], lines)
        await until(lambda: len(journal.bodies) == 20_000)
    assert journal.bodies == [LINE % n for n in range(20_000)]
    assert len(journal.records) < 40


async def test_full_disk_stops_reading_and_loses_nothing() -> None:
    journal, counters = Journal(), Counters()
    journal.full = True
    async with running(journal, counters) as receivers:
        lines = [b"".join(LINE % (n + k) + b"\n" for k in range(1000)) for n in range(0, 200_000, 1000)]
        sender = asyncio.create_task(send_tcp(receivers.ports["syslog-tcp"], *lines))
        await until(lambda: journal.asked >= 3)
        assert not sender.done(), "the sender must feel the back-pressure"
        journal.full = False
        await sender
        await until(lambda: len(journal.bodies) == 200_000)
    assert journal.bodies[-1] == LINE % 199_999
    assert not counters.dropped


async def test_broken_framing_is_kept_and_named() -> None:
    journal = Journal()
    async with running(journal, Counters()) as receivers:
        await send_tcp(receivers.ports["syslog-tcp"], b"6 <13>ok", b"what is this\n6 <13>ok")
        await until(lambda: len(journal.bodies) == 3)
    by_reason = {r.attributes.get("framing", ""): list(r.bodies) for r in journal.records}
    assert by_reason == {"": [b"<13>ok"] * 2, "octet-count": [b"what is this"]}


async def test_oversized_message_is_cut_not_lost() -> None:
    journal = Journal()
    async with running(journal, Counters(), max_record=2048) as receivers:
        await send_tcp(receivers.ports["syslog-tcp"], b"<13>" + b"x" * 10_000 + b"\n" + LINE % 7 + b"\n")
        await until(lambda: LINE % 7 in journal.bodies)
    assert sum(len(b) for b in journal.bodies) == 10_004 + len(LINE % 7)
    assert max(len(b) for b in journal.bodies) == 2048


async def test_stalled_sender_is_closed_and_its_rest_kept() -> None:
    journal, counters = Journal(), Counters()
    async with running(journal, counters, read_timeout=0.3) as receivers:
        reader, writer = await asyncio.open_connection("127.0.0.1", receivers.ports["syslog-tcp"])
        writer.write(b"<13>half a mess")
        assert await reader.read() == b""
        writer.close()
    assert journal.bodies == [b"<13>half a mess"]
    assert counters.refused["syslog-tcp", "stalled"] == 1


async def test_half_closed_and_reset_connections() -> None:
    journal, counters = Journal(), Counters()
    async with running(journal, counters) as receivers:
        reader, writer = await asyncio.open_connection("127.0.0.1", receivers.ports["syslog-tcp"])
        writer.write(LINE % 1)
        writer.write_eof()
        assert await reader.read() == b"", "the receiver closes its half as well"
        writer.close()
        with socket.create_connection(("127.0.0.1", receivers.ports["syslog-tcp"])) as sock:
            sock.sendall(LINE % 2 + b"\n")
            await until(lambda: len(journal.bodies) == 2)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await until(lambda: counters.refused["syslog-tcp", "connection-broken"] == 1)
    assert journal.bodies == [LINE % 1, LINE % 2]


async def test_connections_above_the_limit_are_refused() -> None:
    journal, counters = Journal(), Counters()
    async with running(journal, counters, max_connections=2) as receivers:
        port = receivers.ports["syslog-tcp"]
        kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        await asyncio.sleep(0.1)
        _, refused = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: counters.refused["syslog-tcp", "too-many-connections"] == 1)
        for _, writer in kept:
            writer.write(LINE % 1 + b"\n")
        await until(lambda: len(journal.bodies) == 2)
        for writer in (*(w for _, w in kept), refused):
            writer.close()


async def test_clean_stop_takes_what_is_on_the_wire() -> None:
    journal, counters = Journal(), Counters()
    async with running(journal, counters) as receivers:
        _, writer = await asyncio.open_connection("127.0.0.1", receivers.ports["syslog-tcp"])
        writer.write(b"".join(LINE % n + b"\n" for n in range(3000)) + b"<13>no line end")
        await writer.drain()
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            for n in range(100):
                sock.sendto(LINE % n, ("127.0.0.1", receivers.ports["syslog-udp"]))
    assert len(journal.bodies) == 3101
    assert not counters.dropped
    writer.close()


async def test_stop_with_a_full_disk_counts_the_loss() -> None:
    journal, counters = Journal(), Counters()
    journal.full = True
    async with running(journal, counters) as receivers:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.sendto(LINE % 1, ("127.0.0.1", receivers.ports["syslog-udp"]))
        await until(lambda: journal.asked > 0)
    assert counters.dropped["syslog-udp", "journal-unavailable"] == 1


async def test_udp_bodies_and_peers() -> None:
    journal, counters = Journal(), Counters()
    async with running(journal, counters) as receivers:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            for data in (LINE % 1, LINE % 2 + b"\n", LINE % 3 + b"\x00", b"<13>two\nlines", b"", b"\n"):
                sock.sendto(data, ("127.0.0.1", receivers.ports["syslog-udp"]))
        await until(lambda: len(journal.bodies) == 4)
    assert journal.bodies == [LINE % 1, LINE % 2, LINE % 3, b"<13>two\nlines"]
    assert journal.records[0].receiver == "syslog-udp"
    assert counters.refused["syslog-udp", "empty"] == 2


async def test_udp_losses_in_the_kernel_are_counted() -> None:
    journal, counters = Journal(), Counters()
    async with running(journal, counters) as receivers:
        datagrams = receivers._datagrams
        assert datagrams is not None
        datagrams._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            for n in range(500):  # the event loop does not run meanwhile
                sock.sendto(LINE % n, ("127.0.0.1", receivers.ports["syslog-udp"]))
        await until(lambda: len(journal.bodies) + counters.dropped["syslog-udp", "socket-buffer"] == 500)
    assert counters.dropped["syslog-udp", "socket-buffer"] > 0


async def test_udp_buffer_is_bounded_while_the_disk_is_full() -> None:
    journal, counters = Journal(), Counters()
    journal.full = True
    async with running(journal, counters) as receivers:
        datagrams = receivers._datagrams
        assert datagrams is not None
        datagrams._bound = 10_000
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            for n in range(500):
                sock.sendto(LINE % n, ("127.0.0.1", receivers.ports["syslog-udp"]))
        await until(lambda: counters.dropped["syslog-udp", "buffer-full"] > 0)
        journal.full = False
        await until(lambda: len(journal.bodies) + counters.dropped["syslog-udp", "buffer-full"] == 500)
        assert sum(map(len, journal.bodies)) <= 10_000


@pytest.mark.parametrize(("ranges", "taken"), [(("192.0.2.0/24",), 0), (("127.0.0.0/8", "::1"), 2)])
async def test_only_allowed_addresses(ranges: tuple[str, ...], taken: int) -> None:
    journal, counters = Journal(), Counters()
    async with running(journal, counters, syslog_allow=ranges) as receivers:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.sendto(LINE % 1, ("127.0.0.1", receivers.ports["syslog-udp"]))
        _, writer = await asyncio.open_connection("127.0.0.1", receivers.ports["syslog-tcp"])
        writer.write(LINE % 2 + b"\n")
        refused = [("syslog-udp", "not-allowed"), ("syslog-tcp", "not-allowed")]
        await until(
            lambda: len(journal.bodies) == taken and (taken > 0 or all(counters.refused[k] for k in refused))
        )
        writer.close()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


def server_context(keys: Keys) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=keys.ca)
    context.load_cert_chain(keys.server, keys.server_key)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


async def send_tls(port: int, keys: Keys, data: bytes, certificate: tuple[Path, Path] | None) -> None:
    context = ssl.create_default_context(cafile=keys.ca)
    if certificate:
        context.load_cert_chain(*certificate)
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    writer.write(data)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_tls_with_and_without_a_client_certificate(keys: Keys) -> None:
    journal, counters = Journal(), Counters()
    framed = b"%d %s" % (len(LINE % 1), LINE % 1)
    async with running(journal, counters, context=server_context(keys), syslog_allow=("192.0.2.0/24",)) as r:
        await send_tls(r.ports["syslog-tls"], keys, framed, (keys.client, keys.client_key))
        await until(lambda: len(journal.bodies) == 1)
        await send_tls(r.ports["syslog-tls"], keys, framed, None)
        await until(lambda: len(journal.bodies) == 2)
    assert [r.identity for r in journal.records] == ["shipper-01.example.jp", ""]
    assert {r.receiver for r in journal.records} == {"syslog-tls"}


async def test_foreign_certificate_and_plain_text_are_turned_away(keys: Keys, tmp_path: Path) -> None:
    journal, counters = Journal(), Counters()
    foreign = make_keys(tmp_path)
    async with running(journal, counters, context=server_context(keys), read_timeout=0.5) as receivers:
        port = receivers.ports["syslog-tls"]
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # with TLS 1.3 it may not even notice
            await send_tls(port, keys, LINE % 1, (foreign.client, foreign.client_key))
        await send_tcp(port, LINE % 2 + b"\n")
        await until(lambda: counters.refused["syslog-tls", "tls-handshake"] == 2)
    assert journal.bodies == []


async def test_a_taken_port_is_an_error_and_leaves_nothing_open() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        collect = settings.Collect(syslog_tcp_port=port, syslog_udp_port=0)
        with pytest.raises(OSError, match="in use"):
            await syslog.start(Journal().append, Counters(), collect, now=lambda: 0)
