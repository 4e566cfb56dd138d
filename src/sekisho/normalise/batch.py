"""The stage: frames → events and rejects. Pure: no clock, no file, no network.

``event_uid`` is the first 32 hex digits of SHA-256 over

* source id, 00, what the sender said beside the body (time and host of HEC raw, header and delimiter of CSV,
  each with 00; nothing if none was said), body; and 00, the occurrence number in decimal, for the 2nd, 3rd …
  identical body of a frame;
* for a record without any time of its own: source id, 00, SHA-256 of the frame's bodies (each preceded by its
  length as 8 bytes, big-endian), 00, index in the frame in decimal, 00, when the batch was received first: ns
  in decimal, that of the first time if the receiver knows the batch for a retry, nothing for a file.

So a batch that is sent again folds onto itself, while lines that are repeated without a time do not vanish.
"""

from __future__ import annotations

import gc
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property, partial
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa

from sekisho.contract import Unmappable
from sekisho.contract.source import AnySource
from sekisho.model import RETRY_OF, Frame, Offset, Records, Reject
from sekisho.normalise import columns
from sekisho.normalise.choosing import Around, Chooser, Refused
from sekisho.normalise.mapper import Mapper, Row, as_json
from sekisho.normalise.routing import Router
from sekisho.normalise.wrapping import Circumstances, Unwrapped, stated, unwrapper
from sekisho.ocsf import NORMALISED_SCHEMA, TIME, Event

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Columns are built for so many records, or so many bytes, at a time (an Arrow text column ends at 2 GiB).
_SLICE_RECORDS = 2_000
_SLICE_BYTES = 64 * 1024 * 1024
#: Attributes that say what a body means: the same row under another header is another record.
_BESIDE = ("time", "host", "csv_header", "csv_delimiter")
#: BLAKE2b (RFC 7693), 128 bits: where the processor has no SHA instructions it costs half of SHA-256.
_hash = partial(hashlib.blake2b, digest_size=16)


class Normalised(NamedTuple):
    """``events`` has ``ocsf.NORMALISED_SCHEMA``, both parts are in journal order."""

    events: pa.Table
    rejects: list[Reject]


@dataclass
class _Frame:
    """One frame on its way."""

    #: packed offset of the first record
    first: int
    receiver: str
    #: when it was received, microseconds since 1970
    at: int
    bodies: tuple[bytes, ...]
    repeated: dict[str, int] = field(default_factory=dict)
    #: what the sender said beside the bodies and what tells two like bodies apart (``_BESIDE``)
    beside: bytes = b""
    #: when the batch was received first; what tells two like batches without any time apart
    first_time: bytes = b""
    #: how often a body stands before the part of the frame that is asked for
    before: Mapping[bytes, int] = field(default_factory=dict)
    #: by the prefix of the source: the hash of all that goes before the body
    begun: dict[bytes, hashlib.blake2b] = field(default_factory=dict)

    @cached_property
    def digest(self) -> bytes:
        whole = _hash()
        for body in self.bodies:
            whole.update(len(body).to_bytes(8, "big"))
            whole.update(body)
        return whole.digest()

    def line(self, mapper: Mapper, unwrapped: Unwrapped, row: Row, index: int) -> tuple[Any, ...]:
        """A row of ``_Slice``."""
        event, kind, left, timeless = row
        body = self.bodies[index]
        uid = self.uid(mapper.prefix, body, index, timeless)
        left = _joined(unwrapped.rest, left) if unwrapped.rest else left
        return event, kind, uid, mapper.source.id, self.first + index, self.at, self.receiver, body, left

    def uid(self, prefix: bytes, body: bytes, index: int, timeless: bool) -> str:
        if timeless:
            return _hash(b"%b%b\x00%d\x00%b" % (prefix, self.digest, index, self.first_time)).hexdigest()
        begun = self.begun.get(prefix)
        if begun is None:
            begun = self.begun[prefix] = _hash(prefix + self.beside)
        whole = begun.copy()
        whole.update(body)
        uid = whole.hexdigest()
        number = self.repeated.get(uid, 0) + 1
        if number == 1 and self.before:
            number += self.before.get(body, 0)
        self.repeated[uid] = number
        if number > 1:  # keyed: no body can be written that has the id of another's repetition
            uid = _hash(b"%d" % number, key=whole.digest()).hexdigest()
        return uid


