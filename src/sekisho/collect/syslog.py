"""Syslog receivers: RFC 5424 and RFC 3164 messages over UDP (RFC 5426), TCP (RFC 6587), TLS (RFC 5425).

Bodies go on byte for byte with the wrapping ``syslog`` and the label ``auto``: the normaliser reads the
header and chooses the source. Syslog over TCP has no acknowledgement of its own: back-pressure is the
only answer, so a connection is not read while its last batch is not yet in the journal.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache

from sekisho import settings
from sekisho.collect import udp
from sekisho.collect.counters import Counters
from sekisho.collect.framing import Framing, Message
from sekisho.collect.seats import BUDGET, Seats, Unfinished
from sekisho.model import Records, Retry

Append = Callable[[Records], Awaitable[int]]
Now = Callable[[], int]

LINGER = 0.2
BATCH_MESSAGES = 5_000
BATCH_BYTES = 4 * 1024 * 1024
#: seconds without a byte after which a connection is closed. Many forwarders learn of it only by losing the
#: next message, so who has sent one may be quiet for a day; the kernel's probes find those that are gone.
IDLE = 24 * 3600.0
UNPROVEN = 3600.0
#: the kernel's probes (tcp(7)): seconds of silence before the first, seconds between them, how many
_PROBES = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 3}
#: seconds that a clean stop waits for what senders have already put on the wire
DRAIN = 2.0
_QUIET = 0.1
_READ = 256 * 1024
_SOURCE = "auto"


class Journaling:
    """Makes batches of messages durable; waits and tries again while the journal says ``Retry``."""

    def __init__(self, append: Append, counters: Counters, now: Now) -> None:
        self._append = append
        self._counters = counters
        self._now = now
        self._given_up = asyncio.Event()

    def give_up(self) -> None:
        """From now on a batch that the journal cannot take at once is dropped and counted."""
        self._given_up.set()

    async def send(self, receiver: str, peer: str, identity: str, messages: Iterable[Message]) -> None:
        """Journal the messages; those that broke the framing separately, with the reason."""
        by_reason: dict[str, list[bytes]] = {}
        for message in messages:
            by_reason.setdefault(message.reason, []).append(message.body)
        for reason, bodies in by_reason.items():
            for batch in _cut(bodies):
                records = Records(
                    source=_SOURCE,
                    receiver=receiver,
                    wrapping="syslog",
                    peer=peer,
                    identity=identity,
                    received_at=self._now(),
                    bodies=batch,
                    attributes={"framing": reason} if reason else {},
                )
                await self._keep(records)

    async def _keep(self, records: Records) -> None:
        while True:
            try:
                await self._append(records)
            except Retry as error:
                if self._given_up.is_set():
                    self._counters.dropped[records.receiver, "journal-unavailable"] += len(records.bodies)
                    return
                await self._wait(error.after)
            else:
                size = sum(map(len, records.bodies))
                self._counters.took(
                    records.source, records.receiver, len(records.bodies), size, records.received_at
                )
                return

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._given_up.wait()
        except TimeoutError:
            pass


def _cut(bodies: list[bytes]) -> Iterable[tuple[bytes, ...]]:
    """Batches of at most ``BATCH_MESSAGES`` and about ``BATCH_BYTES``."""
    start, size = 0, 0
    for index, body in enumerate(bodies):
        if index > start and (index - start >= BATCH_MESSAGES or size + len(body) > BATCH_BYTES):
            yield tuple(bodies[start:index])
            start, size = index, 0
        size += len(body)
    if start < len(bodies):
        yield tuple(bodies[start:])


class Allowed:
    """Whether plain syslog is taken from an address. No range named means any address."""

    def __init__(self, ranges: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(text, strict=False) for text in ranges]
        self._cached = lru_cache(maxsize=4096)(self._decide)

    def __call__(self, peer: str) -> bool:
        return self._cached(peer)

    def _decide(self, peer: str) -> bool:
        if not self._networks:
            return True
        address = ipaddress.ip_address(peer.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


class _Connection:
    """One TCP or TLS sender."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        receiver: str,
        journaling: Journaling,
        collect: settings.Collect,
        counters: Counters,
        unfinished: Unfinished,
    ) -> None:
        self._unfinished = unfinished
        self._reader = reader
        self._writer = writer
        self._receiver = receiver
        self._journaling = journaling
        self._counters = counters
        self._framing = Framing(collect.max_record)
        self._patience = collect.read_timeout
        self._pending: list[Message] = []
        self._size = 0
        self._flush_at = 0.0
        self._timer: asyncio.Timeout | None = None
        self._deadline: float | None = None
        peer = writer.get_extra_info("peername")
        self.peer = str(peer[0]) if peer else ""
        self.proven = False
        self.heard = asyncio.get_running_loop().time()
        self.began: float | None = None
        self._identity = _common_name(writer.get_extra_info("peercert"))

    def stop(self, deadline: float) -> None:
        """Take what is on the wire until it is quiet, at the latest until ``deadline`` (loop time)."""
        self._deadline = deadline
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(min(deadline, asyncio.get_running_loop().time() + _QUIET))

    def shed(self, reason: str) -> None:
        """End at once; an unfinished message is lost."""
        counts = self._counters.dropped if reason == BUDGET else self._counters.refused
        counts[self._receiver, reason] += 1
        self._framing.end()
        self.began = None
        self._unfinished.hold(self, 0)
        self._writer.transport.abort()

    async def serve(self) -> None:
        """Read until the sender ends, falls silent too long, or we stop; journal everything taken."""
        try:
            while (data := await self._read()) is not None:
                self._take(data)
                if not data or self._size >= BATCH_BYTES or len(self._pending) >= BATCH_MESSAGES:
                    await self._flush()
        except (ConnectionError, ssl.SSLError, TimeoutError):
            self._counters.refused[self._receiver, "connection-broken"] += 1
        self._pending += self._framing.end()
        self._unfinished.hold(self, 0)
        await self._flush()
        self._writer.close()

    def _take(self, data: bytes) -> None:
        now = asyncio.get_running_loop().time()
        if not self._pending:
            self._flush_at = now + LINGER
        if data:
            self._hear(data, now)

    def _hear(self, data: bytes, now: float) -> None:
        found = self._framing.feed(data)
        self._pending += found
        self._size += len(data)
        self.heard = now
        self.proven = self.proven or bool(found)
        if not self._framing.partial:
            self.began = None
        elif found or self.began is None:
            self.began = now
        self._unfinished.hold(self, self._framing.held)

    def _wait(self, now: float) -> float:
        """Seconds to wait for more bytes."""
        if self._pending:
            return self._flush_at - now
        if self.began is not None:
            return max(0.0, self.began + self._patience - now)
        return self.heard + (IDLE if self.proven else UNPROVEN) - now

    async def _read(self) -> bytes | None:
        """Bytes; empty if it is time to flush; None if this connection is over."""
        now = asyncio.get_running_loop().time()
        stopping = self._deadline is not None
        if self._deadline is not None and now >= self._deadline:
            return None
        wait = self._wait(now)
        if wait <= 0 and self._pending:
            return b""
        try:
            async with asyncio.timeout(_QUIET if stopping else wait) as self._timer:
                return await self._reader.read(_READ) or None
        except TimeoutError:
            if stopping or self._deadline is not None:
                return None
            if self._pending:
                return b""
            reason = "idle" if self.began is None else "stalled"
            self._counters.refused[self._receiver, reason] += 1
            return None
        finally:
            self._timer = None

    async def _flush(self) -> None:
        messages, self._pending, self._size = self._pending, [], 0
        if not messages:
            return
        loop = asyncio.get_running_loop()
        start = loop.time()
        await self._journaling.send(self._receiver, self.peer, self._identity, messages)
        if self.began is not None:  # we did not read meanwhile: that is not the sender's time
            self.began += loop.time() - start


