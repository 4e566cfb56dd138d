"""A standing rule: what is *not* there. It is asked again and again over the stored past, not over a batch.

All times are microseconds since 1970 UTC, unless a text shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from sekisho.model import Evidence, Severity, Text


class Unjudged(NamedTuple):
    """``subject`` (a source, a device, a log) cannot be judged; ``reason`` says why, in English."""

    subject: str
    reason: str


class Spot(NamedTuple):
    """Where a record is: the last (or first) of a source, of a host (None: any), low <= time < high.

    ``device``  or of this asset, whatever its host is called
    """

    source: str
    host: str | None
    low: int
    high: int
    newest: bool = True
    sequence: int | None = None
    device: str = ""


class Silence(NamedTuple):
    """Nothing came for a while in which something usually comes.

    ``source``   ``*``: from no source at all (by time of receipt)
    ``host``     empty: the whole source
    ``since``    end of the last 5 minutes with a record; ``until`` start of the next such, None: still silent
    ``missed``   how many stretches of 5 minutes with a record were usual in this while
    ``usual``    the longest usual silence, in the same measure
    ``people``   the source follows people's working days: it is quiet at weekends
    ``alone``    no other source follows people's days, so a public holiday cannot be told from silence
    """

    source: str
    host: str
    since: int
    until: int | None
    missed: float
    usual: float
    people: bool
    alone: bool
    last: Spot


class Mute(NamedTuple):
    """A device lives, other sources show it, but one of its own sources says nothing.

    ``share``  of the earlier hours with a sign of life (``of``) this source had records in so many (0 to 1)
    ``hours``  hours with a sign of life and without a record; ``lived``: the sources that showed it
    """

    source: str
    host: str
    device: str
    since: int
    until: int | None
    hours: int
    share: float
    of: int
    lived: tuple[str, ...]
    last: Spot
    life: Spot


class Hole(NamedTuple):
    """Numbers ``low`` to ``high`` are missing between two stored records of one log of one host.

    ``restart``  no hole: counting began again at ``high`` after ``low``
    """

    source: str
    host: str
    log: str
    low: int
    high: int
    before: Spot
    after: Spot
    restart: bool = False

    @property
    def missing(self) -> int:
        return 0 if self.restart else self.high - self.low + 1


class Shift(NamedTuple):
    """The clock of a host moved: ``by`` seconds (positive: its records are dated too early, the clock is
    behind).

    ``usual``  usual seconds from the time of a record to its receipt
    """

    source: str
    host: str
    at: int
    by: float
    usual: float
    records: int
    first: Spot


class Mark(NamedTuple):
    """One stored event that explains an absence: ``kind`` is time-change, cleared, stopped, sensor, power."""

    kind: str
    time: int
    uid: str
    source: str
    host: str
    device: str
    code: str
    actor: str
    actor_uid: str
    process: str
    text: str


class Rise(NamedTuple):
    """Records of a source suddenly cannot be read. ``share``: of the hour's records; ``usual``: before."""

    source: str
    hour: int
    rejects: int
    records: int
    usual: float
    codes: tuple[tuple[str, int], ...]
    first: Evidence


class Past(Protocol):
    """What is stored, as a standing rule may ask for it. ``since`` and ``upto`` bound what is judged."""

    zone: ZoneInfo
    since: int
    upto: int

    def silences(self) -> tuple[Sequence[Silence], Sequence[Unjudged]]: ...

    def mutes(self, sources: Collection[str]) -> tuple[Sequence[Mute], Sequence[Unjudged]]: ...

    def holes(self) -> tuple[Sequence[Hole], Sequence[Unjudged]]: ...

    def shifts(self) -> tuple[Sequence[Shift], Sequence[Unjudged]]: ...

    def rises(self) -> tuple[Sequence[Rise], Sequence[Unjudged]]: ...

    def marks(self, *kinds: str) -> Sequence[Mark]: ...

    def record(self, spot: Spot) -> Evidence:
        """The record at a spot, as evidence."""
        ...


class Stated(NamedTuple):
    """What is absent. ``subject`` and ``anchor`` decide the alert's id; the evidence is what is still there.

    ``anchor`` ends with the local day (ISO) on which the absence began: days are judged whole.
    """

    subject: str
    anchor: str
    severity: Severity
    what: Text
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class StandingRule:
    """``find`` states everything that is absent between ``past.since`` and ``past.upto``, and what it cannot
    judge. It must be a pure function of the past: asked twice, it says the same; what it says no more,
    because late records filled the hole, is withdrawn.

    ``columns``  event columns without which the rule cannot judge
    """

    id: str
    title: Text
    advisory: tuple[str, ...]
    attack: tuple[str, ...]
    find: Callable[[Past], tuple[Sequence[Stated], Sequence[Unjudged]]]
    why: Text
    todo: tuple[Text, ...]
    columns: tuple[str, ...]
    author: str = "Sekisho"
    reference: str = ""
