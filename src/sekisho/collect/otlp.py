"""OTLP/HTTP logs: ``/v1/logs`` in protobuf and JSON (OpenTelemetry protocol 1.x).

Each log record becomes one body ``{"resource": {...}, "scope": {...}, "logRecord": {...}}`` in the
protocol's JSON mapping: trace and span ids in hex, 64-bit integers as texts, enums as numbers, bytes in
base64. JSON is taken over byte for byte; protobuf is translated, field by field.
"""

from __future__ import annotations

import base64
import math
import re
from typing import Any, NamedTuple

import msgspec
from aiohttp import web
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from sekisho import settings
from sekisho.collect import objects
from sekisho.collect.bodies import too_large
from sekisho.collect.guard import Caller
from sekisho.collect.reception import Batch, Reception
from sekisho.collect.refusal import Refusal

RECEIVER = "otlp"
_PROTOBUF = "application/x-protobuf"
_JSON = "application/json"
#: Codes of google.rpc.Status by HTTP status; 2 is UNKNOWN.
_RPC = {400: 3, 401: 16, 413: 8, 415: 3, 429: 8, 408: 4, 503: 14}
#: Attributes of the resource that may name a source.
_LABEL = re.compile(
    rb'"key":\s?"(sekisho\.source|service\.name)",\s?"value":\s?\{\s?"stringValue":\s?"([^"\\]{1,80})"'
)

#: Wire types of protobuf: varint, length-delimited, and those of a fixed number of bytes.
_VARINT, _LEN = 0, 2
_FIXED = {1: 8, 5: 4}

_encode = msgspec.json.Encoder().encode


_NOTHING = msgspec.Raw(b"null")


class _ScopeLogs(msgspec.Struct, gc=False, rename="camel"):
    scope: msgspec.Raw = _NOTHING
    log_records: msgspec.Raw = _NOTHING


class _ResourceLogs(msgspec.Struct, gc=False, rename="camel"):
    resource: msgspec.Raw = _NOTHING
    scope_logs: msgspec.Raw = _NOTHING


class _Request(msgspec.Struct, gc=False, rename="camel"):
    resource_logs: msgspec.Raw = _NOTHING


_request = msgspec.json.Decoder(_Request).decode
_resource_logs = msgspec.json.Decoder(_ResourceLogs).decode
_scope_logs = msgspec.json.Decoder(_ScopeLogs).decode


class Logs(NamedTuple):
    """All bodies of one resource and scope."""

    resource: bytes
    bodies: list[bytes]


class Found:
    """What a request holds, within bounds: its records, their resources and scopes together count up to
    ``objects.RECORDS``, and the bodies, each with its resource and scope, up to ``max_body`` bytes.

    ``too_large``: place and size of each record above ``max_record``; those are left out.
    """

    def __init__(self, collect: settings.Collect) -> None:
        self._collect = collect
        self.logs: list[Logs] = []
        self.too_large: list[tuple[int, int]] = []
        self._parts = 0
        self._number = 0
        self._size = 0

    @property
    def left(self) -> int:
        return objects.RECORDS - self._parts

    @property
    def parts(self) -> int:
        return self._parts

    def part(self) -> None:
        """One more resource, scope or record. Raises ``TooMany``."""
        self._parts += 1
        if self._parts > objects.RECORDS:
            raise objects.TooMany

    def begin(self, resource: bytes, scope: bytes) -> bytes:
        """What the bodies that are added next begin with."""
        self.logs.append(Logs(resource, []))
        return b'{"resource":' + resource + b',"scope":' + scope + b',"logRecord":'

    def fits(self, size: int) -> bool:
        """Whether the next record may have ``size`` bytes; if not it is noted and left out."""
        if size > self._collect.max_record:
            self.too_large.append((self._number, size))
            self._number += 1
            return False
        return True

    def add(self, head: bytes, record: bytes) -> None:
        """One record. Raises ``Refusal`` 413."""
        size = len(head) + len(record) + 1
        if not self.fits(size):
            return
        self._number += 1
        self._size += size
        if self._size > self._collect.max_body:
            raise too_large(self._collect.max_body)
        self.logs[-1].bodies.append(head + record + b"}")