class _Line(NamedTuple):
    """What ``_Slice.rows`` holds of each row, in this order; plain tuples, because they are made faster."""

    events: Sequence[Event]
    kinds: Sequence[tuple[int, int]]
    uids: Sequence[str]
    sources: Sequence[str]
    offsets: Sequence[int]
    received: Sequence[int]
    receivers: Sequence[str]
    bodies: Sequence[bytes]
    left: Sequence[bytes | None]


@dataclass
class _Slice:
    """Rows that become columns together."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    size: int = 0

    def full(self) -> bool:
        return self.size > _SLICE_BYTES or len(self.rows) >= _SLICE_RECORDS

    def clear(self) -> None:
        self.rows, self.size = [], 0

    def clear_of(self, misfits: columns.Reasons) -> dict[int, str]:
        """Set what fits no column aside, into what is left over; gives the rows that are none without it."""
        out: dict[int, str] = {}
        for index, reasons in misfits.items():
            event, *others, left = self.rows[index]
            aside = columns.cleared(event, reasons)
            if aside is None:
                out[index] = "; ".join(reasons.values())
            else:
                self.rows[index] = (event, *others, _joined(aside, left))
        return out

    def drop(self, out: Mapping[int, str]) -> None:
        self.rows = [row for index, row in enumerate(self.rows) if index not in out]

    def across(self) -> _Line:
        return _Line(*zip(*self.rows, strict=True)) if self.rows else _Line(*([()] * len(_Line._fields)))


def _joined(rest: dict[str, Any] | None, left: bytes | None) -> bytes | None:
    """What the wrapping and what the record left over, as one JSON object."""
    if not rest:
        return left
    outer = as_json(rest)
    return outer if left is None else b"%b,%b" % (outer[:-1], left[1:])


def _beside(records: Records) -> bytes:
    said = [records.attributes.get(name, "") for name in _BESIDE]
    return "\x00".join((*said, "")).encode("utf-8", "surrogatepass") if any(said) else b""


def _first_time(records: Records) -> bytes:
    if records.receiver == "file":
        return b""  # the same file again is the same records
    return (records.attributes.get(RETRY_OF) or str(records.received_at)).encode()


def _wanted(frame: Frame, part: range | None) -> range:
    return range(len(frame.records.bodies)) if part is None else part


@contextmanager
def _collector_off() -> Iterator[None]:
    """Cyclic garbage collection is pure loss while millions of rows without cycles are made (factor 3)."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _stated_zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        return None


