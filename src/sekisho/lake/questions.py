"""What a person can ask the store, as values: they also go over the socket of `sekisho serve ask`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from sekisho.lake.moments import Span, span
from sekisho.model import Refused

SAME = ("user", "device", "ip", "session")


class Stopped(Exception):  # noqa: N818 - a wish, not a fault
    """Whoever asked does not want the rest."""


@dataclass
class Meter:
    """How far an answer has come, in events looked through. ``stop`` may be called from any thread."""

    done: int = 0
    total: int = 0
    found: int = 0
    notes: list[str] = field(default_factory=list)
    offset: int | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    interrupt: Callable[[], None] | None = None

    def stop(self) -> None:
        self.ended.set()
        if self.interrupt is not None:
            self.interrupt()

    def told(self, rows: int) -> None:
        self.done += rows
        if self.ended.is_set():
            raise Stopped


class Asked(msgspec.Struct, frozen=True, tag_field="ask", forbid_unknown_fields=True):
    """``query`` in the search language; ``since``, ``until`` as a person writes times, in ``zone``."""

    query: str = ""
    since: str = ""
    until: str = ""
    zone: str = "Asia/Tokyo"


class Find(Asked, frozen=True, tag="find"):
    """Events. ``single``: a lone match comes with all its columns. ``whole``: all of them do."""

    limit: int = 50
    order: Literal["newest", "oldest"] = "newest"
    columns: tuple[str, ...] = ()
    single: bool = False
    export: bool = False


class Count(Asked, frozen=True, tag="count"):
    """One row ``n``."""


class Histogram(Asked, frozen=True, tag="histogram"):
    bucket: str = "AUTO"
    by: str = ""
    export: bool = False


class Top(Asked, frozen=True, tag="top"):
    """Rows ``field``, ``value``, ``n``."""

    fields: tuple[str, ...] = ()
    limit: int = 10
    export: bool = False


class Around(Asked, frozen=True, tag="around"):
    """What happened within ``minutes`` of an event, about the ``same`` user, device, ip or session."""

    event_uid: str = ""
    minutes: int = 10
    same: tuple[str, ...] = ()
    limit: int = 200
    columns: tuple[str, ...] = ()


class Explain(Asked, frozen=True, tag="explain"):
    """Rows ``line``: the SQL and the files that would be looked through."""


class Sql(Asked, frozen=True, tag="sql"):
    statement: str = ""
    rows: int = 1000
    seconds: float = 60.0


class Sought(NamedTuple):
    kind: str
    value: str
    name: str


class Hunted(Asked, frozen=True, tag="hunt"):
    """``query`` and ``until`` are not used."""

    sought: tuple[Sought, ...] = ()
    export: bool = False


class Tail(Asked, frozen=True, tag="tail"):
    """First the last ``last`` events, or all since ``since``; then what is stored, until it is stopped."""

    last: int = 10
    columns: tuple[str, ...] = ()


Question = Find | Count | Histogram | Top | Around | Explain | Sql | Hunted | Tail


def zone_of(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Refused(f"--zone {name}: no such time zone", "give an IANA name such as Asia/Tokyo") from error


def moment(option: str, text: str, zone: ZoneInfo, now: datetime) -> Span:
    try:
        return span(text, zone, now)
    except (ValueError, OverflowError) as error:
        raise Refused(f"{option}: {error}") from error
