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
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

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

_encode = msgspec.json.Encoder().encode


class _ScopeLogs(msgspec.Struct, gc=False, rename="camel"):
    scope: msgspec.Raw = msgspec.Raw(b"{}")
    log_records: list[msgspec.Raw] = []


class _ResourceLogs(msgspec.Struct, gc=False, rename="camel"):
    resource: msgspec.Raw = msgspec.Raw(b"{}")
    scope_logs: list[_ScopeLogs] = []


class _Request(msgspec.Struct, gc=False, rename="camel"):
    resource_logs: list[_ResourceLogs] = []


_decode = msgspec.json.Decoder(_Request).decode


class Logs(NamedTuple):
    """All records of one resource and scope."""

    resource: bytes
    scope: bytes
    records: list[bytes]


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
        async with self._reception.body(request) as body:
            try:
                found = await self._reception.parsed(from_protobuf if protobuf else from_json, body)
            except (DecodeError, msgspec.MsgspecError, RecursionError, ValueError) as error:
                await self._keep_broken(body, caller)
                raise Refusal(
                    400, "malformed", f"the body is no ExportLogsServiceRequest: {error}"
                ) from error
            batches, too_large = self._batches(found, caller)
            await self._reception.store(RECEIVER, caller, batches)
        if not too_large:
            return _answer(ExportLogsServiceResponse(), protobuf)
        stored = sum(len(batch.bodies) for batch in batches)
        why = self._reception.oversized(*too_large[0], stored=stored).text
        self._reception.count_refused(RECEIVER, "record-too-large", len(too_large))
        partial = ExportLogsPartialSuccess(rejected_log_records=len(too_large), error_message=why)
        return _answer(ExportLogsServiceResponse(partial_success=partial), protobuf)

    async def _keep_broken(self, body: bytes, caller: Caller) -> None:
        """A client drops what was answered with 400, so the bytes become a reject that can be looked at."""
        if body and len(body) <= self._reception.collect.max_record:
            label = self._reception.label(caller, ())
            await self._reception.store(RECEIVER, caller, [Batch(label, "otlp", [body], {})])

    def _batches(self, found: list[Logs], caller: Caller) -> tuple[list[Batch], list[tuple[int, int]]]:
        batches: dict[str, Batch] = {}
        too_large: list[tuple[int, int]] = []
        limit, number = self._reception.collect.max_record, 0
        for logs in found:
            label = self._reception.label(caller, names_in(logs.resource))
            bodies = batches.setdefault(label, Batch(label, "otlp", [], {})).bodies
            head = b'{"resource":' + logs.resource + b',"scope":' + logs.scope + b',"logRecord":'
            for record in logs.records:
                body = head + record + b"}"
                if len(body) > limit:
                    too_large.append((number, len(body)))
                else:
                    bodies.append(body)
                number += 1
        return list(batches.values()), too_large


def names_in(resource: bytes) -> list[str]:
    """Names by which a resource may be routed: ``sekisho.source`` first, then ``service.name``."""
    found = dict(_LABEL.findall(resource))
    keys = (b"sekisho.source", b"service.name")
    return [found[key].decode("utf-8", "replace") for key in keys if key in found]


def from_json(body: bytes) -> list[Logs]:
    """Raises msgspec's errors; each part is exactly as received."""
    return [
        Logs(_plain(of.resource), _plain(scoped.scope), [bytes(record) for record in scoped.log_records])
        for of in _decode(body).resource_logs
        for scoped in of.scope_logs
    ]


def _plain(raw: msgspec.Raw) -> bytes:
    found = bytes(raw)
    return b"{}" if found == b"null" else found


def from_protobuf(body: bytes) -> list[Logs]:
    """Raises ``google.protobuf.message.DecodeError``."""
    request = ExportLogsServiceRequest.FromString(body)
    return [
        Logs(
            _encode(_resource(of.resource)),
            _encode(_scope(scoped.scope)),
            [_encode(_record(record)) for record in scoped.log_records],
        )
        for of in request.resource_logs
        for scoped in of.scope_logs
    ]


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
