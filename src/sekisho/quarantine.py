"""A batch that crashes the pipeline again and again is halved until one record is left; that one is rejected.

Each attempt is written down before it begins. When the same batch has crashed as often as the settings
say, its frames are taken one by one, and a frame that still crashes in halves, each half for real: what
goes well is stored at once. A single record that crashes as often again, while an empty part does not,
becomes a reject with code ``crashes``. This holds for a mapping's bug (an exception), for a record that
kills the process, and for a batch that is only too much as a whole. Faults of the surroundings (disk,
database) blame no record, nor does a process that somebody kills now and then.

Whether a part that was under way at a crash had been stored is never guessed: the number of the lake's
commits is written down with each attempt, and it grows in the commit's own transaction.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from sekisho import pipeline
from sekisho.journal import Taken
from sekisho.model import ContentError, Frame, Offset, Refused, Reject, Retry
from sekisho.ocsf import EVENT_SCHEMA

log = logging.getLogger(__name__)

#: Not the record's fault: the process ends, or waits, and begins the same part anew.
SURROUNDINGS: tuple[type[Exception], ...] = (Retry, Refused, ContentError, OSError, sqlite3.Error)


class State(msgspec.Struct):
    """What is known of the batch that is under way.

    ``frame``, ``begun``  first frame of the batch, and how often it was begun without an end
    ``careful_upto``      frames up to this one are taken one by one, in parts
    ``parts``             parts of frame ``frame`` that are still to do
    ``tried``             how often the first of them was begun; ``trying``: its last attempt has no end yet
    ``commits``           number of the lake's commits before that attempt
    ``blamed``            why the first part, one record, is thought to crash: an empty part is tried instead
    ``poison``            records that crash, with the reason
    """

    frame: int = -1
    begun: int = 0
    careful_upto: int = -1
    parts: list[tuple[int, int]] = []
    tried: int = 0
    trying: bool = False
    commits: int = -1
    blamed: str = ""
    poison: list[tuple[int, str]] = []


class Attempts:
    """The state in a small file, replaced atomically and, if parts are under way, on the disk at return."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self.state = msgspec.json.decode(path.read_bytes(), type=State)
        except (OSError, msgspec.MsgspecError):
            self.state = State()

    def save(self, *, durable: bool = True) -> None:
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(self.state))
            if durable:
                file.flush()
                os.fsync(file.fileno())
        fresh.replace(self._path)
        if durable:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


