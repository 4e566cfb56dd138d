"""Readers of a journal: other processes, while the writer appends."""

from __future__ import annotations

import bisect
import mmap
from pathlib import Path
from typing import NamedTuple

from sekisho.journal import format as fmt
from sekisho.journal.durable import NAME, DurableMark
from sekisho.journal.writer import segments
from sekisho.model import Frame


class Damage(NamedTuple):
    """Frames ``first`` to ``last`` cannot be read; where and why. The rest stays readable."""

    first: int
    last: int
    segment: str
    position: int
    why: str


class Taken(NamedTuple):
    """``frames`` in order; ``damage`` between them; ``next`` is where to go on."""

    frames: list[Frame]
    damage: list[Damage]
    next: int


class _Segment:
    """One mapped segment file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.first = int(path.stem)
        with path.open("rb") as file:
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def has_grown(self) -> bool:
        return self.path.stat().st_size > len(self.data)

    def close(self) -> None:
        self.data.close()


class JournalReader:
    """Reads whole frames up to the durable mark; remembers its place, so reading on is cheap."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._after: int | None = None  # first number of the segment behind the mapped one
        self._mark: DurableMark | None = None
        self._segment: _Segment | None = None
        self._place: tuple[int, int] | None = None  # (frame number, position in the segment)

    def end(self) -> int:
        """Number of the frame that will come next; 0 for a journal that was never written."""
        if self._mark is None:
            if not (self._folder / NAME).exists():
                return 0
            self._mark = DurableMark(self._folder)
        return self._mark.get()

    def read(self, start: int, max_records: int, max_bytes: int = 64 * 1024 * 1024) -> Taken:
        """Frames from ``start`` on, at least one if there is one, until a bound is reached.

        ``max_bytes`` counts compressed bytes of frames.
        """
        end = self.end()
        frames: list[Frame] = []
        damage: list[Damage] = []
        at = start
        records = size = 0
        while at < end and records < max_records and size < max_bytes:
            step = self._one(at, end)
            if isinstance(step, Damage):
                damage.append(step)
                at = step.last + 1
                continue
            frame, stored = step
            frames.append(frame)
            records += len(frame.records.bodies)
            size += stored
            at = frame.number + 1
        return Taken(frames, damage, at)

    def frame(self, number: int) -> Frame | None:
        """One frame, or None if it is damaged or not there."""
        if not 0 <= number < self.end():
            return None
        step = self._one(number, number + 1)
        return None if isinstance(step, Damage) else step[0]

    def close(self) -> None:
        self._drop_segment()
        if self._mark is not None:
            self._mark.close()

    # -- inside --------------------------------------------------------------------------------

    def _one(self, number: int, end: int) -> tuple[Frame, int] | Damage:
        segment, following = self._open(number, end)
        if segment is None:
            return Damage(number, following - 1, "-", 0, "no segment holds these frames")
        position = self._find(segment, number)
        try:
            frame, size = _whole(segment.data, position, number)
        except fmt.Broken as broken:
            if segment.has_grown():
                # it was mapped while this frame was being written: map it anew
                self._drop_segment()
                return self._one(number, end)
            found = _resync(segment.data, position + 1, number)
            self._place = found
            last = (found[0] if found else following) - 1
            return Damage(number, max(last, number), segment.path.name, position, broken.why)
        self._place = (number + 1, position + size)
        return frame, size

    def _drop_segment(self) -> None:
        if self._segment is not None:
            self._segment.close()
        self._segment = None
        self._place = None

    def _open(self, number: int, end: int) -> tuple[_Segment | None, int]:
        """Segment that should hold ``number``, and the first number behind it."""
        paths = segments(self._folder) if self._needs_look(number) else []
        if paths:
            firsts = [int(path.stem) for path in paths]
            i = bisect.bisect_right(firsts, number) - 1
            if i < 0:
                return None, min(end, firsts[0])
            same = self._segment is not None and self._segment.first == firsts[i]
            place = self._place if same else None
            self._drop_segment()
            self._segment = _Segment(paths[i])
            self._after = firsts[i + 1] if i + 1 < len(firsts) else None
            self._place = place
        if self._segment is None:
            return None, end
        return self._segment, min(end, self._after) if self._after is not None else end

    def _needs_look(self, number: int) -> bool:
        """True if the mapped segment cannot hold the frame (any more)."""
        segment = self._segment
        if segment is None or number < segment.first:
            return True
        if self._after is not None:
            return number >= self._after
        # the newest segment: it has grown since it was mapped, or a newer one exists
        return self._place is None or self._place[0] != number or self._place[1] >= len(segment.data)

    def _find(self, segment: _Segment, number: int) -> int:
        """Position of the frame: remembered, or found by walking the headers from the start."""
        if self._place is not None and self._place[0] == number:
            return self._place[1]
        position = fmt.SEGMENT_HEADER.size
        view = memoryview(segment.data)
        try:
            while position < len(view):
                try:
                    header = fmt.read_header(view[position:])
                except fmt.Broken:
                    found = _resync(segment.data, position + 1, -1)
                    if found is None or found[0] > number:
                        return position
                    position = found[1]
                    continue
                if header.number >= number:
                    return position
                position += header.size
        finally:
            view.release()
        return position


def _whole(data: mmap.mmap, position: int, number: int) -> tuple[Frame, int]:
    """The frame at this place and its size; raises ``Broken``."""
    view = memoryview(data)
    try:
        rest = view[position:]
        try:
            header = fmt.read_header(rest)
            if header.number != number:
                raise fmt.Broken(f"frame {header.number} stands where {number} should")
            fmt.check(rest, header)
            return fmt.decode(rest, header), header.size
        finally:
            rest.release()
    finally:
        view.release()


def _resync(data: mmap.mmap, position: int, after: int) -> tuple[int, int] | None:
    """(number, position) of the next whole frame with a number above ``after``."""
    view = memoryview(data)
    try:
        while True:
            position = data.find(fmt.FRAME_MAGIC, position)
            if position < 0:
                return None
            try:
                header = fmt.read_header(view[position:])
                fmt.check(view[position:], header)
            except fmt.Broken:
                position += 1
                continue
            if header.number > after:
                return header.number, position
            position += header.size
    finally:
        view.release()
