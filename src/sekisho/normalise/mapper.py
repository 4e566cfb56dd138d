"""One source at work: decode a payload, map it, finish the row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from sekisho.contract import Hints, Json, Lines, Unmappable
from sekisho.contract.source import AnySource
from sekisho.normalise.formats import windows
from sekisho.normalise.leftovers import Extended, Learner
from sekisho.normalise.mending import Fitter, merged, sound
from sekisho.normalise.wrapping import Unwrapped
from sekisho.ocsf import CLASSES, Event

#: (class, activity) → (category, type): all that OCSF knows.
KINDS: dict[tuple[int, int], tuple[int, int]] = {
    (uid, activity): (known.category_uid, uid * 100 + activity)
    for uid, known in CLASSES.items()
    for activity in known.activities
}
#: syslog severity (RFC 5424, 6.2.1: 0 emergency … 7 debug) → OCSF severity; no severity: informational
SEVERITY = (6, 5, 5, 4, 3, 2, 1, 1)
#: What a mapping raises when a record is not what it expects; anything else ends the process.
_FAULTS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


#: What a record raises that the extended Struct does not serve; the plain way then has the last word.
_NOT_KNOWN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


#: Verdicts after which the record is mended: what is bad in it may be one field that is not needed.
_MENDED = ("not-json", "wrong-shape", "not-utf-8")
#: A time outside these years is no time of a log: at the ends of the calendar arithmetic with zones fails.
EARLIEST, LATEST = 1900, 2200
#: A finished row: event, (category, type), what the mapping left over (a JSON object), whether it is timeless
Row = tuple[Event, tuple[int, int], bytes | None, bool]


def _fault(source: AnySource, error: Exception) -> Unmappable:
    return Unmappable(
        "mapping-fault",
        f"the mapping of source {source.id} failed with {type(error).__name__}: {str(error)[:200]}; "
        f"mend content/sources/{source.id}.py, the record stays in the journal",
    )


def _no_kind(source: AnySource, event: Event) -> Unmappable:
    return Unmappable(
        "mapping-fault",
        f"source {source.id} gave class_uid {event.get('class_uid')}, activity_id "
        f"{event.get('activity_id')}, which OCSF lacks; mend content/sources/{source.id}.py",
    )


def as_json(value: dict[str, Any]) -> bytes:
    """Raises ``Unmappable``."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError as error:  # a lone surrogate, from a mapping
        raise Unmappable("wrong-shape", f"what is left over cannot be written as JSON: {error}") from error


