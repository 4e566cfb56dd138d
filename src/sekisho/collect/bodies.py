"""A request's body, whole and decompressed, within its limits of size and time."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import zstandard
from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from sekisho import settings
from sekisho.collect.refusal import Refusal

ENCODINGS = ("identity", "gzip", "deflate", "zstd")
#: Bodies in memory at one time, as a multiple of ``max_body``; above it the answer is 503.
IN_FLIGHT = 4
#: Bytes of memory that a record costs beside its own until it is stored.
RECORD = 320
#: Above this many bytes a body is unpacked in another thread, so that other senders need not wait.
LARGE = 1 << 20
#: A window larger than this is refused (RFC 8878 recommends 8 MB as what every decoder should have).
_ZSTD_WINDOW = 8 << 20
#: zstd makes at most 128 KiB out of 4 bytes; in steps of 1 KiB it can overshoot the limit by 32 MiB only.
_ZSTD_STEP = 1 << 10
_STEP = 1 << 18


class Taken:
    """One body and what it holds of the memory that all requests share."""

    def __init__(self, data: bytes, hold: Callable[[int], None]) -> None:
        self.data = data
        self._hold = hold

    def split(self, records: int) -> None:
        """It was split into so many records. Raises ``Refusal`` 503 where that is too much for now."""
        self._hold(records * RECORD)


class Bodies:
    """Reads bodies. Knows how many bytes are in memory over all requests, so that many large
    requests at once cannot fill it."""

    def __init__(self, collect: settings.Collect) -> None:
        self._limit = collect.max_body
        self._seconds = collect.read_timeout
        self._in_flight = 0

    def check_head(self, request: web.Request) -> None:
        """What can be refused before a byte of the body was read: encoding and declared length."""
        encoding = _encoding(request)
        if encoding not in ENCODINGS:
            raise Refusal(
                415,
                "encoding",
                f"Content-Encoding '{encoding[:40]}' is not understood",
                f"use one of: {', '.join(ENCODINGS)}",
                close=True,
            )
        if (request.content_length or 0) > self._limit:
            raise too_large(self._limit)

    @asynccontextmanager
    async def read(self, request: web.Request) -> AsyncIterator[Taken]:
        """The decompressed body; it counts as in memory until the context ends.

        Raises ``Refusal``: 413 above ``max_body`` bytes (before or after decompression), 408 when it did
        not arrive within ``read_timeout``, 400 when it was cut off or is not what its encoding says,
        503 when too many bodies are in memory.
        """
        self.check_head(request)
        held = [0]
        try:
            raw = await self._received(request, held)
            body = await unpacked(raw, _encoding(request), self._limit)
            if body is not raw:
                self._hold(held, len(body) - len(raw))
            del raw

            def hold(size: int) -> None:
                self._hold(held, size)
                self._check_memory()

            yield Taken(body, hold)
        finally:
            self._in_flight -= held[0]

    def _hold(self, held: list[int], size: int) -> None:
        held[0] += size
        self._in_flight += size

    def _check_memory(self) -> None:
        if self._in_flight > IN_FLIGHT * self._limit:
            raise Refusal(
                503, "busy", "too many large requests at once", "try again in 1 s", after=1.0, close=True
            )

    async def _received(self, request: web.Request, held: list[int]) -> bytes:
        raw = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                async for chunk in request.content.iter_any():
                    raw += chunk
                    self._hold(held, len(chunk))
                    if len(raw) > self._limit:
                        raise too_large(self._limit)
                    self._check_memory()
        except TimeoutError:
            raise Refusal(
                408,
                "slow",
                f"the request did not arrive whole within {self._seconds:g} s",
                "send smaller batches, or raise collect.read_timeout",
                close=True,
            ) from None
        except RequestPayloadError as error:
            raise Refusal(
                400, "bad-transfer", "the body's transfer encoding is broken", close=True
            ) from error
        except ConnectionError as error:
            raise Refusal(400, "half-closed", "the body was cut off", close=True) from error
        return bytes(raw)


def too_large(limit: int) -> Refusal:
    return Refusal(
        413,
        "body-too-large",
        f"the body is larger than {limit} bytes after decompression",
        "send smaller batches, or raise collect.max_body",
        close=True,
    )


def _encoding(request: web.Request) -> str:
    found = request.headers.get("Content-Encoding", "").strip().lower()
    return {"": "identity", "x-gzip": "gzip"}.get(found, found)


async def unpacked(raw: bytes, encoding: str, limit: int) -> bytes:
    """The bytes that were encoded. Raises ``Refusal`` 413 or 400."""
    if encoding == "identity":
        return raw
    if len(raw) > LARGE >> 3:
        return await asyncio.to_thread(unpack, raw, encoding, limit)
    return unpack(raw, encoding, limit)


def unpack(raw: bytes, encoding: str, limit: int) -> bytes:
    """Pure part of ``unpacked``. Stops as soon as there are more than ``limit`` bytes."""
    out = bytearray()
    try:
        for chunk in _zstd(raw) if encoding == "zstd" else _zlib(raw, encoding):
            out += chunk
            if len(out) > limit:
                raise too_large(limit)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise Refusal(400, "bad-encoding", f"the body is not whole {encoding} data: {error}") from error
    return bytes(out)


def _zlib(raw: bytes, encoding: str) -> Iterator[bytes]:
    """gzip (RFC 1952, several members too) or deflate: zlib (RFC 1950), or raw (RFC 1951) as some send."""
    bits = 31
    if encoding == "deflate":
        zlib_head = len(raw) > 1 and raw[0] & 0x0F == 8 and (raw[0] << 8 | raw[1]) % 31 == 0
        bits = 15 if zlib_head else -15
    rest = raw
    while rest:
        stream = zlib.decompressobj(bits)
        while True:
            chunk = stream.decompress(rest, _STEP)
            rest = stream.unconsumed_tail
            yield chunk
            if stream.eof:
                break
            if not chunk and not rest:
                raise EOFError("it ends too early")
        rest = stream.unused_data if bits == 31 else b""


def _zstd(raw: bytes) -> Iterator[bytes]:
    """zstd frames (RFC 8878), one after another."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    stream = decompressor.decompressobj()
    place = 0
    while place < len(raw):
        step = raw[place : place + _ZSTD_STEP]
        place += len(step)
        yield stream.decompress(step)
        if stream.eof:
            place -= len(stream.unused_data)
            if place < len(raw):
                stream = decompressor.decompressobj()
    if raw and not stream.eof:
        raise EOFError("it ends too early")
