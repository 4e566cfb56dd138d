"""Splunk HTTP Event Collector: ``/services/collector`` with ``event``, ``raw``, ``ack`` and ``health``.

After Splunk's public documentation of HEC's endpoints and codes. What a sender is answered:

* Everything stored: 200, code 0.
* Some items are malformed: all of them are journaled, the malformed ones become rejects. The answer is
  **200** with code 6 (12, 13) and ``invalid-event-number``. Splunk itself answers 400 here; but to a 400
  the usual clients (Vector, Fluent Bit, the OpenTelemetry exporter) drop the whole batch as lost, and
  others send it again for ever. Both would be wrong, since nothing is lost: clients go by the status.
* Nothing in it is an event: 400 with the code. It is journaled all the same (a reject, no event), so a
  client that drops it has lost nothing, and one that repeats it doubles no event.
* A record above ``max_record``: 400, code 6, ``invalid-event-number`` and words that name it; the others
  are stored, it is not. Not 413: to that the OpenTelemetry exporter repeats the whole batch for minutes;
  400 is final for every client and shows in its log.

Indexer acknowledgement: every answer comes after the journal has made the records durable, so an id
in ``ackId`` is true from its birth. Ids are the microseconds of the start, counted on; ``ack`` is true for
every id given out, by this process or one before, so that who asks after a restart does not send again.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from aiohttp import web

from sekisho.collect import objects
from sekisho.collect.guard import Caller
from sekisho.collect.reception import Batch, Reception
from sekisho.collect.refusal import Refusal
from sekisho.model import Wrapping

RECEIVER = "hec"
_EVENT = ("/services/collector", "/services/collector/event", "/services/collector/event/1.0")
_RAW = ("/services/collector/raw", "/services/collector/raw/1.0")
_ACK = ("/services/collector/ack",)
#: No process ever gave a smaller id (2020 in microseconds).
_EARLIEST_ACK = 1_577_836_800_000_000
_HEALTH = ("/services/collector/health", "/services/collector/health/1.0")
#: HEC's codes for reasons of refusal; any other reason is code 6 (400) or 8 (the rest).
_CODES = {
    "no-token": 2,
    "bad-authorization": 3,
    "wrong-token": 4,
    "no-data": 5,
    "unknown-source": 7,
    "retry": 9,
    "busy": 9,
    "too-many-wrong-tokens": 9,
}
_NULL = msgspec.Raw(b"null")


class _Event(msgspec.Struct, gc=False):
    event: msgspec.Raw = _NULL
    sourcetype: str | None = None
    index: str | None = None


class _Asked(msgspec.Struct):
    acks: list[int]


_decoder = msgspec.json.Decoder(_Event)
_asked = msgspec.json.Decoder(_Asked)


def _split(body: bytes) -> list[objects.Piece[_Event]]:
    return objects.split(body, _decoder)


def _lines(body: bytes) -> list[bytes]:
    return list(objects.lines(body))


class Sorted:
    """Records of one request by label, in order of arrival, and the first thing that was wrong."""

    def __init__(self) -> None:
        self.by_label: dict[str, list[bytes]] = {}
        self.good = 0
        self.taken = 0
        self.bad: tuple[int, int, str] | None = None
        self.too_large: tuple[int, int] | None = None
        self.turned_down = 0

    def add(self, label: str, body: bytes) -> None:
        self.by_label.setdefault(label, []).append(body)
        self.taken += 1

    def turn_down(self, number: int, size: int) -> None:
        self.too_large = self.too_large or (number, size)
        self.turned_down += 1


def fault(piece: objects.Piece[_Event]) -> tuple[int, str] | None:
    """HEC's code and words for a piece that is no event."""
    if piece.value is None:
        return 6, "Invalid data format"
    event = bytes(piece.value.event)
    if event == b"null":
        return 12, "Event field is required"
    return (13, "Event field cannot be blank") if event == b'""' else None


