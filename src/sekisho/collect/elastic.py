"""Elasticsearch's ``_bulk``, and as much around it as shippers ask before they send.

Filebeat, Winlogbeat, elasticsearch-py, Logstash and rsyslog's omelasticsearch want to know the version,
the licence and the health, and set up templates, policies and data streams. Sekisho has its own columns
and its own retention, so it says that all of these are there already and takes what is put, to no effect.

An item that is not taken (malformed, or above ``max_record``) has status 400 of its own; the others are
stored. Always 400: shippers drop such an item or put it aside, while to any other status (413 too) Logstash
repeats it for ever.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec
from aiohttp import hdrs, web

from sekisho.collect.bulk import Item, parse
from sekisho.collect.guard import Caller
from sekisho.collect.reception import AUTO, Batch, Reception
from sekisho.collect.refusal import Refusal
from sekisho.model import RECORDS_PER_FRAME, Retry

RECEIVER = "bulk"
#: Beats refuse a server that is older than themselves, so it is newer than any of them.
VERSION = "9.99.0"
_NODE = "sekisho"
_CLUSTER = "sekisho"
_UUID = "c2VraXNob19jbHVzdGVyXw"
#: Clients since 7.14 talk only to servers whose answers carry it.
_PRODUCT = {"X-Elastic-Product": "Elasticsearch"}
_DATA_STREAM = re.compile(r"[a-z]+-([^-]+)-.+")
_DATE = re.compile(r"-\d{4}\.\d{2}(\.\d{2})?(-\d+)?$")
_SHARDS = {"total": 1, "successful": 1, "failed": 0}
_TYPES = {
    401: "security_exception",
    413: "content_too_long_exception",
    429: "circuit_breaking_exception",
    503: "unavailable_shards_exception",
}
#: Refusals of what may be taken later: a token is renewed, the disk has room again.
_LATER = frozenset({401, 403, 429, 503})
_PAUSE = 1.0
#: What shippers look for and set up.
_SET_UP = (
    "/{kind:_ilm|_index_template|_component_template|_template|_data_stream|_ingest|_alias}{rest:(/.*)?}"
)
#: As Elasticsearch allows it, so that no path of another kind is taken for an index.
_INDEX = r"{index:[^_/][^/]*}"


class Elastic:
    """Handlers of one application."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    def routes(self) -> list[web.RouteDef]:
        found: list[web.RouteDef] = []
        for methods, path, handler in (
            ("GET", "/", info),
            ("POST PUT", "/_bulk", self.bulk),
            ("POST PUT", f"/{_INDEX}/_bulk", self.bulk),
            ("POST PUT", f"/{_INDEX}/{{type:[^_/][^/]*}}/_bulk", self.bulk),
            ("GET", "/_license", licence),
            ("GET", "/_xpack", xpack),
            ("GET", "/_cluster/health", cluster_health),
            ("GET", "/_cat/{what:.*}", cat),
            ("GET", "/_nodes{rest:.*}", nodes),
            ("GET", _SET_UP, there),
            ("PUT POST", _SET_UP, self.acknowledged),
            ("GET", f"/{_INDEX}", there_index),
            ("PUT", f"/{_INDEX}", self.acknowledged),
        ):
            found += self._reception.route(methods, path, handler, receiver=RECEIVER, wording=wording)
        return found

    async def bulk(self, request: web.Request, caller: Caller) -> web.Response:
        began = self._reception.now()
        async with self._reception.body(request) as body:
            index = request.match_info.get("index", "")
            items = await self._reception.parsed(lambda text: parse(text, index), body, len)
            if not items:
                raise Refusal(400, "no-data", "the request has no action")
            try:
                answers, wrong = await self._store(items, caller)
            except Retry:
                if _drops_batches(request):
                    await asyncio.sleep(_PAUSE)  # it comes again at once
                raise
        took = (self._reception.now() - began) // 1_000_000
        return _said({"took": max(0, took), "errors": wrong > 0, "items": answers})

    async def acknowledged(self, request: web.Request, caller: Caller) -> web.Response:
        async with self._reception.body(request):
            return _said({"acknowledged": True, "shards_acknowledged": True})

    async def _store(self, items: list[Item], caller: Caller) -> tuple[list[msgspec.Raw], int]:
        """An answer for each item, encoded (as objects they would be several times the request), and the
        number of those that were not taken."""
        batches: dict[str, Batch] = {}
        labels: dict[str, str] = {}
        places: list[tuple[str, int] | None] = []
        limit = self._reception.collect.max_record
        for item in items:
            if not item.bodies or any(len(body) > limit for body in item.bodies):
                places.append(None)
                continue
            label = labels.get(item.target)
            if label is None:
                label = labels[item.target] = self._reception.label(caller, names_of(item.target))
            batch = batches.setdefault(label, Batch(label, "none", [], {"index": item.target}))
            _note_index(batch, item.target)
            places.append((label, len(batch.bodies)))
            batch.bodies.extend(item.bodies)
        frames = await self._reception.store(RECEIVER, caller, batches.values())
        stored = dict(zip(batches, frames, strict=True))
        answers: list[msgspec.Raw] = []
        wrong = 0
        for number, (item, place) in enumerate(zip(items, places, strict=True)):
            answer = self._answer(number, item, place, stored)
            if answer["status"] >= 300:
                wrong += 1
                reason = "item" if item.why else "record-too-large"
                self._reception.count_refused(RECEIVER, reason)
            answers.append(msgspec.Raw(msgspec.json.encode({item.operation: answer})))
        return answers, wrong

    def _answer(
        self, number: int, item: Item, place: tuple[str, int] | None, stored: dict[str, list[int]]
    ) -> dict[str, Any]:
        said: dict[str, Any] = {"_index": item.target or AUTO, "_id": item.id or None}
        if place is not None:
            frame, index = divmod(place[1], RECORDS_PER_FRAME)
            said["_id"] = item.id or f"{stored[place[0]][frame]}:{index}"  # where it lies in the journal
        if item.why:
            kind = "document_parsing_exception" if item.bodies else "illegal_argument_exception"
            return {**said, "status": 400, "error": {"type": kind, "reason": item.why}}
        if place is None:
            refusal = self._reception.oversized(number, max(map(len, item.bodies)))
            error = {"type": "document_parsing_exception", "reason": refusal.text}
            return {**said, "status": 400, "error": error}
        return {
            **said,
            "_version": 1,
            "result": "created",
            "_shards": _SHARDS,
            "_seq_no": place[1],
            "_primary_term": 1,
            "status": 201,
        }