class Runner:
    """``pipeline.advance`` with the memory of crashes.

    ``commits``    number of the lake's commits so far (``Lake.commits``)
    ``crashes``    so often a batch may crash before it is taken in parts, and one record before it is blamed
    ``blameless``  further errors that are never a record's fault
    """

    def __init__(
        self,
        stages: pipeline.Stages,
        attempts: Attempts,
        *,
        commits: Callable[[], int],
        max_records: int,
        crashes: int,
        blameless: tuple[type[Exception], ...] = (),
    ) -> None:
        self._stages = stages
        self._attempts = attempts
        self._commits = commits
        self._max_records = max_records
        self._crashes = crashes
        self._blameless: tuple[type[Exception], ...] = (*SURROUNDINGS, *blameless)

    @property
    def in_parts(self) -> bool:
        """Whether a batch is being taken in parts: the next step has something to do."""
        return self._start() <= self._attempts.state.careful_upto

    def _start(self) -> int:
        done = self._stages.offset()
        return 0 if done is None else done + 1

    def step(self) -> pipeline.Step | None:
        """One batch, or one attempt at a part; None if there is nothing to do.

        Raises what the stages raise, except for a part's crash: that step has no records.
        """
        state = self._attempts.state
        start = self._start()
        if start <= state.careful_upto:
            return self._careful(start)
        taken = self._stages.read(start, self._max_records)
        if not taken.frames and not taken.damage:
            return None
        if state.frame == start and state.begun >= self._crashes:
            log.error("the batch from frame %d crashed %d times; it is taken in parts", start, state.begun)
            state.careful_upto = taken.next - 1
            state.frame = -1
            self._attempts.save()
            return self._careful(start)
        return self._whole(start, taken)

    def _whole(self, start: int, taken: Taken) -> pipeline.Step:
        state = self._attempts.state
        begun = state.begun if state.frame == start else 0
        state.frame, state.begun = start, begun + 1
        # Not synced: after a power cut the batch is tried more often, nothing else.
        self._attempts.save(durable=False)
        try:
            step = pipeline.process(self._stages, taken)
        except self._blameless:
            state.begun = begun
            with suppress(OSError):  # the disk may be what fails; the first error is the one to tell
                self._attempts.save(durable=False)
            raise
        state.frame, state.begun = -1, 0
        return step

    # -- in parts ------------------------------------------------------------------------------

    def _careful(self, start: int) -> pipeline.Step | None:
        """One attempt at one part of one frame, or the end of the frame."""
        taken = self._stages.read(start, 1)
        if not taken.frames:
            return pipeline.process(self._stages, taken) if taken.damage else None
        frame = taken.frames[0]
        if not self._is_under_way(frame):
            self._begin(frame)
        self._look_back()
        if self._attempts.state.parts:
            return self._try(taken, frame)
        return self._finish(taken, frame)

    def _is_under_way(self, frame: Frame) -> bool:
        """Whether what is known is of this frame, and of this lake: one put back from a copy lacks parts."""
        state = self._attempts.state
        since = self._commits() - state.commits
        return state.frame == frame.number and (since == 0 or (since == 1 and state.trying))

    def _begin(self, frame: Frame) -> None:
        state = self._attempts.state
        size = len(frame.records.bodies)
        state.frame, state.begun = frame.number, 0
        state.parts = [(0, size)] if size else []
        state.tried, state.trying, state.blamed, state.poison = 0, False, "", []
        state.commits = self._commits()

    def _look_back(self) -> None:
        """What became of an attempt that nobody saw the end of."""
        state = self._attempts.state
        if not state.trying:
            return
        if self._is_stored():
            self._went_well()
        elif state.blamed:
            # Not even nothing goes through, so the record is not to blame: it gets all its attempts anew.
            state.trying, state.blamed, state.tried = False, "", 0
        else:
            self._crashed("it ends the process")

    def _is_stored(self) -> bool:
        return self._commits() > self._attempts.state.commits

    def _try(self, taken: Taken, frame: Frame) -> pipeline.Step:
        """Take the first part all the way; of a blamed record, an empty part in its stead."""
        state = self._attempts.state
        low, high = state.parts[0]
        part = pipeline.Part(low, low if state.blamed else high)
        state.tried, state.trying, state.commits = state.tried + 1, True, self._commits()
        self._attempts.save()
        try:
            step = pipeline.process(self._stages, taken._replace(damage=[]), part)
        except self._blameless:
            self._take_back()
            raise
        except Exception as error:
            if state.blamed or self._is_stored():
                raise  # no record did this; the next step looks back
            log.exception("records %d to %d of frame %d crash the pipeline", low, high - 1, frame.number)
            self._crashed(f"{type(error).__name__}: {error}"[:500])
            return pipeline.Step(frame.number - 1, 0, 0, 0, 0, 0, frame.records.received_at)
        self._went_well()
        return step._replace(upto=frame.number - 1)  # the frame is not done yet

    def _take_back(self) -> None:
        """The attempt does not count, unless it came to its end."""
        state = self._attempts.state
        if self._is_stored():
            return
        state.tried, state.trying = state.tried - 1, False
        with suppress(OSError):  # the disk may be what fails; the first error is the one to tell
            self._attempts.save()

    def _went_well(self) -> None:
        """Written down with the next attempt: until then the lake's commits tell it."""
        state = self._attempts.state
        low, _ = state.parts.pop(0)
        if state.blamed:
            state.poison.append((low, state.blamed))
        state.tried, state.trying, state.blamed, state.commits = 0, False, "", self._commits()

    def _crashed(self, why: str) -> None:
        """Halve at once, which blames nobody; blame a single record only after all its attempts."""
        state = self._attempts.state
        state.trying = False
        low, high = state.parts[0]
        if high - low > 1:
            middle = (low + high) // 2
            state.parts[:1] = [(low, middle), (middle, high)]
            state.tried = 0
        elif state.tried >= self._crashes:
            state.blamed = why

    def _finish(self, taken: Taken, frame: Frame) -> pipeline.Step:
        state = self._attempts.state
        rejects = [
            Reject(Offset(frame.number, i), frame.records.source, "crashes", f"crashes the pipeline: {why}")
            for i, why in state.poison
        ]
        received_at = {frame.number: frame.records.received_at}
        for reject in rejects:
            place = pipeline.Part(reject.offset.index, reject.offset.index + 1)
            self._stages.reject([reject], received_at, frame.number, frame.number, place)
        damaged = [pipeline.damaged(damage) for damage in taken.damage]
        for damage, told in zip(taken.damage, damaged, strict=True):
            self._stages.reject([told], {}, damage.first, damage.last, pipeline.EVERY)
        counts = pipeline.counts([*rejects, *damaged], {})
        self._stages.commit(EVENT_SCHEMA.empty_table(), taken.next - 1, counts)
        state.frame = -1
        return pipeline.Step(taken.next - 1, len(rejects), 0, len(rejects), 0, 0, frame.records.received_at)