class Normaliser:
    """``zone`` (IANA) is that of syslog headers whose time states none; a frame's attribute
    ``zone`` goes first.

    Not for use by several threads at once.
    """

    def __init__(self, sources: Mapping[str, AnySource], *, zone: str = "Asia/Tokyo") -> None:
        self._zone: tzinfo = ZoneInfo(zone)
        self._router = Router({source.id: source for source in sources.values()})
        self._internal = frozenset(source.id for source in sources.values() if source.internal)
        self._chooser = Chooser({source.id: Mapper(source) for source in sources.values()}, self._router)

    def batch(self, frames: Sequence[Frame], part: range | None = None) -> Normalised:
        """Every record of the frames comes out exactly once, as an event or as a reject.

        ``part``  only the records with these indexes, of each frame; what they become is what they become
                  with the whole frame
        """
        tables: list[pa.Table] = []
        rejects: list[Reject] = []
        with _collector_off():
            rows = _Slice()
            for frame in frames:
                for _ in self._frame(frame, _wanted(frame, part), rows, rejects):
                    tables.append(self._columns(rows, rejects))
                    rows.clear()
            tables.append(self._columns(rows, rejects))
        events = pa.concat_tables(tables) if tables else NORMALISED_SCHEMA.empty_table()
        rejects.sort(key=lambda reject: reject.offset)
        came = sum(len(frame.records.bodies) if part is None else len(part) for frame in frames)
        assert len(events) + len(rejects) == came, f"{came} records came, {len(events)} + {len(rejects)} went"
        return Normalised(events, rejects)

    def _frame(self, frame: Frame, wanted: range, rows: _Slice, rejects: list[Reject]) -> Iterator[None]:
        """Rows of one frame into ``rows``; yields whenever ``rows`` is full."""
        records = frame.records
        at = records.received_at // 1000
        received = _EPOCH + timedelta(microseconds=at)
        state = _Frame(Offset(frame.number, 0).packed, records.receiver, at, records.bodies)
        state.beside = _beside(records)
        state.first_time = _first_time(records)
        state.before = Counter(records.bodies[: wanted.start])
        zone = _stated_zone(records.attributes.get("zone", ""))
        circumstances = Circumstances(received, zone or self._zone, records.attributes)
        opened = unwrapper(records.wrapping, circumstances)
        # a JSON record in no wrapping is its own payload: nothing to open
        plain = stated(records.attributes, received) if records.wrapping == "none" else None
        around = Around(zone, zone or self._zone)
        # only the platform's own processes write as an internal source, whoever claims its label
        forged = records.source in self._internal and records.receiver != "internal"
        settle = self._chooser.settler("auto" if forged else records.source)
        for index in wanted:
            body = records.bodies[index]
            unwrapped: Unwrapped | None = None
            try:
                unwrapped = Unwrapped(body, plain) if plain is not None and body[:1] == b"{" else opened(body)
                mapper, unwrapped, row = settle(unwrapped, around)
                rows.rows.append(state.line(mapper, unwrapped, row, index))
            except Refused as refused:
                offset = Offset(frame.number, index)
                rejects.append(self._reject(offset, refused.source, refused.unwrapped, refused.verdict))
            except Unmappable as verdict:
                rejects.append(self._reject(Offset(frame.number, index), records.source, unwrapped, verdict))
            else:
                rows.size += len(body)
                if rows.full():
                    yield

    def _reject(self, offset: Offset, label: str, unwrapped: Unwrapped | None, verdict: Unmappable) -> Reject:
        candidates: tuple[str, ...] = ()
        if unwrapped is not None:
            found = self._router.candidates(unwrapped)
            candidates = tuple(source.id for source in found if source.id != label)
        return Reject(offset, label, verdict.code, verdict.why, candidates)

    def _columns(self, part: _Slice, rejects: list[Reject]) -> pa.Table:
        """The slice as a table; rows that do not fit their columns become rejects."""
        line, filled = self._filled(part, rejects)
        count = len(line.events)
        filled["category_uid"] = pa.array([kind[0] for kind in line.kinds], pa.int32())
        filled["type_uid"] = pa.array([kind[1] for kind in line.kinds], pa.int64())
        filled["event_uid"] = pa.array(line.uids, pa.string())
        filled["source"] = columns.array(line.sources, pa.string())
        filled["journal_offset"] = pa.array(line.offsets, pa.int64())
        filled["ingested_at"] = pa.array(line.received, pa.int64()).view(TIME)
        filled["receiver"] = columns.array(line.receivers, pa.string())
        filled["raw"] = columns.texts(line.bodies)
        filled["unmapped"] = columns.utf8_mended(line.left)
        return columns.table(filled, count)

    def _filled(self, part: _Slice, rejects: list[Reject]) -> tuple[_Line, dict[str, pa.Array]]:
        """The mapped columns, once every value that fits none is set aside."""
        while True:
            line = part.across()
            try:
                return line, columns.mapped(line.events)
            except columns.Misfit as misfit:
                out = part.clear_of(misfit.rows)
            for row, why in out.items():
                source, offset = line.sources[row], Offset.unpack(line.offsets[row])
                rejects.append(Reject(offset, source, "wrong-shape", f"source {source}: {why}"))
            part.drop(out)
