"""One segment read byte by byte for `sekisho verify`: every frame's checksum, content, number and leaf hash.

Pure over its file; many run side by side in processes.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import NamedTuple

import zstandard

from sekisho.journal import format as fmt
from sekisho.journal.merkle import HASH, leaf_hash, missing_leaf

#: Faults of one segment that are told one by one; the rest is only counted.
MOST = 1000


class Fault(NamedTuple):
    """Something that is not as it was sealed.

    ``kind``: ``altered``, ``missing``, ``added``, ``reordered``, ``leaf`` (a stored leaf hash),
    ``checkpoint`` or ``witness``. ``first`` to ``last``: frames (-1: none in particular). ``after`` and
    ``before``: times of receipt (ns since 1970 UTC) of the nearest whole frames on both sides; 0: none.
    """

    kind: str
    first: int
    last: int
    where: str
    position: int
    why: str
    after: int = 0
    before: int = 0


class Job(NamedTuple):
    """``end``: number behind the segment's last frame; ``limit``: frames from here on are not judged
    (they are being written now); ``decode``: unpack the bodies too."""

    segment: Path
    leaves: Path | None
    first: int
    end: int | None
    limit: int | None
    decode: bool


class Scanned(NamedTuple):
    """``differs``: frame → (leaf of the frame as it is, position) where no equal leaf is stored;
    ``stored``: how many leaf hashes the file has."""

    first: int
    frames: int
    end: int
    size: int
    faults: list[Fault]
    untold: int
    differs: dict[int, tuple[bytes, int]]
    stored: int
    oldest: int
    newest: int


class _Walk:
    """State of one pass over a segment."""

    def __init__(self, job: Job, data: mmap.mmap | bytes, stored: bytes) -> None:
        self.job = job
        self.data = data
        self.stored = stored
        self.expected = job.first
        self.faults: list[Fault] = []
        self.untold = 0
        self.differs: dict[int, tuple[bytes, int]] = {}
        self.seen = 0
        self.oldest = self.newest = self.last_at = 0
        self._gaps: dict[int, int] = {}  # number that was left out -> place where it should have stood
        self._open: list[int] = []  # faults that wait for the next whole frame's time
        self._unpacker = zstandard.ZstdDecompressor()

    def run(self) -> None:
        position = fmt.SEGMENT_HEADER.size
        while position < len(self.data) and not self._over():
            try:
                header, at, raw = self._whole(position)
            except fmt.Broken as broken:
                position = self._damaged(position, broken.why)
                continue
            if not self._beyond(header.number):
                self._frame(header, position, at, raw)
            position += header.size
        self._settle_gaps()
        self._tail()

    def refuse(self, kind: str, why: str) -> None:
        """The segment as a whole is not what should stand here."""
        self._say(kind, self.job.first, max(self.job.first, self._upto() - 1), 0, why)
        self.expected = max(self.expected, self._upto())

    def _over(self) -> bool:
        return self.job.limit is not None and self.expected >= self.job.limit

    def _beyond(self, number: int) -> bool:
        return self.job.limit is not None and number >= self.job.limit

    def _whole(self, position: int) -> tuple[fmt.FrameHeader, int, bytes]:
        """Header, time of receipt and bytes of a sound frame; raises ``Broken``."""
        header = fmt.read_header(self.data[position : position + fmt.FRAME_HEADER.size])
        raw = self.data[position : position + header.size]
        fmt.check(raw, header)
        return header, fmt.sound(raw, header, self._unpacker if self.job.decode else None), raw

    def _frame(self, header: fmt.FrameHeader, position: int, at: int, raw: bytes) -> None:
        number = header.number
        self._seen(at)
        if number < self.expected:
            if self._gaps.pop(number, None) is None:
                self._say("added", number, number, position, "its number was there already", at)
            else:
                self._say("reordered", number, number, position, f"it stands behind {self.expected - 1}", at)
                self._compare(number, position, raw)
            return
        if self.job.end is not None and number >= self.job.end:
            why = f"the segment ends with frame {self.job.end - 1}, and {number} belongs behind it"
            self._say("added", number, number, position, why, at)
            return
        for left_out in range(self.expected, min(number, self.expected + 10 * MOST)):
            self._gaps[left_out] = position
        self.seen += 1
        self._compare(number, position, raw)
        self.expected = number + 1
        self.last_at = at

    def _compare(self, number: int, position: int, raw: bytes) -> None:
        leaf = leaf_hash(raw)
        if leaf != self._leaf(number):
            self.differs[number] = (leaf, position)

    def _leaf(self, number: int) -> bytes:
        at = (number - self.job.first) * HASH
        return self.stored[at : at + HASH]

    def _seen(self, at: int) -> None:
        self.oldest = min(self.oldest or at, at)
        self.newest = max(self.newest, at)
        for i in self._open:
            self.faults[i] = self.faults[i]._replace(before=at)
        self._open.clear()

    def _damaged(self, position: int, why: str) -> int:
        """Name what is broken here; gives where the next whole frame begins."""
        following = position + 1
        while (following := self.data.find(fmt.FRAME_MAGIC, following)) >= 0:
            try:
                header, _, _ = self._whole(following)
            except fmt.Broken:
                following += 1
                continue
            break
        end = len(self.data) if following < 0 else following
        upto = self._upto() if following < 0 else header.number
        if upto <= self.expected:
            self._say("added", self.expected, self.expected, position, f"{end - position} bytes are no frame")
        else:
            self._say("altered", self.expected, upto - 1, position, why)
            self.expected = upto
        return end

    def _upto(self) -> int:
        """Number behind the last frame that should be here."""
        known = self.job.end if self.job.end is not None else self.job.first + len(self.stored) // HASH
        return known if self.job.limit is None else min(known, self.job.limit)

    def _settle_gaps(self) -> None:
        """What was left out and did not come later is missing; said once per stretch."""
        lost = sorted(self._gaps)
        while lost:
            first = last = lost.pop(0)
            recorded = self._recorded(first)
            while lost and lost[0] == last + 1 and self._recorded(lost[0]) == recorded:
                last = lost.pop(0)
            self._missing(first, last, self._gaps[first], recorded)

    def _tail(self) -> None:
        first, upto = self.expected, self._upto()
        while first < upto:
            last, recorded = first, self._recorded(first)
            while last + 1 < upto and self._recorded(last + 1) == recorded:
                last += 1
            self._missing(first, last, len(self.data), recorded)
            first = last + 1

    def _recorded(self, number: int) -> bool:
        return self._leaf(number) == missing_leaf(number)

    def _missing(self, first: int, last: int, position: int, recorded: bool) -> None:
        why = "recorded as missing when the collector started" if recorded else "not there"
        self._say("missing", first, last, position, why)

    def _say(self, kind: str, first: int, last: int, position: int, why: str, at: int = 0) -> None:
        if len(self.faults) >= MOST:
            self.untold += 1
            return
        if not at:
            self._open.append(len(self.faults))
        self.faults.append(Fault(kind, first, last, self.job.segment.name, position, why, self.last_at, at))


def scan(job: Job) -> Scanned:
    """Read one segment. Raises ``OSError``."""
    stored = job.leaves.read_bytes() if job.leaves is not None and job.leaves.exists() else b""
    with job.segment.open("rb") as file:
        size = job.segment.stat().st_size
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        walk = _Walk(job, data, stored)
        why = _header_fault(data, job.first)
        if why:
            walk.refuse("altered" if "header" in why else "reordered", why)
        else:
            walk.run()
    return Scanned(
        job.first,
        walk.seen,
        max(walk.expected, job.first + len(stored) // HASH),
        size,
        walk.faults,
        walk.untold,
        walk.differs,
        len(stored) // HASH,
        walk.oldest,
        walk.newest,
    )


def _header_fault(data: mmap.mmap | bytes, first: int) -> str:
    try:
        says = fmt.read_segment_header(data[: fmt.SEGMENT_HEADER.size])
    except fmt.Broken as broken:
        return f"header of the segment: {broken.why}"
    return "" if says == first else f"holds the segment that begins with frame {says}: swapped or renamed"
