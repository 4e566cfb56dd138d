"""One OTLP/JSON log record with its resource and scope (OpenTelemetry protocol 1.x, JSON mapping).

Body: ``{"resource": {...}, "scope": {...}, "logRecord": {...}}``. The record's ``body`` is the payload:
a text as it is, any other value as plain JSON (what is none of the protocol's values stays what it is).
``timeUnixNano`` is the time, else ``observedTimeUnixNano``.
Attribute names are those of the OpenTelemetry semantic conventions (``host.name``, ``service.name``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from sekisho.contract import Hints, Unmappable
from sekisho.normalise.mending import Fitter, sound
from sekisho.normalise.wrapping.unwrapped import Unwrapped

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 253_402_300_799 * 10**9


class _Attribute(msgspec.Struct, gc=False):
    key: str = ""
    value: dict[str, Any] | None = None


class _Holder(msgspec.Struct, gc=False):
    attributes: list[_Attribute] = []
    name: str = ""
    version: str = ""


class _LogRecord(msgspec.Struct, gc=False, rename="camel"):
    time_unix_nano: int | str = 0
    observed_time_unix_nano: int | str = 0
    severity_number: int | str = 0
    severity_text: str = ""
    body: dict[str, Any] | None = None
    attributes: list[_Attribute] = []
    trace_id: str = ""
    span_id: str = ""
    event_name: str = ""


class _Body(msgspec.Struct, gc=False, rename="camel"):
    log_record: _LogRecord
    resource: _Holder | None = None
    scope: _Holder | None = None


_decode = msgspec.json.Decoder(_Body).decode
_fitter = Fitter(_Body, "OTLP")
_DEEPEST = 32


def plain(value: dict[str, Any] | None, depth: int = 0) -> Any:
    """OTLP ``AnyValue`` as a plain JSON value (int64 arrive as texts; bytes stay base64)."""
    if not value:
        return None
    if depth > _DEEPEST:
        return msgspec.json.encode(value).decode()
    kind, content = next(iter(value.items()))
    try:
        if kind == "intValue":
            return int(content)
        if kind == "arrayValue":
            return [plain(item, depth + 1) for item in content.get("values", ())]
        if kind == "kvlistValue":
            return {item["key"]: plain(item.get("value"), depth + 1) for item in content.get("values", ())}
    except (AttributeError, LookupError, TypeError, ValueError):
        return content
    return content


def _attributes(pairs: list[_Attribute]) -> dict[str, Any]:
    return {pair.key: plain(pair.value) for pair in pairs}


def _whole(value: int | str) -> int:
    """A 64-bit integer, which the JSON mapping writes as a text; 0 if it is none."""
    try:
        return int(value)
    except ValueError:
        return 0


def _time(record: _LogRecord) -> datetime | None:
    nanoseconds = _whole(record.time_unix_nano) or _whole(record.observed_time_unix_nano)
    if not 0 < nanoseconds <= _LATEST:
        return None
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def _opened(body: _Body, received_at: datetime, out: dict[str, Any]) -> Unwrapped:
    record = body.log_record
    resource = _attributes(body.resource.attributes) if body.resource else {}
    attributes = _attributes(record.attributes)
    content = plain(record.body)
    payload = content.encode() if isinstance(content, str) else msgspec.json.encode(content)
    rest = {
        "otlp.resource": resource,
        "otlp.attributes": attributes,
        "otlp.scope": body.scope.name if body.scope else "",
        "otlp.severity": record.severity_text,
        "otlp.trace_id": record.trace_id,
        "otlp.span_id": record.span_id,
        "otlp.event_name": record.event_name,
        "otlp.misfit": out,
    }
    merged = {**resource, **attributes}
    host, program, pid = (merged.get(name) for name in ("host.name", "service.name", "process.pid"))
    hints = Hints(
        received_at,
        _time(record),
        host if isinstance(host, str) else None,
        program if isinstance(program, str) else None,
        pid if isinstance(pid, int) else None,
    )
    label = merged.get("com.splunk.sourcetype")
    kept = {name: value for name, value in rest.items() if value}
    return Unwrapped(payload, hints, label if isinstance(label, str) else None, "otlp", kept or None)


def unwrap(body: bytes, received_at: datetime) -> Unwrapped:
    out: dict[str, Any] = {}
    try:
        try:
            opened = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            fitted, out = _fitter.fit(sound(body))
            opened = _decode(fitted)
        return _opened(opened, received_at, out)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise Unmappable(
            "wrong-shape", f"OTLP log record: a value is not what the protocol says: {error}"
        ) from error
