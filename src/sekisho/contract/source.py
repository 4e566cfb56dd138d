"""A log source: how a record is recognised, decoded and mapped to OCSF. One file per source."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from sekisho.contract.windows import WindowsEvent
from sekisho.model import Text, Wrapping
from sekisho.ocsf import Event

T = TypeVar("T")


class Hints(NamedTuple):
    """What the wrapping around a record says (syslog header, HEC envelope, OTLP record).

    ``time`` carries an offset or is None. ``received_at`` is the receiver's clock in UTC; a mapping
    uses it only to complete a date without a year (RFC 3164), never as the time of the event.
    ``sequence`` is the number that the sender gave the message (RFC 5424, 7.3.1).
    """

    received_at: datetime
    time: datetime | None = None
    host: str | None = None
    program: str | None = None
    pid: int | None = None
    severity: int | None = None
    facility: int | None = None
    sequence: int | None = None


class Unmappable(Exception):  # noqa: N818 - not a fault of the program but a verdict on a record
    """Raised by ``parse`` or ``map``: the record is not what the source documents.

    ``code`` is a short stable word for counting, ``why`` a sentence for a person.
    """

    def __init__(self, code: str, why: str) -> None:
        self.code = code
        self.why = why
        super().__init__(why)


@dataclass(frozen=True)
class Json(Generic[T]):
    """Records are JSON objects; ``record`` is a msgspec Struct that declares just what is mapped.

    Declare a field only if the mapping uses it: all others become ``unmapped`` by themselves.
    """

    record: type[T]


@dataclass(frozen=True)
class Lines(Generic[T]):
    """Records are text (a line, or the MSG part of a syslog message).

    ``parse(text, hints)`` gives the typed record or raises ``Unmappable``. If the record has an
    attribute ``rest`` (``dict[str, str]``), what is left in it after ``map`` becomes ``unmapped``.
    """

    parse: Callable[[str, Hints], T]


@dataclass(frozen=True)
class WindowsEvents:
    """Records are Windows events in any of their notations; ``map`` gets a ``WindowsEvent``."""

    record: type[WindowsEvent] = WindowsEvent


@dataclass(frozen=True)
class Recognise:
    """How an unlabelled record is known to be of this source.

    A record matches if its syslog program is in ``programs``, or if all ``marks`` occur in it and
    ``pattern`` (if given) matches. Of several matching sources the highest ``rank`` wins; several of
    equal rank are ambiguous, and the record is rejected with the candidates named.

    Marks and pattern of a ``Json`` source are asked only of JSON objects, those of a ``Lines`` source only of
    what is none: a line that quotes a record stays a line. The label of a source with ``fallback_for``
    counts as no label; the source gets what no other one recognises.
    """

    marks: tuple[bytes, ...] = ()
    pattern: re.Pattern[bytes] | None = None
    programs: tuple[str, ...] = ()
    sourcetypes: tuple[str, ...] = ()
    rank: int = 0
    fallback_for: Wrapping | None = None


@dataclass(frozen=True)
class Source(Generic[T]):
    """``id``: the file's name without its ending. ``lag``: seconds in which 99.9 % of the events arrive.

    ``zone`` names the IANA zone of times without offset, only if the vendor's documentation does.
    ``advisory`` lists the advisory IDs that this log serves; ``switch_on`` says how to turn it on.
    ``internal``: only the platform itself writes it. It is never taken from a network receiver and never
    recognised by content, so that nobody who may send logs can forge the platform's own audit trail.
    """

    id: str
    title: Text
    vendor: str
    product: str
    decode: Json[T] | Lines[T] | WindowsEvents
    map: Callable[[T, Hints], Event]
    recognise: Recognise
    reference: str
    switch_on: Text
    advisory: tuple[str, ...]
    lag: int = 300
    zone: str | None = None
    #: systems of the master data's ``accounts`` table whose accounts appear in this source
    systems: tuple[str, ...] = field(default=())
    internal: bool = False


AnySource = Source[Any]
