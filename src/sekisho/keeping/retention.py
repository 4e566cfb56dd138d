"""What has outlived its period, whether it may go, and letting it go.

``plan`` only looks. ``carry_out`` deletes exactly what a plan names, after the journal has been told. In
between,
nothing is decided anew, so a crash costs a repetition: what is gone already is simply not found again.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import mmap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa

from sekisho.journal.leaves import mark_away
from sekisho.journal.rejects import Rejects
from sekisho.journal.writer import segments
from sekisho.keeping import durably
from sekisho.keeping.catalogue import Catalogue, Known
from sekisho.keeping.holds import Hold
from sekisho.keeping.policy import DAY_US, Becomes, Policy, iso
from sekisho.keeping.receipts import Leap, Witness, justified, witness
from sekisho.keeping.segments import HOUR_NS, finished, walk
from sekisho.lake import dropping
from sekisho.lake.dropping import Due, Floor, Limit, Share, Terms
from sekisho.lake.engines import Engine, FileUnreadable
from sekisho.lake.manifest import Stored
from sekisho.lake.reader import Snapshot
from sekisho.lake.writer import Lake
from sekisho.model import RECORDS_PER_FRAME, Refused

log = logging.getLogger(__name__)

#: What has become due within this time since the last run goes by itself; more waits for confirmation.
STEP_US = 2 * DAY_US
#: A segment that was restored stays so long, whatever its age.
RESTORED_US = 30 * DAY_US
_HOUR_US = HOUR_NS // 1000

#: Confirms with the archive, now, that whole copies of the segment and its companions are there.
Archived = Callable[[int], bool]


class Means(NamedTuple):
    """What a plan is made from.

    ``sealed_upto``  frames below this number are sealed and will not change
    ``taken_upto``   frames below this number are in the lake; the journal keeps the others
    ``archived``     None: no archive is configured
    ``local_us``     after this time an archived segment need not stay here; 0: its whole period
    ``confirmed``    a person has seen the plan and said yes
    ``now_ns``       the machine's clock
    """

    journal: Path
    catalogue: Catalogue
    policy: Policy
    holds: tuple[Hold, ...]
    becomes: Becomes
    engine: Engine
    snapshot: Snapshot | None
    sealed_upto: int
    taken_upto: int
    archived: Archived | None
    local_us: int
    confirmed: bool
    now_ns: int


class Row(NamedTuple):
    """One source of the lake. ``oldest``, ``newest``: of the rows that are due. ``waits``: why they do
    not go."""

    source: str
    cutoff: int
    share: Share | None
    waits: str


class Whole(NamedTuple):
    """One segment that is due. ``waits``: why it does not go."""

    path: Path
    known: Known
    newest: int
    why: str
    waits: str


@dataclass
class Plan:
    """``judged``: the time by which age was judged (µs since 1970 UTC). ``problems``: what cannot be
    judged."""

    judged: int
    witness: Witness
    rows: list[Row] = field(default_factory=list)
    due: list[Due] = field(default_factory=list)
    terms: Terms = field(default_factory=lambda: Terms({}))
    segments: list[Whole] = field(default_factory=list)
    held_rows: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def going(self) -> list[Whole]:
        return [whole for whole in self.segments if not whole.waits]

    @property
    def waiting(self) -> list[str]:
        """What does not go without a person, each with its reason."""
        found = [
            f"{row.source}: {row.share.rows:,} events up to {iso(row.share.newest)}: {row.waits}"
            for row in self.rows
            if row.waits and row.share
        ]
        return found + [f"segment {whole.path.name}: {whole.waits}" for whole in self.segments if whole.waits]

    @property
    def empty(self) -> bool:
        return not self.due and not self.going

    def uid(self) -> str:
        """The same for the same deletions, so that a repetition is known for one."""
        told = [
            sorted((one.file.name, sorted(one.shares.items())) for one in self.due),
            [(whole.known.contents.first, whole.known.contents.sha256) for whole in self.going],
        ]
        return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:32]


def look(
    means: Means, told: Callable[[str], None] = lambda _: None
) -> tuple[Witness, list[tuple[Path, Known]]]:
    """Learn the finished segments, and which time the journal's receipts bear out."""
    known: list[tuple[Path, Known]] = []
    for path in finished(means.journal, means.sealed_upto):
        told(path.name)
        known.append((path, means.catalogue.learn(path)))
    seen = [(one.contents.first, one.contents.hours) for one in means.catalogue.segments()]
    learnt = {first for first, _ in seen}
    growing = [path for path in segments(means.journal) if int(path.stem) not in learnt]
    seen += [(int(path.stem), _hours(path)) for path in growing]
    confirmed = means.catalogue.number("confirmed_hour") or 0
    if means.confirmed:
        confirmed = max(confirmed, means.now_ns // HOUR_NS)
    return witness(sorted(seen), confirmed), known


def _hours(path: Path) -> tuple[int, ...]:
    """Hours of receipt of a segment that may still grow."""
    if not path.stat().st_size:
        return ()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        view = memoryview(data)
        found = walk(view, int(path.stem))
        view.release()
    return found.hours


def plan(means: Means, told: Callable[[str], None] = lambda _: None) -> Plan:
    """What is due. Changes nothing but what is known of the segments (the catalogue).

    Raises ``Refused`` where the holds or a finished segment cannot be trusted: then nothing may go.
    """
    seen, known = look(means, told)
    made = Plan(justified(means.now_ns, seen.hour) // 1000, seen)
    if means.now_ns // 1000 > made.judged and seen.leaps:
        made.problems.append(_leap(seen.leaps[0]))
    made.problems += [
        f"segment {path.name} is damaged: what is in it cannot be judged, so it stays"
        for path, one in known
        if not one.contents.whole
    ]
    _plan_lake(means, made, known)
    _plan_journal(means, made, known)
    return made


def _leap(leap: Leap) -> str:
    return (
        f"the time of receipt leaps from {iso(leap.before * _HOUR_US)} to {iso(leap.after * _HOUR_US)}"
        f" (segment {leap.segment}): the clock was changed, or nothing was received so long. Age is judged by"
        " the former;"
        " if the latter is right, confirm it with `sekisho retention run --yes`"
    )


# -- the lake ------------------------------------------------------------------------------------------


def _plan_lake(means: Means, made: Plan, known: Sequence[tuple[Path, Known]]) -> None:
    if means.snapshot is None:
        return
    stored = means.snapshot.files
    sources = sorted({source for file in stored for source in file.sources})
    policy = means.policy
    limits = {s: Limit(made.judged - policy.hot(s), policy.lateness(s)) for s in sources}
    terms = Terms(limits, _floors(made.witness, known))
    found = list(_due(means, made, terms))
    shares: dict[str, Share] = {}
    for one in found:
        for source, share in one.shares.items():
            shares[source] = share.plus(shares.get(source))
    made.rows = [
        Row(source, limits[source].cutoff, share, _too_much(means, source, limits[source].cutoff, share))
        for source in sources
        for share in (shares.get(source),)
    ]
    waiting = {row.source for row in made.rows if row.waits}
    if waiting:
        terms = Terms({s: limit for s, limit in limits.items() if s not in waiting}, terms.floors)
        found = list(_due(means, made, terms, {one.file.id for one in found}))
    made.terms, made.due = terms, found
    made.held_rows = sum(one.held_rows for one in found)


def _floors(seen: Witness, known: Sequence[tuple[Path, Known]]) -> tuple[Floor, ...]:
    """Segments in which the clock had been set back by more than a day."""
    found = []
    for _, one in known:
        start, oldest = seen.at_start.get(one.contents.first), one.contents.oldest
        if start is not None and oldest is not None and oldest < start - 24:
            low, high = one.contents.first, one.contents.last + 1
            found.append(Floor(low * RECORDS_PER_FRAME, high * RECORDS_PER_FRAME - 1, start * _HOUR_US))
    return tuple(found)


def _due(means: Means, made: Plan, terms: Terms, among: set[int] | None = None) -> Iterable[Due]:
    snapshot = means.snapshot
    assert snapshot is not None

    def held(file: Stored, path: Path) -> frozenset[str]:
        return _held(means, file, path)

    for file in snapshot.files:
        if (among is not None and file.id not in among) or not dropping.may_hold(file, terms, made.judged):
            continue
        (path,) = snapshot.paths([file])
        try:
            one = dropping.due(file, path, terms, held)
        except pa.ArrowMemoryError:
            raise
        except (OSError, pa.ArrowException, FileUnreadable) as error:
            made.problems.append(f"{path}: not readable, so nothing of it is deleted: {error}")
            continue
        if one is not None:
            yield one


def _held(means: Means, file: Stored, path: Path) -> frozenset[str]:
    """Ids of the events in this file that a hold covers."""
    found: set[str] = set()
    for hold in means.holds:
        condition = hold.condition()
        if condition.sources is not None and condition.sources.isdisjoint(file.sources):
            continue
        table = means.engine.select(
            [path],
            f"SELECT event_uid FROM events WHERE {condition.sql}",  # noqa: S608 - the condition binds its values
            condition.params,
        )
        found.update(table["event_uid"].to_pylist())
    return frozenset(found)


def _too_much(means: Means, source: str, cutoff: int, share: Share | None) -> str:
    """Why these rows must not go by themselves; empty if they may."""
    if share is None or means.confirmed:
        return ""
    before = means.catalogue.number(f"cutoff:{source}")
    if before is None:
        return "the first deletion of this source waits for confirmation"
    if cutoff - before > STEP_US:
        days = (cutoff - before) / DAY_US
        return f"{days:,.1f} days more than at the last run (setting or clock changed, or long not run)"
    return ""


# -- the journal ---------------------------------------------------------------------------------------


def _plan_journal(means: Means, made: Plan, known: Sequence[tuple[Path, Known]]) -> None:
    candidates = [(path, one, _newest(made.witness, one)) for path, one in known]
    found = [
        Whole(path, one, newest, why, "")
        for path, one, newest in candidates
        if (why := _expired(means, made, one, newest))
    ]
    held = _held_frames(means, found) if found and means.holds else frozenset()
    made.segments = [whole._replace(waits=_must_stay(means, made, whole, held)) for whole in found]


def _newest(seen: Witness, one: Known) -> int:
    """Newest receipt in the segment, as far as it is borne out (µs since 1970 UTC)."""
    hour = one.contents.newest
    start = seen.at_start.get(one.contents.first, hour)
    if hour is None or start is None or seen.hour is None:
        return (seen.hour or 0) * _HOUR_US + _HOUR_US
    return (max(min(hour, seen.hour), start) + 1) * _HOUR_US


def _expired(means: Means, made: Plan, one: Known, newest: int) -> str:
    """Why the segment may go by its age; empty: it is not due."""
    contents = one.contents
    if not contents.whole or contents.last >= min(means.sealed_upto, means.taken_upto):
        return ""
    if one.restored_at is not None and made.judged - one.restored_at // 1000 < RESTORED_US:
        return ""
    ends = [
        max(min((hour + 1) * _HOUR_US, newest), 0) + means.policy.journal(label, means.becomes)
        for label, hour in contents.sources.items()
    ]
    if all(end <= made.judged for end in ends) and newest <= made.judged:
        return "expired"
    if means.local_us and means.archived is not None and newest + means.local_us <= made.judged:
        return "moved"
    return ""


def _must_stay(means: Means, made: Plan, whole: Whole, held: frozenset[int]) -> str:
    contents = whole.known.contents
    for hold in means.holds:
        if any(hold.may_be_in(label, whole.newest, means.becomes) for label in contents.sources):
            return f"held for the case {hold.case}"
    if any(contents.first <= frame <= contents.last for frame in held):
        return "held: events of it stand in the lake"
    if means.archived is not None and not means.archived(contents.first):
        return "not in the archive yet, or not confirmed there"
    if whole.why == "moved" or means.confirmed:
        return ""
    before = means.catalogue.number("journal_judged")
    if before is None or means.catalogue.state("journal_periods") != means.policy.journal_words():
        return "the first deletion under these periods waits for confirmation"
    if made.judged - before > STEP_US:
        return f"{(made.judged - before) / DAY_US:,.1f} days since the last run: waits for confirmation"
    return ""


def _held_frames(means: Means, found: Sequence[Whole]) -> frozenset[int]:
    """Frames of these segments that hold events which a hold covers and which the lake still has."""
    if means.snapshot is None:
        return frozenset()
    low = min(whole.known.contents.first for whole in found)
    high = max(whole.known.contents.last for whole in found)
    frames: set[int] = set()
    near = [
        file
        for file in means.snapshot.files
        if file.offset_min < (high + 1) * RECORDS_PER_FRAME and file.offset_max >= low * RECORDS_PER_FRAME
    ]
    for file, hold in itertools.product(near, means.holds):
        condition = hold.condition()
        table = means.engine.select(
            means.snapshot.paths([file]),
            f"SELECT DISTINCT journal_offset // {RECORDS_PER_FRAME} AS frame FROM events"  # noqa: S608
            f" WHERE {condition.sql} AND journal_offset // {RECORDS_PER_FRAME} BETWEEN ? AND ?",
            (*condition.params, low, high),
        )
        frames.update(table["frame"].to_pylist())
    return frozenset(frames)


# -- doing it ------------------------------------------------------------------------------------------


class Done(NamedTuple):
    """What went: events by source, and segments."""

    events: Mapping[str, int]
    segments: int
    bytes: int


def carry_out(made: Plan, means: Means, lake: Lake | None, tell: Callable[[Plan], None]) -> Done:
    """Delete what the plan names. ``tell`` journals it first; if that fails, nothing is deleted.

    ``lake`` is the opened writer; None where nothing of the lake is due.
    """
    if not made.empty:
        tell(made)
    events: dict[str, int] = {}
    if made.due:
        if lake is None:
            raise Refused("the lake is not open for writing", "run it where the pipeline runs")
        with lake.exclusively() as (manifest, folder, added, gone):
            for one in made.due:
                more, less = dropping.drop(manifest, folder, [one], made.terms, means.now_ns // 1000)
                added += more
                gone |= less
                if less:
                    for source, share in one.shares.items():
                        events[source] = events.get(source, 0) + share.rows
    size = 0
    for whole in made.going:
        size += _delete(whole, means)
    note(made, means)
    return Done(events, len(made.going), size)


def note(made: Plan, means: Means) -> None:
    """Remember up to where was judged, so that the next run may go on from there by itself."""
    with means.catalogue.transaction():
        for row in made.rows:
            if not row.waits:
                means.catalogue.set_state(f"cutoff:{row.source}", row.cutoff)
        if not any(whole.waits.endswith("confirmation") for whole in made.segments):
            means.catalogue.set_state("journal_judged", made.judged)
            means.catalogue.set_state("journal_periods", means.policy.journal_words())
        if means.confirmed and made.witness.hour is not None:
            means.catalogue.set_state("confirmed_hour", made.witness.hour)


def _delete(whole: Whole, means: Means) -> int:
    """The segment only: its leaf hashes and the checkpoints stay for ever."""
    contents = whole.known.contents
    if durably.digest(whole.path).sha256 != contents.sha256:
        raise Refused(
            f"{whole.path}: altered since it was finished; not deleted",
            "it is evidence: run `sekisho backup verify` on a backup, compare, and keep both",
        )
    means.catalogue.gone(contents.first, whole.why, means.now_ns)
    if whole.why == "expired":
        rejects = Rejects(means.journal)
        try:
            frames = (contents.first, contents.last)
            rejects.settle((), {}, frames, (0, RECORDS_PER_FRAME))
        finally:
            rejects.close()
    mark_away(means.journal, contents.first, whole.why, means.now_ns // 1_000_000_000)
    whole.path.unlink(missing_ok=True)
    durably.sync_folder(whole.path.parent)
    log.info("segment %s: %s; %d bytes freed", whole.path.name, whole.why, contents.size)
    return contents.size