class Hec:
    """Handlers of one application."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        # Ids of an earlier run must not be taken for ours: they begin at the time of the start (µs).
        self._next_ack = reception.now() // 1000

    def routes(self) -> list[web.RouteDef]:
        found: list[web.RouteDef] = [web.get(path, health) for path in _HEALTH]
        for paths, handler in (
            (_EVENT, self.event),
            (_RAW, self.raw),
            (("/services/collector/ack",), self.ack),
        ):
            for path in paths:
                found += self._reception.route("POST", path, handler, receiver=RECEIVER, wording=wording)
        return found

    async def event(self, request: web.Request, caller: Caller) -> web.Response:
        async with self._reception.body(request) as body:
            pieces = await self._reception.parsed(_split, body, len)
            if not pieces:
                raise Refusal(400, "no-data", "the request has no event")
            found = self._sort(pieces, caller)
            return await self._answer(request, caller, found, "hec", {})

    def _sort(self, pieces: list[objects.Piece[_Event]], caller: Caller) -> Sorted:
        found = Sorted()
        limit = self._reception.collect.max_record
        labels: dict[tuple[str | None, str | None], str] = {}
        for number, piece in enumerate(pieces):
            if len(piece.body) > limit:
                found.turn_down(number, len(piece.body))
                continue
            wrong = fault(piece)
            if wrong is None:
                found.good += 1
            else:
                found.bad = found.bad or (number, *wrong)
            value = piece.value
            names = (value.sourcetype, value.index) if value is not None else (None, None)
            label = labels.get(names)
            if label is None:
                label = labels[names] = self._reception.label(caller, (name for name in names if name))
            found.add(label, piece.body)
        return found

    async def raw(self, request: web.Request, caller: Caller) -> web.Response:
        """Lines of text; ``sourcetype``, ``host``, ``source``, ``index`` and ``time`` are in the query."""
        query = request.query
        said = {
            name: query[name][:256]
            for name in ("sourcetype", "host", "source", "index", "time", "channel")
            if query.get(name)
        }
        label = self._reception.label(
            caller, (said[name] for name in ("sourcetype", "index") if name in said)
        )
        async with self._reception.body(request) as body:
            found = Sorted()
            lines = await self._reception.parsed(_lines, body, len)
            for number, line in enumerate(lines):
                if len(line) > self._reception.collect.max_record:
                    found.turn_down(number, len(line))
                    continue
                found.good += 1
                found.add(label, line)
            if not found.taken and found.too_large is None:
                raise Refusal(400, "no-data", "the request has no line")
            return await self._answer(request, caller, found, "none", said)

    async def _answer(
        self,
        request: web.Request,
        caller: Caller,
        found: Sorted,
        wrapping: Wrapping,
        said: Mapping[str, str],
    ) -> web.Response:
        channel = request.headers.get("X-Splunk-Request-Channel") or request.query.get("channel", "")
        attributes = dict(said)
        if channel:
            attributes["channel"] = channel[:64]
        await self._reception.store(
            RECEIVER,
            caller,
            [Batch(label, wrapping, bodies, attributes) for label, bodies in found.by_label.items()],
        )
        if found.too_large is not None:
            return self._too_large(*found.too_large, found)
        answer: dict[str, object] = {"text": "Success", "code": 0}
        if found.bad is not None:
            number, code, text = found.bad
            answer = {"text": text, "code": code, "invalid-event-number": number}
            self._reception.count_refused(RECEIVER, "malformed", found.taken - found.good)
        if channel:
            answer["ackId"] = self._next_ack
            self._next_ack += 1
        return web.json_response(answer, status=200 if found.good else 400)

    def _too_large(self, number: int, size: int, found: Sorted) -> web.Response:
        self._reception.count_refused(RECEIVER, "record-too-large", found.turned_down)
        why = self._reception.oversized(number, size, stored=found.taken).text
        return web.json_response({"text": why, "code": 6, "invalid-event-number": number}, status=400)

    async def ack(self, request: web.Request, caller: Caller) -> web.Response:
        async with self._reception.body(request) as body:
            asked = objects.decoded(body.data, _asked).value
        if asked is None:
            raise Refusal(400, "not-json", 'expected {"acks": [0, 1]}')
        known = range(_EARLIEST_ACK, self._next_ack)
        return web.json_response({"acks": {str(number): number in known for number in asked.acks}})


async def health(request: web.Request) -> web.Response:
    return web.json_response({"text": "HEC is healthy", "code": 17})


def wording(request: web.Request, refusal: Refusal) -> web.Response:
    code = _CODES.get(refusal.reason, 6 if refusal.status in (400, 413, 415) else 8)
    return web.json_response({"text": refusal.text, "code": code}, status=refusal.status)