class Otlp:
    """Handlers of one application."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    def routes(self) -> list[web.RouteDef]:
        return self._reception.route("POST", "/v1/logs", self.logs, receiver=RECEIVER, wording=wording)

    async def logs(self, request: web.Request, caller: Caller) -> web.Response:
        protobuf = request.content_type == _PROTOBUF
        if not protobuf and request.content_type != _JSON:
            raise Refusal(415, "content-type", f"expected Content-Type {_PROTOBUF} or {_JSON}", close=True)
        read = from_protobuf if protobuf else from_json
        async with self._reception.body(request) as body:
            try:
                found = await self._reception.parsed(
                    lambda data: read(data, Found(self._reception.collect)), body, lambda found: found.parts
                )
            except (DecodeError, msgspec.MsgspecError, RecursionError, ValueError) as error:
                await self._keep_broken(body.data, caller)
                raise Refusal(
                    400, "malformed", f"the body is no ExportLogsServiceRequest: {error}"
                ) from error
            batches = self._batches(found, caller)
            await self._reception.store(RECEIVER, caller, batches)
        if not found.too_large:
            return _answer(ExportLogsServiceResponse(), protobuf)
        stored = sum(len(batch.bodies) for batch in batches)
        why = self._reception.oversized(*found.too_large[0], stored=stored).text
        self._reception.count_refused(RECEIVER, "record-too-large", len(found.too_large))
        partial = ExportLogsPartialSuccess(rejected_log_records=len(found.too_large), error_message=why)
        return _answer(ExportLogsServiceResponse(partial_success=partial), protobuf)

    async def _keep_broken(self, body: bytes, caller: Caller) -> None:
        """A client drops what was answered with 400, so the bytes become a reject that can be looked at."""
        if body and len(body) <= self._reception.collect.max_record:
            label = self._reception.label(caller, ())
            await self._reception.store(RECEIVER, caller, [Batch(label, "otlp", [body], {})])

    def _batches(self, found: Found, caller: Caller) -> list[Batch]:
        batches: dict[str, Batch] = {}
        for logs in found.logs:
            label = self._reception.label(caller, names_in(logs.resource))
            batches.setdefault(label, Batch(label, "otlp", [], {})).bodies.extend(logs.bodies)
        return list(batches.values())


def names_in(resource: bytes) -> list[str]:
    """Names by which a resource may be routed: ``sekisho.source`` first, then ``service.name``."""
    found = dict(_LABEL.findall(resource))
    keys = (b"sekisho.source", b"service.name")
    return [found[key].decode("utf-8", "replace") for key in keys if key in found]


def from_json(body: bytes, found: Found) -> Found:
    """Fills ``found``; each part is as received. Raises msgspec's errors, ``TooMany``, ``Refusal``."""
    for raw in _array(_request(body).resource_logs, found):
        of = _resource_logs(raw)
        for raw_scope in _array(of.scope_logs, found):
            scoped = _scope_logs(raw_scope)
            head = found.begin(_plain(of.resource), _plain(scoped.scope))
            for record in _array(scoped.log_records, found):
                found.add(head, record)
    return found


def _array(raw: msgspec.Raw, found: Found) -> list[bytes]:
    """``null`` is the empty list in the protocol's JSON mapping."""
    if bytes(raw) == b"null":
        return []
    elements = objects.array(raw, found.left + 1)
    for _ in elements:
        found.part()
    return elements


def _plain(raw: msgspec.Raw) -> bytes:
    said = bytes(raw)
    return b"{}" if said == b"null" else said


def from_protobuf(body: bytes, found: Found) -> Found:
    """Fills ``found``. Raises ``google.protobuf.message.DecodeError``, ``TooMany``, ``Refusal``.

    The envelope is read by hand and each record by itself: the library makes some 100 bytes of a record of
    two, before anybody could count them.
    """
    for resource_logs in _fields(memoryview(body), found)[0]:
        said, scopes = _fields(resource_logs, found)
        resource = _encode(_resource(Resource.FromString(b"".join(said))))
        for scope_logs in scopes:
            said, records = _fields(scope_logs, found)
            scope = InstrumentationScope.FromString(b"".join(said))
            head = found.begin(resource, _encode(_scope(scope)))
            for record in records:
                if found.fits(len(record)):
                    found.add(head, _encode(_record(LogRecord.FromString(bytes(record)))))
    return found


