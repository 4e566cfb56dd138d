"""A batch that crashes the pipeline again and again is halved until one record is left; that one is rejected.

The attempt is written down before each batch. When the same batch has crashed as often as the settings
say, its records are tried in child processes, half by half, so that even a record that kills the whole
process (memory, native code) is found; it becomes a reject with code ``crashes`` and the rest goes on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from sekisho import pipeline
from sekisho.journal import Taken
from sekisho.model import Frame, Offset, Reject

log = logging.getLogger(__name__)


class Attempts:
    """How often the batch that begins at a frame was begun. A small file, replaced atomically."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, frame: int) -> int:
        """Note the attempt; gives how many earlier ones did not end."""
        before = self._read()
        crashed = before["begun"] if before["frame"] == frame else 0
        self._write(frame, crashed + 1)
        return crashed

    def end(self) -> None:
        self._write(-1, 0)

    def _read(self) -> dict[str, int]:
        try:
            found = json.loads(self._path.read_text())
            return {"frame": int(found["frame"]), "begun": int(found["begun"])}
        except (OSError, ValueError, KeyError, TypeError):
            return {"frame": -1, "begun": 0}

    def _write(self, frame: int, begun: int) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({"frame": frame, "begun": begun}))
        fresh.replace(self._path)


#: Runs frames through the pure stages in a process of its own: None if it ends well, else what happened.
Trial = Callable[[Sequence[Frame]], str | None]


class Runner:
    """``pipeline.advance`` with the memory of crashes."""

    def __init__(
        self,
        stages: pipeline.Stages,
        attempts: Attempts,
        trial: Trial,
        *,
        max_records: int,
        crashes: int,
    ) -> None:
        self._stages = stages
        self._attempts = attempts
        self._trial = trial
        self._max_records = max_records
        self._crashes = crashes

    def step(self) -> pipeline.Step | None:
        """One batch, or None if there is nothing to do. Raises what the stages raise."""
        done = self._stages.offset()
        start = 0 if done is None else done + 1
        taken = self._stages.read(start, self._max_records)
        if not taken.frames and not taken.damage:
            return None
        crashed = self._attempts.begin(start)
        refused: list[Reject] = []
        if crashed >= self._crashes:
            log.error("the batch from frame %d crashed %d times; looking for the record", start, crashed)
            refused = suspects(taken.frames, self._trial)
            taken = without_records(taken, refused)
        step = pipeline.process(self._stages, taken, refused)
        self._attempts.end()
        return step


def suspects(frames: Sequence[Frame], trial: Trial) -> list[Reject]:
    """Records that crash the pure stages, found by halving: first the frames, then each guilty frame.

    The whole batch first: where it was not a record (the machine was short of memory, a person killed the
    process) one trial says so.
    """
    found: list[Reject] = []
    _halve_frames(frames, trial, found)
    return found


def _halve_frames(frames: Sequence[Frame], trial: Trial, found: list[Reject]) -> None:
    if len(frames) < 2:
        for frame in frames:
            _halve(frame, 0, len(frame.records.bodies), trial, found)
        return
    if trial(frames) is None:
        return
    middle = len(frames) // 2
    _halve_frames(frames[:middle], trial, found)
    _halve_frames(frames[middle:], trial, found)


def _halve(frame: Frame, start: int, end: int, trial: Trial, found: list[Reject]) -> None:
    why = trial([_part(frame, start, end)]) if start < end else None
    if why is None:
        return
    if end - start == 1:
        place = Offset(frame.number, start)
        why = f"the record crashes the pipeline: {why}"
        found.append(Reject(place, frame.records.source, "crashes", why))
        return
    middle = (start + end) // 2
    _halve(frame, start, middle, trial, found)
    _halve(frame, middle, end, trial, found)


def _part(frame: Frame, start: int, end: int) -> Frame:
    return Frame(
        frame.number,
        msgspec.structs.replace(frame.records, bodies=frame.records.bodies[start:end]),
    )


def without_records(taken: Taken, refused: Sequence[Reject]) -> Taken:
    """Blank the refused records, so that offsets of the others stay; ``process`` replaces their reject."""
    away = {reject.offset for reject in refused}
    frames = []
    for frame in taken.frames:
        bodies = tuple(
            b"" if Offset(frame.number, i) in away else body for i, body in enumerate(frame.records.bodies)
        )
        frames.append(Frame(frame.number, msgspec.structs.replace(frame.records, bodies=bodies)))
    return taken._replace(frames=frames)
