"""Rejects that a person marked are tried again; a crash at any moment forgets, loses and doubles none.

The marked records of one frame are taken together, as one commit. The attempt is counted before it
begins; records whose attempt had no end are taken one by one, and one that crashes alone as often as the
settings say stays a reject, with code ``crashes``. What an attempt came to is carried out by plan (see
``journal.rejects``), so the rows, the events and the counters always say the same.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import msgspec
import pyarrow as pa

from sekisho import pipeline
from sekisho.journal import Outcome, RejectRow, Rejects
from sekisho.model import Frame, Reject
from sekisho.normalise import Normalised
from sekisho.quarantine import SURROUNDINGS

log = logging.getLogger(__name__)

#: For each run of neighbouring records the whole frame may be read: so many bytes in one step.
_READ_BYTES = 256 << 20


class Retrier:
    """``frame`` gives a journal frame; the rest as for ``quarantine.Runner``.

    Opening it carries out what a crash had left over, so it is opened before anything is committed.
    """

    def __init__(
        self,
        stages: pipeline.Stages,
        rejects: Rejects,
        frame: Callable[[int], Frame | None],
        *,
        commits: Callable[[], int],
        crashes: int,
        blameless: tuple[type[Exception], ...] = (),
    ) -> None:
        self._stages = stages
        self._rejects = rejects
        self._frame = frame
        self._commits = commits
        self._crashes = crashes
        self._blameless: tuple[type[Exception], ...] = (*SURROUNDINGS, *blameless)
        rejects.carry_out(commits())

    def step(self, limit: int) -> int:
        """One attempt at marked records of one frame, at most ``limit``; gives how many were tried."""
        rows = self._next(limit)
        if not rows:
            return 0
        if rows[0].tried > self._crashes:
            self._give_up(rows[0], "it ends the process")
            return 1
        frame = self._frame(rows[0].reject.offset.frame)
        if frame is None or rows[-1].reject.offset.index >= len(frame.records.bodies):
            self._rejects.end_retry(Outcome(row, _unreadable(row.reject)) for row in rows)
            return len(rows)
        rows = _at_once(rows, frame)
        self._rejects.begin_retry(row.reject.offset for row in rows)
        try:
            self._take(rows, frame)
        except Exception as error:
            if self._blames_nobody(rows, error):
                raise
            number = rows[0].reject.offset.frame
            log.exception("trying %d rejects of frame %d again crashes", len(rows), number)
            if rows[0].tried >= self._crashes:
                self._give_up(rows[0], f"{type(error).__name__}: {error}"[:500])
        return len(rows)

    def _next(self, limit: int) -> list[RejectRow]:
        """The first marked rows that may be taken together. Those of frames not yet done wait."""
        done = self._stages.offset()
        rows = [row for row in self._rejects.to_retry(limit) if row.reject.offset.frame <= (done or 0)]
        if done is None or not rows or rows[0].tried:
            return rows[:1] if done is not None else []
        return [row for row in rows if _group(row) == _group(rows[0])]

    def _take(self, rows: Sequence[RejectRow], frame: Frame) -> None:
        _, source, _ = _group(rows[0])
        frame = Frame(frame.number, msgspec.structs.replace(frame.records, source=source))
        runs = _runs([row.reject.offset.index for row in rows])
        result = _joined([self._stages.normalise([frame], run) for run in runs])
        still = {reject.offset: reject for reject in result.rejects}
        outcomes = [Outcome(row, still.get(row.reject.offset)) for row in rows]
        folded = self._stages.fold(result.events)
        context = self._stages.context()
        events = self._stages.enrich(folded.events, context)
        self._stages.alert(self._stages.detect(events, context))
        self._rejects.plan(outcomes, self._commits())
        self._stages.commit_part(events, frame.number, _counts(outcomes, folded.duplicates))
        self._rejects.carry_out(self._commits())

    def _blames_nobody(self, rows: Sequence[RejectRow], error: Exception) -> bool:
        """Whether it cannot be a record's fault; the attempt then does not count."""
        if self._rejects.carry_out(self._commits()):
            return True  # stored all the same
        if not isinstance(error, self._blameless):
            return False
        with suppress(sqlite3.Error):  # this may be what fails; the first error is the one to tell
            self._rejects.take_back(row.reject.offset for row in rows)
        return True

    def _give_up(self, row: RejectRow, why: str) -> None:
        was = row.reject
        told = f"crashes the pipeline when tried again: {why}; it was rejected before ({was.code}): {was.why}"
        self._rejects.end_retry(
            [Outcome(row, Reject(was.offset, was.source, "crashes", told, was.candidates))]
        )


def _group(row: RejectRow) -> tuple[int, str, bool]:
    """Frame; source to be tried; whether an attempt had no end."""
    return row.reject.offset.frame, row.retry_as or row.reject.source, row.tried > 0


def _unreadable(reject: Reject) -> Reject:
    if reject.code == "damaged":
        return reject
    why = "the journal frame cannot be read"
    return Reject(reject.offset, reject.source, "damaged", why, reject.candidates)


def _at_once(rows: list[RejectRow], frame: Frame) -> list[RejectRow]:
    """As many of the rows as a step has time for, at least one."""
    most = max(1, _READ_BYTES // max(1, sum(map(len, frame.records.bodies))))
    last = _runs([row.reject.offset.index for row in rows])[:most][-1]
    return [row for row in rows if row.reject.offset.index < last.stop]


def _runs(indexes: Sequence[int]) -> list[pipeline.Part]:
    """Neighbouring indexes (sorted) as ranges."""
    found: list[pipeline.Part] = []
    for index in indexes:
        if found and found[-1].stop == index:
            found[-1] = pipeline.Part(found[-1].start, index + 1)
        else:
            found.append(pipeline.Part(index, index + 1))
    return found


def _joined(results: Sequence[Normalised]) -> Normalised:
    events = pa.concat_tables([result.events for result in results])
    return Normalised(events, [reject for result in results for reject in result.rejects])


def _counts(outcomes: Sequence[Outcome], duplicates: Mapping[str, int]) -> dict[str, Counter[str]]:
    """What the commit adds: each record leaves the rejects of its source, or goes over to another's."""
    told = pipeline.counts([outcome.still for outcome in outcomes if outcome.still], duplicates)
    for outcome in outcomes:
        told.setdefault(outcome.row.reject.source, Counter())["rejects"] -= 1
    return told
