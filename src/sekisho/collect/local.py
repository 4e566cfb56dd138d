"""Records from commands of this installation to its running collector, over a Unix socket.

Both ends of ``POST /local/records``: the body is one ``Records`` as MessagePack, the answer
``{"frame": n}`` once the journal has it. Who may open the socket is decided by the folder's permissions.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
from aiohttp import web

from sekisho.collect.socket_path import short
from sekisho.model import Records, Refused, Retry

PATH = "/local/records"
#: bytes of one request
LIMIT = 64 * 1024 * 1024
_TIMEOUT = 60.0
#: what a command may claim to be; network receivers have their own way in
RECEIVERS = ("file", "internal")

Append = Callable[[Records], Awaitable[int]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def local_records(append: Append) -> Handler:
    """Handler for ``POST /local/records``; to be mounted on the Unix socket only."""

    async def handle(request: web.Request) -> web.StreamResponse:
        data = await _body(request)
        if data is None:
            return _error(413, f"a request may be at most {LIMIT} bytes; send smaller batches")
        try:
            records = msgspec.msgpack.decode(data, type=Records)
        except msgspec.DecodeError as error:
            return _error(400, f"the body is not a batch of records in MessagePack: {error}")
        if records.receiver not in RECEIVERS or not records.bodies:
            return _error(400, f"a local batch has bodies and its receiver is one of {', '.join(RECEIVERS)}")
        try:
            frame = await append(records)
        except Retry as error:
            answer = _error(503, error.why)
            answer.headers["Retry-After"] = f"{error.after:g}"
            return answer
        except Refused as error:
            return _error(400, str(error))
        return web.json_response({"frame": frame})

    return handle


async def _body(request: web.Request) -> bytes | None:
    if (request.content_length or 0) > LIMIT:
        return None
    parts: list[bytes] = []
    left = LIMIT
    async for part in request.content.iter_any():
        left -= len(part)
        if left < 0:
            return None
        parts.append(part)
    return b"".join(parts)


def _error(status: int, why: str) -> web.Response:
    return web.json_response({"error": why}, status=status)


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT)
        with short(self._path) as address:
            self.sock.connect(address)


def answers(path: Path) -> bool:
    """Whether a collector listens on the socket ``path``."""
    try:
        with closing(socket.socket(socket.AF_UNIX)) as sock, short(path) as address:
            sock.settimeout(2.0)
            sock.connect(address)
    except OSError:
        return False
    return True


@contextmanager
def client(path: Path) -> Iterator[Callable[[Records], int]]:
    """A function that hands one batch to the collector and returns the number of its frame.

    It raises ``Retry`` when the collector cannot take it now or has gone away (then nothing is known of the
    batch; sending it again is harmless), ``Refused`` when it never will.
    """
    connection = _Connection(path)

    def append(records: Records) -> int:
        body = msgspec.msgpack.encode(records)
        try:
            connection.request("POST", PATH, body, {"Content-Type": "application/msgpack"})
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Retry(1.0, f"the collector at {path} does not answer ({error!r})") from error
        return _understood(response, answer)

    try:
        yield append
    finally:
        connection.close()


def _understood(response: http.client.HTTPResponse, answer: bytes) -> int:
    try:
        said = json.loads(answer)
    except ValueError:
        said = {}
    if response.status == 200 and isinstance(said.get("frame"), int):
        return int(said["frame"])
    why = str(said.get("error") or f"HTTP status {response.status}")
    if response.status == 503:
        after = response.headers.get("Retry-After", "1")
        raise Retry(float(after) if after.replace(".", "", 1).isdecimal() else 1.0, why)
    raise Refused(f"the collector refuses the records: {why}", "see the collector's log")
