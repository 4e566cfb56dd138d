"""Splunk HTTP Event Collector: one event object (``event``, ``time``, ``host``, ``sourcetype``, ``fields``).

``time`` is seconds since 1970 UTC, as a number or as text, with or without a fraction. ``event`` is a
text or any JSON value. A member that is none of this is told as ``hec.NAME``. Format: Splunk's public
documentation "Format events for HTTP Event Collector".
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from sekisho.contract import Hints, Unmappable
from sekisho.normalise.mending import Fitter, sound
from sekisho.normalise.wrapping.unwrapped import Unwrapped

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Envelope(msgspec.Struct, gc=False):
    event: msgspec.Raw = msgspec.Raw(b"")
    time: msgspec.Raw = msgspec.Raw(b"")
    host: str | None = None
    sourcetype: str | None = None
    source: str | None = None
    index: str | None = None
    fields: dict[str, Any] | None = None


_SECONDS = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,12})?(?:[eE][+-]?[0-9]{1,2})?")
_decode = msgspec.json.Decoder(_Envelope).decode
_text = msgspec.json.Decoder(str).decode
_fitter = Fitter(_Envelope, "HEC")


def seconds(value: str) -> datetime | None:
    """Seconds since 1970 UTC in decimal notation, exact to the microsecond; None if it is no such number.

    The notation is bounded before any arithmetic: a decimal with a huge exponent costs minutes.
    """
    if not _SECONDS.fullmatch(value):
        return None
    try:
        return _EPOCH + timedelta(microseconds=int(Decimal(value) * 1_000_000))
    except (ArithmeticError, ValueError):
        return None


def _time(raw: bytes) -> datetime | None:
    if raw in (b"", b"null"):
        return None
    found = seconds(raw.decode("ascii", "replace").strip('"').strip())
    if found is None:
        shown = raw[:60].decode("utf-8", "backslashreplace")
        raise Unmappable("wrong-shape", f"HEC: 'time' is not a number of seconds since 1970: {shown}")
    return found


def _opened(body: bytes) -> tuple[_Envelope, bytes]:
    """The envelope and what is in it. Raises msgspec's errors."""
    envelope = _decode(body)
    event = bytes(envelope.event)
    return envelope, _text(event).encode() if event[:1] == b'"' else event


def unwrap(body: bytes, received_at: datetime) -> Unwrapped:
    out: dict[str, Any] = {}
    try:
        envelope, payload = _opened(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fitted, out = _fitter.fit(sound(body))
        envelope, payload = _opened(fitted)
    if payload in (b"", b"null"):
        raise Unmappable("wrong-shape", "HEC event object: 'event' is missing or empty")
    rest = {
        f"hec.{name}": value
        for name, value in (
            ("source", envelope.source),
            ("sourcetype", envelope.sourcetype),
            ("index", envelope.index),
            ("fields", envelope.fields),
        )
        if value
    }
    rest |= {f"hec.{name}": value for name, value in out.items()}
    hints = Hints(received_at, _time(bytes(envelope.time)), envelope.host)
    return Unwrapped(payload, hints, envelope.sourcetype, "hec", rest or None)