def _fields(data: memoryview, found: Found) -> tuple[list[memoryview], list[memoryview]]:
    """Contents of the fields 1 and 2, which are messages, of one message of the envelope.

    Every field counts as a part. A message in several parts is their contents one after another, as
    protobuf's encoding says.
    """
    wanted: tuple[list[memoryview], list[memoryview]] = ([], [])
    at = 0
    while at < len(data):
        found.part()
        key, at = _read_varint(data, at)
        number, kind = key >> 3, key & 7
        size = _FIXED.get(kind, 0)
        if kind == _VARINT:
            _, at = _read_varint(data, at)
        elif kind == _LEN:
            size, at = _read_varint(data, at)
        elif not size:
            raise DecodeError(f"wire type {kind} before byte {at}")
        if at + size > len(data):
            raise DecodeError("it is cut off")
        if kind == _LEN and number in (1, 2):
            wanted[number - 1].append(data[at : at + size])
        at += size
    return wanted


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise DecodeError(f"no varint at byte {at}")


def _resource(resource: Any) -> dict[str, Any]:
    return {"attributes": _attributes(resource.attributes)}


def _scope(scope: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"name": scope.name}
    if scope.version:
        said["version"] = scope.version
    if scope.attributes:
        said["attributes"] = _attributes(scope.attributes)
    return said


def _record(record: Any) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if record.time_unix_nano:
        said["timeUnixNano"] = str(record.time_unix_nano)
    if record.observed_time_unix_nano:
        said["observedTimeUnixNano"] = str(record.observed_time_unix_nano)
    if record.severity_number:
        said["severityNumber"] = record.severity_number
    if record.HasField("body"):
        said["body"] = _value(record.body)
    if record.attributes:
        said["attributes"] = _attributes(record.attributes)
    if record.flags:
        said["flags"] = record.flags
    if record.dropped_attributes_count:
        said["droppedAttributesCount"] = record.dropped_attributes_count
    texts = {
        "severityText": record.severity_text,
        "traceId": record.trace_id.hex(),
        "spanId": record.span_id.hex(),
        "eventName": record.event_name,
    }
    return said | {name: text for name, text in texts.items() if text}


def _attributes(attributes: Any) -> list[dict[str, Any]]:
    return [{"key": pair.key, "value": _value(pair.value)} for pair in attributes]


def _value(value: Any) -> dict[str, Any]:
    """``AnyValue``. Its depth is bounded: the protobuf parser refuses more than 100 levels."""
    kind = value.WhichOneof("value")
    if kind is None:
        return {}
    content = getattr(value, kind)
    if kind == "array_value":
        return {"arrayValue": {"values": [_value(one) for one in content.values]}}
    if kind == "kvlist_value":
        return {"kvlistValue": {"values": _attributes(content.values)}}
    return {_KINDS.get(kind, kind): _scalar(kind, content)}


_KINDS = {
    "string_value": "stringValue",
    "bool_value": "boolValue",
    "int_value": "intValue",
    "double_value": "doubleValue",
    "bytes_value": "bytesValue",
}


def _scalar(kind: str, content: Any) -> Any:
    if kind == "int_value":
        return str(content)
    if kind == "bytes_value":
        return base64.b64encode(content).decode()
    if kind == "double_value" and (math.isnan(content) or content in (float("inf"), float("-inf"))):
        return {"inf": "Infinity", "-inf": "-Infinity"}.get(str(content), "NaN")
    return content


def _answer(response: Any, protobuf: bool) -> web.Response:
    if protobuf:
        return web.Response(body=response.SerializeToString(), content_type=_PROTOBUF)
    said: dict[str, Any] = {}
    partial = response.partial_success
    if partial.rejected_log_records:
        count = str(partial.rejected_log_records)
        said["partialSuccess"] = {"rejectedLogRecords": count, "errorMessage": partial.error_message}
    return web.json_response(said)


def wording(request: web.Request, refusal: Refusal) -> web.Response:
    """``google.rpc.Status``: ``code`` (field 1) and ``message`` (field 2)."""
    code = _RPC.get(refusal.status, 2)
    if request.content_type != _PROTOBUF:
        return web.json_response({"code": code, "message": refusal.text}, status=refusal.status)
    text = refusal.text.encode()
    body = b"\x08" + _varint(code) + b"\x12" + _varint(len(text)) + text
    return web.Response(body=body, status=refusal.status, content_type=_PROTOBUF)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
