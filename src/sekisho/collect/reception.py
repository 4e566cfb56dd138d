"""What all HTTP receivers share: admit the sender, read the body, find the label, journal, then answer."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar

from aiohttp import web

from sekisho import settings
from sekisho.collect.bodies import Bodies, Taken
from sekisho.collect.counters import Counters
from sekisho.collect.deliveries import Deliveries
from sekisho.collect.guard import Caller, Guard
from sekisho.collect.objects import RECORDS, TooMany
from sekisho.collect.refusal import Refusal
from sekisho.model import RECORDS_PER_FRAME, Records, Retry, Wrapping

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

Append = Callable[[Records], Awaitable[int]]
Handler = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]
#: How a protocol words a refusal.
Wording = Callable[[web.Request, Refusal], web.Response]

AUTO = "auto"
#: What is read, and thrown away, of a refused request, so that the answer is not overtaken by a
#: connection reset; nobody who was refused can make us read more.
_DISCARD_BYTES = 64 * 1024
_DISCARD_SECONDS = 0.5


#: Lines of one body, blank ones and those of objects over several lines too.
_LINES = 1 << 22
#: Above this many bytes a body is parsed in another thread, at most so many at a time.
_AT_ONCE = 64 * 1024
_THREADS = 2


class Batch(NamedTuple):
    """Records of one label out of one request."""

    source: str
    wrapping: Wrapping
    bodies: list[bytes]
    attributes: dict[str, str]


class Reception:
    """Raises only ``Refusal`` and ``model.Retry``; ``route`` makes answers of both."""

    def __init__(
        self,
        append: Append,
        counters: Counters,
        guard: Guard,
        *,
        collect: settings.Collect,
        source_ids: frozenset[str],
        sourcetypes: Mapping[str, str],
        now: Callable[[], int],
        deliveries: Deliveries,
    ) -> None:
        self.collect = collect
        self.now = now
        self.source_ids = source_ids
        self._append = append
        self._counters = counters
        self._guard = guard
        self._bodies = Bodies(collect)
        self._deliveries = deliveries
        self._sourcetypes = sourcetypes
        self._gate = asyncio.Semaphore(_THREADS)

    # -- the request ----------------------------------------------------------------------------

    def route(
        self, methods: str, path: str, handler: Handler, *, receiver: str, wording: Wording
    ) -> list[web.RouteDef]:
        """Guarded routes, one per method. The sender is admitted before a byte of the body is read, with
        ``Expect: 100-continue`` even before it is sent."""

        async def refuse(request: web.Request, refusal: Refusal) -> web.StreamResponse:
            self._counters.refused[receiver, refusal.reason] += 1
            return await _turn_away(request, refusal, wording(request, refusal))

        async def guarded(request: web.Request) -> web.StreamResponse:
            self._deliveries.begin()
            try:
                return await self._told(request, await handler(request, self._guard.admit(request)))
            except Refusal as refusal:
                return await refuse(request, refusal)
            except Retry as retry:
                return await refuse(request, Refusal(503, "retry", retry.why, after=retry.after))

        async def expected(request: web.Request) -> web.StreamResponse | None:
            try:
                self._guard.admit(request)
                self._bodies.check_head(request)
            except Refusal as refusal:
                return await refuse(request, refusal)
            if request.headers.get("Expect", "").lower() == "100-continue":
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # it is no part of the response
            return None

        return [
            web.RouteDef(method, path, guarded, {"expect_handler": expected}) for method in methods.split()
        ]

    async def _told(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        """Send the answer and note that its sender has it. One that cannot be sent stays owed."""
        try:
            await response.prepare(request)
            await response.write_eof()
        except ConnectionError:
            _LOG.debug("the sender did not wait for the answer")
            return response
        if response.status < 300 and request.transport is not None and not request.transport.is_closing():
            self._deliveries.answered()
        return response

    @asynccontextmanager
    async def body(self, request: web.Request) -> AsyncIterator[Taken]:
        """The body, which counts as in memory until the context ends; see ``Bodies.read``."""
        async with self._bodies.read(request) as body:
            if body.data.count(b"\n") > _LINES:
                raise _too_many(f"the body has more than {_LINES} lines")
            yield body

    async def parsed(self, parse: Callable[[bytes], T], body: Taken, count: Callable[[T], int]) -> T:
        """``parse(body.data)``, whose ``count`` of records counts as in memory too.

        A larger body is parsed in another thread, so that other senders need not wait, and only few at a
        time, so that what they make of it is known before others begin.
        """
        try:
            if len(body.data) <= _AT_ONCE:
                found = parse(body.data)
            else:
                async with self._gate:
                    found = await asyncio.to_thread(parse, body.data)
                    body.split(count(found))
                    return found
        except TooMany:
            raise _too_many(f"the request has more than {RECORDS} records") from None
        body.split(count(found))
        return found

    # -- the label ------------------------------------------------------------------------------

    def label(self, caller: Caller, names: Iterable[str]) -> str:
        """The token's binding, else the first name that is a known source type or source id, else auto."""
        if caller.source:
            return self.known(caller.source)
        for name in names:
            found = self._sourcetypes.get(name)
            if found is not None:
                return found
            if name in self.source_ids:
                return name
        return AUTO

    def known(self, source: str) -> str:
        """The source id, or ``Refusal`` 400 with the list of those there are."""
        if source == AUTO or source in self.source_ids:
            return source
        known = (AUTO, *sorted(self.source_ids))
        raise Refusal(
            400,
            "unknown-source",
            f"there is no source '{source[:80]}'",
            f"sources there are: {', '.join(known)}",
            sources=known,
        )

    # -- the journal ----------------------------------------------------------------------------

    async def store(self, receiver: str, caller: Caller, batches: Iterable[Batch]) -> list[list[int]]:
        """Journal all batches; returns when all are durable: the frame numbers of each batch.

        When one cannot be taken the sender is told to repeat the whole request, although others may be
        stored by then. That doubles nothing: the same bytes make the same batches again, marked as sent
        again, and the lake folds events that it already has.
        """
        at = self.now()
        frames = [list(_cut(batch, receiver, caller, at)) for batch in batches]
        every = [self._deliveries.mark(records) for of_batch in frames for records in of_batch]
        done = await asyncio.gather(*map(self._append, every), return_exceptions=True)
        numbers: list[int] = []
        for records, number in zip(every, done, strict=True):
            if isinstance(number, BaseException):
                raise number
            numbers.append(number)
            size = sum(map(len, records.bodies))
            self._counters.took(records.source, receiver, len(records.bodies), size, at)
        left = iter(numbers)
        return [[next(left) for _ in of_batch] for of_batch in frames]

    def oversized(self, index: int, size: int, stored: int | None = None) -> Refusal:
        """For a record above ``max_record``; ``index`` is its place in the request."""
        kept = "" if stored is None else f"; the other {stored} records of the request are stored"
        return Refusal(
            413,
            "record-too-large",
            f"record {index} (from 0) has {size} bytes, the limit is {self.collect.max_record}{kept}",
            "send it in smaller parts, or raise collect.max_record",
        )

    def count_refused(self, receiver: str, reason: str, times: int = 1) -> None:
        self._counters.refused[receiver, reason] += times


