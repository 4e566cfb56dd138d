"""A batch that crashes the pipeline again and again is halved until one record is left; that one is rejected.

Each attempt is written down before it begins. When the same batch has crashed as often as the settings
say, its frames are taken one by one, and a frame that still crashes in halves, each half for real: what
goes well is stored at once. A single record that crashes while an empty part does not becomes a reject with
code ``crashes``. This holds for a mapping's bug (an exception), for a record that kills the process, and for
a batch that is only too much as a whole. Faults of the surroundings (disk, database) blame no record.
"""

from __future__ import annotations

import logging
import sqlite3
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
    ``parts``             parts of frame ``frame`` that are still to do; ``trying``: the first was begun
    ``poison``            records that crash, with the reason
    """

    frame: int = -1
    begun: int = 0
    careful_upto: int = -1
    parts: list[tuple[int, int]] = []
    trying: bool = False
    poison: list[tuple[int, str]] = []


class Attempts:
    """The state in a small file, replaced atomically."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self.state = msgspec.json.decode(path.read_bytes(), type=State)
        except (OSError, msgspec.MsgspecError):
            self.state = State()

    def save(self) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(self.state))
        fresh.replace(self._path)


class Runner:
    """``pipeline.advance`` with the memory of crashes.

    ``blameless``: further errors that are never a record's fault.
    """

    def __init__(
        self,
        stages: pipeline.Stages,
        attempts: Attempts,
        *,
        max_records: int,
        crashes: int,
        blameless: tuple[type[Exception], ...] = (),
    ) -> None:
        self._stages = stages
        self._attempts = attempts
        self._max_records = max_records
        self._crashes = crashes
        self._blameless: tuple[type[Exception], ...] = (*SURROUNDINGS, *blameless)

    def step(self) -> pipeline.Step | None:
        """One batch or part, or None if there is nothing to do. Raises what the stages raise."""
        state = self._attempts.state
        done = self._stages.offset()
        start = 0 if done is None else done + 1
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
        self._attempts.save()
        try:
            step = pipeline.process(self._stages, taken)
        except self._blameless:
            state.begun = begun
            self._attempts.save()
            raise
        state.frame, state.begun = -1, 0
        return step

    # -- in parts ------------------------------------------------------------------------------

    def _careful(self, start: int) -> pipeline.Step:
        """One frame, in as many parts as it needs."""
        taken = self._stages.read(start, 1)
        if not taken.frames:
            return pipeline.process(self._stages, taken)
        frame = taken.frames[0]
        state = self._attempts.state
        if state.frame != frame.number:
            size = len(frame.records.bodies)
            state.frame, state.trying, state.poison = frame.number, False, []
            state.parts = [(0, size)] if size else []
        while state.parts:
            low, high = state.parts[0]
            why = "it ends the process" if state.trying else self._try(taken, low, high)
            if why is None:
                state.parts.pop(0)
            else:
                self._split(taken, low, high, why)
            state.trying = False
            self._attempts.save()
        return self._finish(taken, frame)

    def _try(self, taken: Taken, low: int, high: int) -> str | None:
        """Take a part all the way; what happened if it crashed with an exception."""
        self._attempts.state.trying = True
        self._attempts.save()
        try:
            pipeline.process(self._stages, taken._replace(damage=[]), pipeline.Part(low, high))
        except self._blameless:
            self._attempts.state.trying = False
            self._attempts.save()
            raise
        except Exception as error:
            log.exception("records %d to %d of frame %d crash the pipeline", low, high - 1, taken.next - 1)
            return f"{type(error).__name__}: {error}"[:500]
        return None

    def _split(self, taken: Taken, low: int, high: int, why: str) -> None:
        state = self._attempts.state
        if high - low > 1:
            middle = (low + high) // 2
            state.parts[:1] = [(low, middle), (middle, high)]
            return
        # If not even nothing goes through, the record is not to blame: this raises what is, and the
        # record is tried anew when that is mended.
        state.trying = False
        self._attempts.save()
        pipeline.process(self._stages, taken._replace(damage=[]), pipeline.Part(low, low))
        state.parts.pop(0)
        state.poison.append((low, why))

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
        size = len(frame.records.bodies)
        return pipeline.Step(taken.next - 1, size, size - len(rejects), len(rejects), 0, 0, 0)
