"""What is in a segment of the journal, without unpacking it: sources, hours of receipt, frames, hash."""

from __future__ import annotations

import hashlib
import mmap
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from sekisho.journal import format as fmt
from sekisho.journal.writer import segments

HOUR_NS = 3_600_000_000_000


class _Head(msgspec.Struct, array_like=True, gc=False):
    """The beginning of a frame's head (``journal.format``); what follows is not needed here."""

    source: str
    receiver: str
    wrapping: str
    peer: str
    identity: str
    received_at: int


_decode = msgspec.msgpack.Decoder(_Head).decode


class Contents(msgspec.Struct, frozen=True):
    """One segment.

    ``last``     number of its last frame (``first - 1`` if it holds none)
    ``sources``  labels under which records came in, with the newest hour of receipt of each
    ``hours``    hours of receipt since 1970 UTC in the order of the frames, repetitions left out
    ``whole``    every frame up to the end of the file was readable
    """

    first: int
    last: int
    size: int
    sha256: str
    sources: dict[str, int]
    hours: tuple[int, ...]
    whole: bool

    @property
    def newest(self) -> int | None:
        """Newest hour of receipt; None if no frame could be read."""
        return max(self.hours, default=None)

    @property
    def oldest(self) -> int | None:
        return min(self.hours, default=None)


class Walked(NamedTuple):
    """Of the frames of a mapped segment: see ``Contents``; ``end`` is the place after the last whole
    frame."""

    last: int
    sources: dict[str, int]
    hours: tuple[int, ...]
    end: int


def contents(path: Path) -> Contents:
    """Read a finished segment once: its hash and what its heads say.

    Raises ``OSError`` where the file cannot be read. A frame that is broken ends the walk (``whole`` is
    false):
    of what follows nothing is known.
    """
    first = int(path.stem)
    size = path.stat().st_size
    if not size:
        return Contents(first, first - 1, 0, hashlib.sha256().hexdigest(), {}, (), whole=False)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        hashed = hashlib.sha256()
        view = memoryview(data)
        for at in range(0, len(view), 1 << 24):
            hashed.update(view[at : at + (1 << 24)])
        walked = walk(view, first)
        whole = walked.end == len(view) and read_first(view) == first
        view.release()
    return Contents(first, walked.last, size, hashed.hexdigest(), walked.sources, walked.hours, whole)


def header(path: Path) -> int | None:
    """Number of the first frame as the file says it, None if it is no segment."""
    with path.open("rb") as file:
        return read_first(memoryview(file.read(fmt.SEGMENT_HEADER.size)))


def read_first(view: memoryview) -> int | None:
    """Number of the first frame as the segment's header says, None if it has none."""
    try:
        return fmt.read_segment_header(bytes(view[: fmt.SEGMENT_HEADER.size]))
    except fmt.Broken:
        return None


def walk(view: memoryview, first: int, *, before: int | None = None) -> Walked:
    """Go from head to head; stop at the end, at a break, or at frame number ``before``."""
    position = fmt.SEGMENT_HEADER.size
    last = first - 1
    sources: dict[str, int] = {}
    hours: list[int] = []
    while position < len(view):
        try:
            header = fmt.read_header(view[position : position + fmt.FRAME_HEADER.size])
            if position + header.size > len(view):
                break
            start = position + fmt.FRAME_HEADER.size
            head = _decode(view[start : start + header.head])
        except (fmt.Broken, msgspec.MsgspecError):
            break
        if before is not None and header.number >= before:
            break
        hour = head.received_at // HOUR_NS
        sources[head.source] = max(hour, sources.get(head.source, hour))
        if not hours or hours[-1] != hour:
            hours.append(hour)
        last = header.number
        position += header.size
    return Walked(last, sources, tuple(hours), position)


def finished(folder: Path, sealed_upto: int) -> list[Path]:
    """Segments that will not change any more and whose frames are all below ``sealed_upto``, oldest first."""
    paths = segments(folder)
    return [path for path, following in pairwise(paths) if int(following.stem) <= sealed_upto]


def companions(path: Path) -> list[Path]:
    """Files beside a segment that belong to it (its leaf hashes): same number, another ending."""
    return sorted(
        other
        for other in path.parent.glob(f"{path.stem}.*")
        if other.suffix != path.suffix and other.is_file()
    )


def standing(folder: Path) -> list[Path]:
    """Files of the journal as a whole (checkpoints and the like): no segment, no companion, no state of
    a process."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file()
        and not path.stem.isdigit()
        and path.name not in {"lock", "durable"}
        and ".sqlite3" not in path.name
        and not path.name.startswith(".")
    )