def _too_many(why: str) -> Refusal:
    return Refusal(413, "too-many-records", why, "send smaller batches; for files there is: sekisho ingest")


def _cut(batch: Batch, receiver: str, caller: Caller, at: int) -> Iterable[Records]:
    for start in range(0, len(batch.bodies), RECORDS_PER_FRAME):
        yield Records(
            source=batch.source,
            receiver=receiver,
            wrapping=batch.wrapping,
            peer=caller.peer,
            identity=caller.identity,
            received_at=at,
            bodies=tuple(batch.bodies[start : start + RECORDS_PER_FRAME]),
            attributes=batch.attributes,
        )


async def _turn_away(request: web.Request, refusal: Refusal, response: web.Response) -> web.StreamResponse:
    if refusal.after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(refusal.after)))
    if not refusal.close and request.content.is_eof():
        return response
    response.force_close()
    try:
        await response.prepare(request)
        await response.write_eof()
        async with asyncio.timeout(_DISCARD_SECONDS):
            left = _DISCARD_BYTES
            while left > 0 and not request.content.at_eof():
                left -= len(await request.content.readany())
    except (ConnectionError, TimeoutError, web.PayloadAccessError, web.RequestPayloadError):
        _LOG.debug("the refused sender did not wait for the answer")
    return response


def plain_wording(request: web.Request, refusal: Refusal) -> web.Response:
    """Sekisho's own way to say no."""
    said: dict[str, object] = {"code": refusal.reason, "message": refusal.why, "remedy": refusal.remedy}
    if refusal.sources:
        said["sources"] = list(refusal.sources)
    return web.json_response({"error": said}, status=refusal.status)
