"""Collect over HTTP: Splunk HEC, Elasticsearch's bulk, OTLP logs and NDJSON behind one door.

``application`` says what is answered, ``serve`` where: TCP with or without TLS, and a Unix socket for
commands of this machine.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import stat
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from sekisho import settings
from sekisho.collect import elastic, hec, ndjson, otlp
from sekisho.collect.counters import Counters
from sekisho.collect.deliveries import Deliveries
from sekisho.collect.guard import Caller, Guard, is_local
from sekisho.collect.reception import Append, Reception, plain_wording
from sekisho.collect.socket_path import short
from sekisho.collect.tokens import Tokens
from sekisho.model import Refused

_LOG = logging.getLogger(__name__)

RECEIVER = "http"
#: Receivers whose senders wait for an answer, and try again without one.
RECEIVERS = frozenset({hec.RECEIVER, otlp.RECEIVER, ndjson.RECEIVER, elastic.RECEIVER})
#: seconds for a TLS handshake
_HANDSHAKE = 10.0
#: seconds that a stop waits for requests which are being answered
_STOP = 10.0
_COUNTERS = web.AppKey("counters", Counters)
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 21\r\n\r\ntoo many connections\n"
)


def application(
    append: Append,
    counters: Counters,
    *,
    tokens: Tokens,
    collect: settings.Collect,
    source_ids: frozenset[str],
    sourcetypes: Mapping[str, str],
    now: Callable[[], int],
    deliveries: Deliveries | None = None,
    extra_routes: Iterable[web.RouteDef] = (),
    open_routes: Iterable[web.RouteDef] = (),
    local_routes: Iterable[web.RouteDef] = (),
) -> web.Application:
    """Everything that is answered. ``now``: ns since 1970 UTC. ``sourcetypes``: what senders call a log
    (source type, index, data stream, service) to source id.

    ``deliveries`` knows what a process that was killed may not have answered.

    ``extra_routes`` need a token like all others, ``open_routes`` need none, ``local_routes`` are
    there on the Unix socket only.
    """
    reception = Reception(
        append,
        counters,
        Guard(tokens, now),
        collect=collect,
        source_ids=source_ids,
        sourcetypes=sourcetypes,
        now=now,
        deliveries=deliveries or Deliveries(),
    )
    app = web.Application()
    app[_COUNTERS] = counters
    app.add_routes(open_routes)
    app.add_routes([web.RouteDef(r.method, r.path, _only_local(r.handler), r.kwargs) for r in local_routes])
    for route in extra_routes:
        handler = _without_caller(route.handler)
        app.add_routes(
            reception.route(route.method, route.path, handler, receiver=RECEIVER, wording=plain_wording)
        )
    # Elasticsearch last: any first part of a path may be the name of an index
    for part in (
        hec.Hec(reception),
        otlp.Otlp(reception),
        ndjson.Ndjson(reception),
        elastic.Elastic(reception),
    ):
        app.add_routes(part.routes())
    return app


def _without_caller(handler: object) -> Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]:
    assert callable(handler)

    async def call(request: web.Request, caller: Caller) -> web.StreamResponse:
        response = await handler(request)
        assert isinstance(response, web.StreamResponse)
        return response

    return call


def _only_local(handler: object) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    assert callable(handler)

    async def call(request: web.Request) -> web.StreamResponse:
        transport = request.transport
        if transport is None or not is_local(transport.get_extra_info("socket")):
            raise web.HTTPNotFound
        response = await handler(request)
        assert isinstance(response, web.StreamResponse)
        return response

    return call


def tls_context(tls: settings.Tls) -> ssl.SSLContext:
    """TLS 1.2 or newer. With ``client_ca`` a client may show a certificate of that authority instead of
    a token; one of another authority ends the handshake. Raises ``Refused`` for files that do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.client_ca:
            context.load_verify_locations(tls.client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ssl.SSLError) as error:
        raise Refused(
            f"collect.tls: {tls.certificate}, {tls.key}, {tls.client_ca or 'no client_ca'}: {error}",
            "name PEM files: the certificate with its chain, its key without a password, the CA of clients",
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


class _Connection(RequestHandler):
    """One connection. Broken HTTP is answered and counted, and never logged: its words may hold a token."""

    __slots__ = ("_server",)

    def __init__(self, server: Server, manager: web.Server) -> None:
        self._server = server
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            # Also the limit for a head that comes in drop by drop.
            keepalive_timeout=server.collect.read_timeout,
            lingering_time=0,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type] # None switches it off, as aiohttp documents
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._server.shaken(self)
        super().connection_made(transport)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        self._server.counters.refused[RECEIVER, "bad-http"] += 1
        response = web.Response(status=400, text="this is not a well-formed HTTP/1.1 request\n")
        response.force_close()
        return response


