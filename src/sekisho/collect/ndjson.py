"""``POST /v1/ingest/SOURCE``: one record per line; for JSON also objects over several lines, or an array."""

from __future__ import annotations

import msgspec
from aiohttp import web

from sekisho.collect import objects
from sekisho.collect.guard import Caller
from sekisho.collect.reception import AUTO, Batch, Reception, plain_wording
from sekisho.collect.refusal import Refusal

RECEIVER = "ndjson"


class _Object(msgspec.Struct, gc=False):
    """Any JSON object; nothing of it is kept."""


_object = msgspec.json.Decoder(_Object)


def records(body: bytes, content_type: str) -> list[bytes]:
    """Pure. An array gives its elements; ``application/json`` gives its objects, however they are
    laid out; everything else gives its lines. Nothing is left out: what is no JSON becomes a line.
    Raises ``objects.TooMany``."""
    head = body[:64].lstrip()[:1]
    if head == b"[":
        try:
            return objects.array(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return list(objects.lines(body))
    if head == b"{" and content_type == "application/json":
        return [piece.body for piece in objects.split(body, _object)]
    return list(objects.lines(body))


class Ndjson:
    """Handlers of one application."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    def routes(self) -> list[web.RouteDef]:
        return self._reception.route(
            "POST", "/v1/ingest/{source}", self.ingest, receiver=RECEIVER, wording=plain_wording
        )

    async def ingest(self, request: web.Request, caller: Caller) -> web.Response:
        label = self._label(request.match_info["source"], caller)
        async with self._reception.body(request) as body:
            kind = request.content_type
            found = await self._reception.parsed(lambda text: records(text, kind), body, len)
            if not found:
                raise Refusal(400, "no-data", "the request has no record", "send one record per line")
            limit = self._reception.collect.max_record
            good = [record for record in found if len(record) <= limit]
            frames = await self._reception.store(RECEIVER, caller, [Batch(label, "none", good, {})])
        if len(good) < len(found):
            self._reception.count_refused(RECEIVER, "record-too-large", len(found) - len(good) - 1)
            index = next(i for i, record in enumerate(found) if len(record) > limit)
            raise self._reception.oversized(index, len(found[index]), stored=len(good))
        return web.json_response({"stored": len(good), "source": label, "frames": frames[0]})

    def _label(self, named: str, caller: Caller) -> str:
        asked = self._reception.known(named)
        if not caller.source:
            return asked
        if asked not in (AUTO, caller.source):
            raise Refusal(
                403,
                "bound-elsewhere",
                f"the token '{caller.identity}' may send as '{caller.source}' only, not as '{asked}'",
                "use another token, or make one with: sekisho tokens create NAME --source ID",
                close=True,
            )
        return self._reception.known(caller.source)