class Mapper:
    """What is known of a source before any record comes."""

    def __init__(self, source: AnySource) -> None:
        self.source = source
        self.prefix = source.id.encode() + b"\x00"
        self._map: Callable[[Any, Hints], Event] = source.map
        self._zone = ZoneInfo(source.zone) if source.zone else None
        self._learner: Learner | None = None
        self._fitter: Fitter | None = None
        self._decode: Callable[[Unwrapped], Any]
        decode = source.decode
        if isinstance(decode, Json):
            self._learner = Learner(decode.record)
            self._fitter = Fitter(decode.record, source.id)
            self._strict = msgspec.json.Decoder(decode.record).decode
            self._lax = msgspec.json.Decoder(decode.record, strict=False).decode
            self._decode = self._json
        elif isinstance(decode, Lines):
            self._parse = decode.parse
            self._decode = self._line
        else:
            self._decode = self._windows

    def _json(self, unwrapped: Unwrapped) -> Any:
        # cells of a CSV row are texts, so numbers and booleans in them are read leniently
        decode = self._lax if unwrapped.wrapping == "csv" else self._strict
        try:
            return decode(unwrapped.payload)
        except msgspec.ValidationError as error:
            raise Unmappable("wrong-shape", f"not a record of source {self.source.id}: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unmappable("not-json", f"this is not JSON: {error}") from error

    def _line(self, unwrapped: Unwrapped) -> Any:
        return self._parse(unwrapped.payload.decode("utf-8", "backslashreplace"), unwrapped.hints)

    @staticmethod
    def _windows(unwrapped: Unwrapped) -> Any:
        return windows.parse(unwrapped.payload, unwrapped.hints)

    def row(self, unwrapped: Unwrapped, zone: tzinfo | None = None) -> Row:
        """``zone`` is what the sender or a person states for times without offset. Raises ``Unmappable``."""
        try:
            return self._row(unwrapped, zone)
        except Unmappable as verdict:
            if verdict.code not in _MENDED or unwrapped.payload.lstrip()[:1] != b"{":
                raise
            return self._mended(unwrapped, zone, verdict)

    def _mended(self, unwrapped: Unwrapped, zone: tzinfo | None, verdict: Unmappable) -> Row:
        """The row of what can be read of a record that was refused as it is; else the verdict stands."""
        payload = sound(unwrapped.payload)
        if self._fitter is None or self._learner is None:
            if payload == unwrapped.payload:
                raise verdict
            return self._row(unwrapped._replace(payload=payload), zone)
        fitted, out = self._fitter.fit(payload, strict=unwrapped.wrapping != "csv")
        if payload == unwrapped.payload and not out:
            raise verdict
        event, kind, _, timeless = self._row(unwrapped._replace(payload=fitted), zone)
        left = merged(self._learner.plan.left(payload, []), out)
        return event, kind, as_json(left) if left else None, timeless

    def _row(self, unwrapped: Unwrapped, zone: tzinfo | None) -> Row:
        hints = unwrapped.hints
        extended: Extended | None = None
        kept: list[msgspec.Raw | None] = []
        if self._learner is not None and unwrapped.wrapping != "csv":
            extended = self._learner.extended
        try:
            if extended is not None:
                try:
                    record, kept = extended.open(unwrapped.payload)
                except _NOT_KNOWN:
                    extended = None
            if extended is None:
                record = self._decode(unwrapped)
            event = self._map(record, hints)
            kind = KINDS.get((event["class_uid"], event["activity_id"]))
        except _FAULTS as error:
            raise _fault(self.source, error) from error
        if kind is None:
            raise _no_kind(self.source, event)
        timeless = self._settle_time(event, hints, zone)
        if event.get("severity_id") is None:
            event["severity_id"] = 1 if hints.severity is None else SEVERITY[hints.severity & 7]
        event.setdefault("metadata_product_name", self.source.product)
        event.setdefault("metadata_product_vendor_name", self.source.vendor)
        left = self._left(unwrapped.payload, record) if extended is None else extended.left(record, kept)
        return event, kind, left, timeless

    def _left(self, payload: bytes, record: Any) -> bytes | None:
        if self._learner is None:
            return as_json(rest) if (rest := getattr(record, "rest", None)) else None
        try:
            return self._learner.left(payload)
        except UnicodeDecodeError as error:
            raise Unmappable("not-utf-8", f"JSON must be UTF-8 (RFC 8259, 8.1): {error}") from error
        except (msgspec.DecodeError, RecursionError) as error:
            raise Unmappable("not-json", f"this is not JSON: {error}") from error

    def _settle_time(self, event: Event, hints: Hints, zone: tzinfo | None) -> bool:
        """Give the event a time with an offset; True if neither the record nor its wrapping had one."""
        time = event.get("time")
        if time is None:
            said = hints.time
            event["time"] = said if said and EARLIEST < said.year < LATEST else hints.received_at
            return said is None
        if not isinstance(time, datetime):
            raise _fault(self.source, TypeError(f"time is {type(time).__name__}, not datetime"))
        if time.tzinfo is None:
            zone = zone or self._zone
            if zone is None:
                raise Unmappable(
                    "no-zone",
                    f"the time {time} has no offset from UTC, and source {self.source.id} names no zone; "
                    "state one: `sekisho ingest --again --zone ZONE FILE`, or let the shipper send offsets",
                )
            event["time"] = time = time.replace(tzinfo=zone)
        if not EARLIEST < time.year < LATEST:
            # kept, searchable and judged by the time of receipt; what it claimed stays in ``raw``
            event["time"] = hints.received_at
        return False
