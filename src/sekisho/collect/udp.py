"""Syslog datagrams (RFC 5426): one datagram, one message. Nothing acknowledges; every loss is counted."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from sekisho.collect.counters import Counters

RECEIVER = "syslog-udp"
#: asked of the kernel; it grants at most net.core.rmem_max unless the process may override it
SOCKET_BUFFER = 32 * 1024 * 1024
_DATAGRAM = 65_535
_AT_ONCE = 2_000
_SO_RCVBUFFORCE = 33
_TRAILERS = b"\r\n\x00"

#: ``send(peer, bodies)`` journals the bodies of one peer; returns when that is done or given up.
Send = Callable[[str, list[bytes]], Awaitable[None]]


def bind(host: str, port: int) -> socket.socket:
    """A bound UDP socket with a receive buffer as large as the system grants.

    Raises ``OSError`` if the address cannot be bound.
    """
    family, kind, proto, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, SOCKET_BUFFER)
        except OSError:  # needs CAP_NET_ADMIN; take what everybody gets
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def kernel_drops(sock: socket.socket, proc: Path = Path("/proc/net")) -> int:
    """Datagrams that the kernel threw away because this socket's buffer was full; 0 where unknown."""
    table = proc / ("udp6" if sock.family == socket.AF_INET6 else "udp")
    inode = str(os.fstat(sock.fileno()).st_ino)
    try:
        lines = table.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    for line in lines[1:]:
        cells = line.split()
        if len(cells) >= 13 and cells[9] == inode:
            return int(cells[12])
    return 0


class Datagrams:
    """Buffers datagrams by sender and hands them on in batches.

    At most ``bound`` bytes are buffered; what comes above is dropped and counted. Times in seconds.
    """

    def __init__(
        self,
        sock: socket.socket,
        send: Send,
        counters: Counters,
        allowed: Callable[[str], bool],
        *,
        linger: float = 0.2,
        bound: int = 64 * 1024 * 1024,
    ) -> None:
        self._sock = sock
        self._send = send
        self._counters = counters
        self._allowed = allowed
        self._linger = linger
        self._bound = bound
        self._buffered = 0
        self._pending: dict[str, list[bytes]] = {}
        self._kernel_seen = 0
        self._stopping = asyncio.Event()
        asyncio.get_running_loop().add_reader(sock.fileno(), self._readable)
        self._task = asyncio.create_task(self._flush_forever(), name="syslog-udp")

    @property
    def port(self) -> int:
        return int(self._sock.getsockname()[1])

    async def close(self) -> None:
        """Take what has arrived, journal it, close the socket."""
        asyncio.get_running_loop().remove_reader(self._sock.fileno())
        while self._readable():
            pass
        self._stopping.set()
        await self._task
        self._count_kernel_drops()
        self._sock.close()

    def _readable(self) -> bool:
        """Read what is there, up to a bound so that others get their turn; True if there may be more."""
        receive, take = self._sock.recvfrom, self._take
        for _ in range(_AT_ONCE):
            try:
                data, address = receive(_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return False
            except ConnectionError:  # an ICMP answer to something; not about a datagram for us
                continue
            take(data, str(address[0]))
        return True

    def _take(self, data: bytes, peer: str) -> None:
        if not self._allowed(peer):
            self._counters.refused[RECEIVER, "not-allowed"] += 1
            return
        body = data.rstrip(_TRAILERS)
        if not body:
            self._counters.refused[RECEIVER, "empty"] += 1
            return
        if self._buffered + len(body) > self._bound:
            self._counters.dropped[RECEIVER, "buffer-full"] += 1
            return
        self._buffered += len(body)
        self._pending.setdefault(peer, []).append(body)

    async def _flush_forever(self) -> None:
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(self._linger):
                    await self._stopping.wait()
            except TimeoutError:
                pass
            await self._flush()
            self._count_kernel_drops()
        await self._flush()

    async def _flush(self) -> None:
        taken, self._pending = self._pending, {}
        gate = asyncio.Semaphore(16)

        async def one(peer: str, bodies: list[bytes]) -> None:
            async with gate:
                await self._send(peer, bodies)
            self._buffered -= sum(map(len, bodies))

        if taken:
            async with asyncio.TaskGroup() as group:
                for peer, bodies in taken.items():
                    group.create_task(one(peer, bodies))

    def _count_kernel_drops(self) -> None:
        now = kernel_drops(self._sock)
        if now > self._kernel_seen:
            self._counters.dropped[RECEIVER, "socket-buffer"] += now - self._kernel_seen
            self._kernel_seen = now