def _note_index(batch: Batch, index: str) -> None:
    """The first few index names of a batch; a hostile request may name a new one per document."""
    names = batch.attributes["index"]
    if index and len(names) < 1024 and index not in names.split(","):
        batch.attributes["index"] = f"{names},{index}" if names else index


def names_of(index: str) -> list[str]:
    """What an index may be called in the settings: as it is, without its date, its data stream's data set."""
    bare = _DATE.sub("", index)
    stream = _DATA_STREAM.fullmatch(index)
    return [index, bare, *([stream[1]] if stream else [])]


def _said(value: Any, status: int = 200) -> web.Response:
    body = msgspec.json.encode(value)
    return web.Response(body=body, status=status, content_type="application/json", headers=_PRODUCT)


async def info(request: web.Request, caller: Caller) -> web.Response:
    version = {
        "number": VERSION,
        "build_flavor": "default",
        "build_type": "tar",
        "build_hash": "0" * 40,
        "build_date": "2026-01-01T00:00:00Z",
        "build_snapshot": False,
        "lucene_version": "10.0.0",
        "minimum_wire_compatibility_version": "7.0.0",
        "minimum_index_compatibility_version": "7.0.0",
    }
    return _said({"name": _NODE, "cluster_name": _CLUSTER, "cluster_uuid": _UUID, "version": version})


async def licence(request: web.Request, caller: Caller) -> web.Response:
    known = {"uid": "00000000-0000-0000-0000-000000000000", "issued_to": _CLUSTER, "issuer": _NODE}
    return _said({"license": {"status": "active", "type": "basic", "mode": "basic", **known}})


async def xpack(request: web.Request, caller: Caller) -> web.Response:
    features = {name: {"available": True, "enabled": True} for name in ("ilm", "security")}
    return _said({"license": {"type": "basic", "mode": "basic", "status": "active"}, "features": features})


async def cluster_health(request: web.Request, caller: Caller) -> web.Response:
    return _said({"cluster_name": _CLUSTER, "status": "green", "timed_out": False, "number_of_nodes": 1})


async def cat(request: web.Request, caller: Caller) -> web.Response:
    return web.Response(text=f"{_CLUSTER} green 1 1\n", headers=_PRODUCT)


async def nodes(request: web.Request, caller: Caller) -> web.Response:
    node = {"name": _NODE, "version": VERSION, "roles": ["ingest"], "http": {"publish_address": ""}}
    return _said({"_nodes": _SHARDS, "cluster_name": _CLUSTER, "nodes": {_UUID: node}})


async def there(request: web.Request, caller: Caller) -> web.Response:
    """A template, policy or data stream of any name exists."""
    name = request.match_info["rest"].rpartition("/")[2]
    kind = request.match_info["kind"]
    if kind == "_data_stream":
        return _said({"data_streams": [{"name": name, "status": "GREEN", "generation": 1, "indices": []}]})
    if kind == "_index_template":
        template = {"index_patterns": [f"{name}*"], "template": {}, "data_stream": {}}
        return _said({"index_templates": [{"name": name, "index_template": template}]})
    if kind == "_component_template":
        template = {"template": {}}
        return _said({"component_templates": [{"name": name, "component_template": template}]})
    return _said({name or kind: {"version": 1, "policy": {"phases": {}}}})


async def there_index(request: web.Request, caller: Caller) -> web.Response:
    return _said({request.match_info["index"]: {"aliases": {}, "mappings": {}, "settings": {}}})


def _drops_batches(request: web.Request) -> bool:
    """Whether this is rsyslog's omelasticsearch, which names no agent. It takes any answer for the last word
    and drops the batch (rsyslog issue 3691); if the connection breaks it keeps the batch and tries again.
    """
    return hdrs.USER_AGENT not in request.headers


def wording(request: web.Request, refusal: Refusal) -> web.Response:
    if refusal.status in _LATER and _drops_batches(request) and request.transport:
        request.transport.abort()
    kind = _TYPES.get(refusal.status, "illegal_argument_exception")
    error = {"type": kind, "reason": refusal.text}
    response = _said({"error": {"root_cause": [error], **error}, "status": refusal.status}, refusal.status)
    if refusal.status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="sekisho", ApiKey'
    return response
