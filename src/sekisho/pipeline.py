"""The whole way of an event, on one screen.

A shipper's bytes were framed into records by ``collect`` and journaled by ``journal`` before they were
acknowledged. From there::

    read -> normalise -> reject -> fold -> enrich -> detect -> alert -> commit

Everything before ``commit`` can be repeated without harm: rejects are keyed by their offset, findings
by their facts, events by their content. The commit stores the events *and* the journal's offset in one
transaction, and it is last. So a crash anywhere costs one repeated batch, no event and no alert.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from sekisho.contract import Context
from sekisho.journal import Damage, Taken
from sekisho.lake import Folded
from sekisho.model import RECORDS_PER_FRAME, Finding, Frame, Offset, Reject
from sekisho.normalise import Normalised

Counts = Mapping[str, Mapping[str, int]]


#: Records of one frame by their indexes; the others come in parts of their own.
Part = range
EVERY = Part(RECORDS_PER_FRAME)


@dataclass(frozen=True)
class Stages:
    """What the pipeline composes; ``wiring`` fills it. See each package for the contract of its stage."""

    read: Callable[[int, int], Taken]  # journal: (first frame, records) -> frames
    normalise: Callable[[Sequence[Frame], Part | None], Normalised]  # records -> events | rejects (pure)
    reject: Callable[[Sequence[Reject], dict[int, int], int, int, Part], None]  # by offset (idempotent)
    fold: Callable[[pa.Table], Folded]  # what the lake already holds is dropped
    context: Callable[[], Context]  # master data, versioned
    enrich: Callable[[pa.Table, Context], pa.Table]  # who, what, where (pure)
    detect: Callable[[pa.Table, Context], list[Finding]]  # rules (pure)
    alert: Callable[[Sequence[Finding]], object]  # raised or updated (idempotent)
    commit: Callable[[pa.Table, int, Counts], None]  # events, offset and counts, atomic
    commit_part: Callable[[pa.Table, int, Counts], None]  # the same without the offset
    offset: Callable[[], int | None]  # last frame committed


class Step(NamedTuple):
    """What one batch came to: ``records = events + rejects + duplicates`` always holds."""

    upto: int
    records: int
    events: int
    rejects: int
    duplicates: int
    findings: int
    oldest: int  # receipt of the oldest record, ns UTC


def advance(stages: Stages, max_records: int) -> Step | None:
    """Take the next frames of the journal all the way; None if there are none."""
    done = stages.offset()
    taken = stages.read(0 if done is None else done + 1, max_records)
    if not taken.frames and not taken.damage:
        return None
    return process(stages, taken)


def process(stages: Stages, taken: Taken, part: Part | None = None) -> Step:
    """The way, of whole frames or of a part of the one frame that is taken."""
    normalised = stages.normalise(taken.frames, part)
    records = sum(len(frame.records.bodies) for frame in taken.frames) if part is None else len(part)
    if normalised.events.num_rows + len(normalised.rejects) != records:
        raise RuntimeError(
            f"{records} records came, {normalised.events.num_rows} events and"
            f" {len(normalised.rejects)} rejects went"
        )
    rejects = [*normalised.rejects, *map(damaged, taken.damage)]
    received_at = {frame.number: frame.records.received_at for frame in taken.frames}
    stages.reject(rejects, received_at, first(taken), taken.next - 1, EVERY if part is None else part)
    folded = stages.fold(normalised.events)
    context = stages.context()
    events = stages.enrich(folded.events, context)
    findings = stages.detect(events, context)
    stages.alert(findings)
    commit = stages.commit if part is None else stages.commit_part
    commit(events, taken.next - 1, counts(rejects, folded.duplicates))
    return Step(
        upto=taken.next - 1,
        records=records,
        events=events.num_rows,
        rejects=len(rejects) - len(taken.damage),
        duplicates=sum(folded.duplicates.values()),
        findings=len(findings),
        oldest=min((frame.records.received_at for frame in taken.frames), default=0),
    )


def first(taken: Taken) -> int:
    """Number of the first frame of a batch, whole or damaged."""
    return min([frame.number for frame in taken.frames] + [damage.first for damage in taken.damage])


def counts(rejects: Sequence[Reject], duplicates: Mapping[str, int]) -> dict[str, Counter[str]]:
    """By source and name, kept beside the events: exact across crashes."""
    found: dict[str, Counter[str]] = {}
    for reject in rejects:
        found.setdefault(reject.source, Counter())["rejects"] += 1
    for source, number in duplicates.items():
        found.setdefault(source, Counter())["duplicates"] += number
    return found


def damaged(damage: Damage) -> Reject:
    """Frames of the journal that cannot be read are rejects too: seen and counted, never passed over."""
    return Reject(
        Offset(damage.first, 0),
        "journal",
        "damaged",
        f"frames {damage.first}-{damage.last} cannot be read: {damage.why}"
        f" (segment {damage.segment}, position {damage.position})",
    )