class _Full(asyncio.Protocol):
    """Answers one connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(_FULL)
        transport.close()


class Server:
    """The application on its sockets. ``start`` and ``stop`` once each, in the same event loop."""

    def __init__(self, app: web.Application, collect: settings.Collect, unix: Path | None) -> None:
        self.collect = collect
        self.counters = app[_COUNTERS]
        self._unix = unix
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP)
        self._listening: list[asyncio.Server] = []
        self._shaking: dict[int, float] = {}

    async def start(self) -> None:
        """Listen. Raises ``Refused`` where an address cannot be had, with nothing left open."""
        await self._runner.setup()
        try:
            await self._listen()
        except OSError as error:
            await self.stop()
            raise Refused(
                f"cannot listen on {self.collect.host} port {self.collect.http_port}"
                f"{f' and {self._unix}' if self._unix else ''}: {error}",
                "end the program that uses it, or set collect.host and collect.http_port",
            ) from error
        except Refused:
            await self.stop()
            raise

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        collect = self.collect
        if collect.http_port:
            context = tls_context(collect.tls) if collect.tls else None
            self._listening.append(
                await loop.create_server(
                    self._tls_protocol if context else self._protocol,
                    collect.host,
                    collect.http_port,
                    ssl=context,
                    ssl_handshake_timeout=_HANDSHAKE if context else None,
                    backlog=1024,
                    reuse_address=True,
                )
            )
        if self._unix is not None:
            self._listening.append(await self._listen_unix(self._unix))

    async def _listen_unix(self, path: Path) -> asyncio.Server:
        _remove_socket(path)
        sock = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)  # from its first moment nobody else can open it
        try:
            with short(path) as address:
                sock.bind(address)
            return await asyncio.get_running_loop().create_unix_server(self._protocol, sock=sock, backlog=128)
        except BaseException:
            sock.close()
            raise
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Take no new connection, answer what was begun, end."""
        for server in self._listening:
            server.close()
        await self._runner.cleanup()
        if self._listening and self._unix is not None:
            _remove_socket(self._unix)
        self._listening.clear()

    def _protocol(self) -> asyncio.Protocol:
        manager = self._runner.server
        assert manager is not None
        open_now = len(manager.connections) + len(self._shaking)
        if open_now >= self.collect.max_connections:
            self.counters.refused[RECEIVER, "too-many-connections"] += 1
            return _Full()
        return _Connection(self, manager)

    def _tls_protocol(self) -> asyncio.Protocol:
        """A connection whose handshake is still to come counts as open until it is over."""
        now = asyncio.get_running_loop().time()
        for key, began in list(self._shaking.items()):
            if now - began <= _HANDSHAKE:
                break
            del self._shaking[key]
            self.counters.refused[RECEIVER, "tls-handshake"] += 1
        protocol = self._protocol()
        if isinstance(protocol, _Connection):
            self._shaking[id(protocol)] = now
        return protocol

    def shaken(self, protocol: asyncio.Protocol) -> None:
        self._shaking.pop(id(protocol), None)


def _remove_socket(path: Path) -> None:
    """Of a run that was killed; the lock of the journal keeps a second one out."""
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        path.unlink()


def serve(app: web.Application, collect: settings.Collect, *, unix: Path | None = None) -> Server:
    """A server for ``application``'s result: TCP as in the settings (port 0: none), and the Unix socket."""
    return Server(app, collect, unix)