def _common_name(certificate: dict[str, object] | None) -> str:
    """Subject CN of a verified client certificate; empty if there is none."""
    subject = (certificate or {}).get("subject", ())
    assert isinstance(subject, tuple)
    for relative in subject:
        for name, value in relative:
            if name == "commonName":
                return str(value)
    return ""


def _probe(sock: socket.socket) -> None:
    """Let the kernel find out whether the other end is still there."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _PROBES.items():
        if (option := getattr(socket, name, None)) is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


class _Streams:
    """Listening sockets for TCP and TLS and the connections that came in through them."""

    def __init__(self, journaling: Journaling, counters: Counters, collect: settings.Collect) -> None:
        self._journaling = journaling
        self._counters = counters
        self._collect = collect
        self._servers: list[asyncio.Server] = []
        self._open: dict[asyncio.Task[None], _Connection] = {}
        self._unfinished = Unfinished(collect.max_unfinished)

    async def listen(
        self, port: int, receiver: str, allowed: Callable[[str], bool], context: ssl.SSLContext | None
    ) -> int:
        """Listen; gives the port that was bound. Raises ``OSError`` if it is taken."""
        loop = asyncio.get_running_loop()
        seats = Seats(self._collect.max_connections, self._collect.max_connections_of_peer)
        handshake = min(10.0, self._collect.read_timeout) if context else None

        def protocol() -> asyncio.StreamReaderProtocol:
            made = asyncio.Event()

            async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                made.set()
                await self._client(reader, writer, receiver, allowed, seats)

            def check() -> None:
                if not made.is_set():
                    self._counters.refused[receiver, "tls-handshake"] += 1

            if handshake is not None:
                loop.call_later(handshake + 0.5, check)
            reader = asyncio.StreamReader(limit=_READ, loop=loop)
            return asyncio.StreamReaderProtocol(reader, client, loop=loop)

        server = await loop.create_server(
            protocol,
            self._collect.host,
            port,
            ssl=context,
            ssl_handshake_timeout=handshake,
            backlog=512,
        )
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _client(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        receiver: str,
        allowed: Callable[[str], bool],
        seats: Seats,
    ) -> None:
        peer = writer.get_extra_info("peername")
        if peer and not allowed(str(peer[0])):
            self._counters.refused[receiver, "not-allowed"] += 1
            writer.transport.abort()
            return
        if peer and (reason := seats.refusal(str(peer[0]))) is not None:
            self._counters.refused[receiver, reason] += 1
            writer.transport.abort()
            return
        _probe(writer.get_extra_info("socket"))
        connection = _Connection(
            reader, writer, receiver, self._journaling, self._collect, self._counters, self._unfinished
        )
        seats.take(connection)
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = connection
        try:
            await connection.serve()
        finally:
            seats.leave(connection)
            del self._open[task]

    async def close(self) -> None:
        """No new connections; what senders have put on the wire is journaled, then all is closed."""
        for server in self._servers:
            server.close()
        deadline = asyncio.get_running_loop().time() + DRAIN
        for connection in self._open.values():
            connection.stop(deadline)
        if self._open:
            await asyncio.wait(tuple(self._open), timeout=2 * DRAIN)
        self._journaling.give_up()
        if self._open:
            await asyncio.wait(tuple(self._open), timeout=DRAIN)


class Receivers:
    """Running syslog receivers. ``ports`` by receiver name (``syslog-udp``, ...)."""

    def __init__(self, streams: _Streams, journaling: Journaling) -> None:
        self.ports: dict[str, int] = {}
        self._streams = streams
        self._journaling = journaling
        self._datagrams: udp.Datagrams | None = None

    def attach(self, datagrams: udp.Datagrams) -> None:
        self._datagrams = datagrams
        self.ports[udp.RECEIVER] = datagrams.port

    async def close(self) -> None:
        """Stop listening; what was received is in the journal (or counted as dropped) afterwards."""
        await self._streams.close()
        if self._datagrams is not None:
            await self._datagrams.close()


async def start(
    append: Append,
    counters: Counters,
    collect: settings.Collect,
    *,
    now: Now,
    ssl_context: ssl.SSLContext | None = None,
) -> Receivers:
    """Start what the settings switch on (a port of 0 is off). ``now``: ns since 1970 UTC.

    TLS needs ``ssl_context``; without one it is not started. ``syslog_allow`` restricts plain syslog (UDP
    and TCP); TLS senders are judged by their certificates. Raises ``OSError`` if a port is taken.
    """
    journaling = Journaling(append, counters, now)
    streams = _Streams(journaling, counters, collect)
    receivers = Receivers(streams, journaling)
    allowed = Allowed(collect.syslog_allow)
    try:
        if collect.syslog_tcp_port:
            port = await streams.listen(collect.syslog_tcp_port, "syslog-tcp", allowed, None)
            receivers.ports["syslog-tcp"] = port
        if collect.syslog_tls_port and ssl_context is not None:
            port = await streams.listen(collect.syslog_tls_port, "syslog-tls", lambda _: True, ssl_context)
            receivers.ports["syslog-tls"] = port
        if collect.syslog_udp_port:
            sock = udp.bind(collect.host, collect.syslog_udp_port)

            async def send(peer: str, bodies: list[bytes]) -> None:
                await journaling.send(udp.RECEIVER, peer, "", map(Message, bodies))

            receivers.attach(udp.Datagrams(sock, send, counters, allowed, linger=LINGER))
    except OSError:
        await receivers.close()
        raise
    return receivers
