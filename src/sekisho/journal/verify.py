"""`sekisho verify`: whether the journal is, byte for byte, what was sealed. Offline; writes nothing.

Two sequences of leaves are compared with every signed root: those stored beside the segments, and those of
the frames as they are now. Where both agree and lead to the root, all is as sealed. Where they differ, the
root says which of the two was altered. Where neither leads to it, both were, and the fault lies between two
checkpoints.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sekisho.journal import durable, leaves
from sekisho.journal import format as fmt
from sekisho.journal.durable import DurableMark
from sekisho.journal.leaves import LeafFile, leaf_files
from sekisho.journal.merkle import HASH, Frontier, missing_leaf
from sekisho.journal.scan import Fault, Job, Scanned, scan
from sekisho.journal.trust import Target, Trusted
from sekisho.journal.writer import segments

VERIFIED, TAMPERED, CANNOT = 0, 1, 2


class Span(NamedTuple):
    """Frames ``first`` to ``last``."""

    first: int
    last: int


@dataclass
class Report:
    """What was found. ``code``: 0 all verified, 1 tampering or damage, 2 cannot verify all of it."""

    trusted: Trusted
    faults: list[Fault] = field(default_factory=list)
    untold: int = 0
    cannot: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    frames: int = 0
    bytes: int = 0
    segments: int = 0
    sealed: int = 0
    end: int = 0
    away: list[tuple[Span, str]] = field(default_factory=list)
    skipped: list[Span] = field(default_factory=list)
    unsealed: Span | None = None
    oldest: int = 0
    newest: int = 0

    @property
    def code(self) -> int:
        if self.faults:
            return TAMPERED
        return CANNOT if self.cannot or self.trusted.cannot else VERIFIED


class Plan(NamedTuple):
    """What is read: ``jobs`` by first frame; ``limit`` as in ``Job``."""

    jobs: dict[int, Job]
    files: dict[int, LeafFile]
    firsts: list[int]
    limit: int | None
    mark: int | None

    def end(self, first: int) -> int | None:
        """First frame behind the segment that begins with ``first``; None for the last."""
        i = self.firsts.index(first)
        return self.firsts[i + 1] if i + 1 < len(self.firsts) else None


Progress = Callable[[int, int], None]


def verify(
    folder: Path,
    trusted: Trusted,
    *,
    frames: tuple[int, int | None] = (0, None),
    jobs: int = 1,
    decode: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Verify the journal in ``folder`` against what ``trust.judge`` found (call it before, so that a running
    collector may go on).

    ``frames``   read only segments that hold frames from … to (the rest counts by its leaf hashes)
    ``progress`` is told (bytes read, bytes in all)
    """
    plan = _plan(folder, trusted, frames, decode)
    report = Report(trusted, faults=list(trusted.faults), notices=list(trusted.notices))
    scanned: dict[int, Scanned] = {}
    total = sum(job.segment.stat().st_size for job in plan.jobs.values())
    for done in _scanned(list(plan.jobs.values()), jobs):
        scanned[done.first] = done
        report.bytes += done.size
        if progress is not None:
            progress(report.bytes, total)
    for done in scanned.values():
        _count(report, done)
    _Judge(plan, scanned, trusted, report).run()
    _away(folder, plan, report)
    _added(plan, scanned, report)
    _unsealed(plan, report)
    report.faults.sort(key=lambda fault: (fault.first if fault.first >= 0 else 1 << 62, fault.position))
    return report


def live(folder: Path) -> bool:
    """Whether a collector writes the journal now."""
    try:
        fd = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def frame_at(folder: Path, at: int, *, last: bool) -> int | None:
    """First frame of the segment that holds the time ``at`` (ns since 1970 UTC); with ``last`` its last
    frame, None if nothing is later. Segments whose first frame cannot be read count as earlier."""
    firsts = [(int(path.stem), _began(path)) for path in segments(folder)]
    later = [first for first, began in firsts if began is not None and began > at]
    if last:
        return later[0] - 1 if later else None
    earlier = [first for first, began in firsts if began is None or began <= at]
    return earlier[-1] if earlier else 0


def _began(segment: Path) -> int | None:
    """Time of receipt of a segment's first frame."""
    with segment.open("rb") as file:
        file.seek(fmt.SEGMENT_HEADER.size)
        try:
            header = fmt.read_header(file.read(fmt.FRAME_HEADER.size))
            rest = file.read(header.head)
            return fmt.sound(b"\0" * fmt.FRAME_HEADER.size + rest, header)
        except fmt.Broken:
            return None


def _plan(folder: Path, trusted: Trusted, frames: tuple[int, int | None], decode: bool) -> Plan:
    begin, upto = frames
    sealed = trusted.last.checkpoint.size if trusted.last else 0
    running = live(folder)
    limit = sealed if running else None
    mark = DurableMark(folder).get() if (folder / durable.NAME).exists() and not running else None
    paths = {int(path.stem): path for path in segments(folder)}
    files = {file.first: file for file in leaf_files(folder)}
    firsts = sorted({*paths, *files})
    plan = Plan({}, files, firsts, limit, mark)
    for first, path in sorted(paths.items()):
        end = plan.end(first)
        outside = (end is not None and end <= begin) or (upto is not None and first > upto)
        if outside or (limit is not None and first >= limit):
            continue
        leaf = files[first].path if first in files else None
        plan.jobs[first] = Job(path, leaf, first, end, limit, decode)
    return plan


def _scanned(jobs: Sequence[Job], processes: int) -> Iterator[Scanned]:
    if processes <= 1 or len(jobs) <= 1:
        yield from map(scan, jobs)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(scan, jobs)


def _count(report: Report, done: Scanned) -> None:
    report.segments += 1
    report.frames += done.frames
    report.faults += done.faults
    report.untold += done.untold
    if done.oldest:
        report.oldest = min(report.oldest or done.oldest, done.oldest)
    report.newest = max(report.newest, done.newest)
    report.end = max(report.end, done.end)


class _Judge:
    """Walks the tree from frame 0 on, from one signed root to the next."""

    def __init__(self, plan: Plan, scanned: dict[int, Scanned], trusted: Trusted, report: Report) -> None:
        self._plan = plan
        self._scanned = scanned
        self._targets = trusted.targets
        self._report = report
        self._stored = Frontier()  # by the stored leaves
        self._actual = Frontier()  # by the frames
        self._differs: dict[int, tuple[int, int]] = {}  # since the last root: frame -> (segment, position)
        self._good = 0
        self._whole = True  # no gap so far

    def run(self) -> None:
        targets = list(self._targets)
        for first in self._plan.firsts:
            if not self._segment(first, targets):
                break
        while targets and targets[0].size <= self._stored.size and self._whole:
            self._meet(self._take(targets))
        self._report.sealed = self._good
        self._report.end = max(self._report.end, self._stored.size)
        self._rest(targets)
        self._name_differences(to_blame="frame")

    def _segment(self, first: int, targets: list[Target]) -> bool:
        """Add the leaves of one segment; False where the tree cannot go on."""
        if first > self._stored.size:
            why = "neither the segment nor its leaf hashes are there"
            gap = Fault("missing", self._stored.size, first - 1, "-", 0, why, *self._times(first))
            self._report.faults.append(gap)
            self._whole = False
            return False
        stored, actual = self._leaves(first)
        at = 0
        while at < len(stored):
            size = self._stored.size
            upto = min(len(stored), at + (targets[0].size - size) * HASH if targets else len(stored))
            if upto > at:
                self._note_differences(first, at // HASH, upto // HASH)
                self._stored.extend(stored[at:upto])
                self._actual.extend(actual[at:upto])
            at = max(at, upto)
            while targets and targets[0].size <= self._stored.size:
                if not self._meet(self._take(targets)):
                    return False
        return True

    def _leaves(self, first: int) -> tuple[bytes, bytes]:
        """Leaves of a segment as stored and as the frames are; each filled up from the other."""
        file, done = self._plan.files.get(first), self._scanned.get(first)
        end = self._plan.end(first)
        stored = bytearray(file.path.read_bytes()[: file.many * HASH] if file else b"")
        if end is not None:
            del stored[(end - first) * HASH :]
        known = len(stored) // HASH
        differs = done.differs if done else {}
        for number in sorted(differs):
            if number - first == len(stored) // HASH:
                stored += differs[number][0]
        actual = bytearray(stored)
        for number, (leaf, _) in differs.items():
            if 0 <= number - first < known:
                actual[(number - first) * HASH : (number - first + 1) * HASH] = leaf
        return bytes(stored), bytes(actual)

    def _note_differences(self, first: int, begin: int, end: int) -> None:
        done = self._scanned.get(first)
        file = self._plan.files.get(first)
        known = file.many if file else 0
        for number, (_, position) in (done.differs if done else {}).items():
            if begin <= number - first < min(end, known):
                self._differs[number] = first, position

    @staticmethod
    def _take(targets: list[Target]) -> list[Target]:
        """All roots that are said of the next size."""
        size = targets[0].size
        taken = [target for target in targets if target.size == size]
        del targets[: len(taken)]
        return taken

    def _meet(self, targets: list[Target]) -> bool:
        """Compare with the roots said of this size; False if the journal does not lead to its own."""
        size = targets[0].size
        if size < self._stored.size:
            return True  # size 0, or said behind what is there already
        stored, actual = self._stored.root(), self._actual.root()
        own = [target for target in targets if not target.witness]
        if any(target.root == stored for target in own) or not own:
            blame, right = "frame", stored
        elif any(target.root == actual for target in own):
            blame, right = "leaf", actual
            self._stored = self._actual.copy()
        else:
            self._lost(own[0])
            return False
        for target in targets:
            if target.root != right:
                self._contradicts(target)
        if own:
            self._name_differences(to_blame=blame)
            self._actual = self._stored.copy()
            self._good = size
        return True

    def _contradicts(self, target: Target) -> None:
        kind = "witness" if target.witness else "checkpoint"
        why = (
            f"holds a signed root for {target.size} frames that this journal does not lead to: the history"
            " was rewritten, or forked"
        )
        first = self._good if self._good < target.size else 0
        fault = Fault(kind, first, target.size - 1, target.where, target.position, why)
        self._report.faults.append(fault)

    def _lost(self, target: Target) -> None:
        """Neither sequence leads to the root: what was altered lies behind the last good one."""
        if self._differs:
            self._name_differences(to_blame="frame")
        why = (
            f"from frame {self._good} on, frames and leaf hashes do not lead to the root that was signed for"
            f" {target.size} frames: altered together, or the checkpoint is of another history"
        )
        where = f"{target.where} at {target.position}"
        times = self._times(self._good)
        self._report.faults.append(Fault("altered", self._good, target.size - 1, where, 0, why, *times))
        self._whole = False

    def _rest(self, targets: list[Target]) -> None:
        """Roots that could not be compared."""
        if not targets:
            return
        beyond = [target for target in targets if target.size > self._stored.size]
        if self._whole and beyond:
            last = max(beyond, key=lambda target: target.size)
            kind = "witness" if all(target.witness for target in beyond) else "missing"
            why = f"signed for {last.size} frames, {self._stored.size} are here: cut off or rolled back"
            times = self._times(self._stored.size)
            fault = Fault(kind, self._stored.size, last.size - 1, last.where, last.position, why, *times)
            self._report.faults.append(fault)
        elif not self._whole:
            self._report.cannot.append(
                f"{len(targets)} further signed roots cannot be compared behind frame {self._good - 1}"
            )

    def _name_differences(self, *, to_blame: str) -> None:
        kind = "altered" if to_blame == "frame" else "leaf"
        why = (
            "whole, with a right checksum, and not what was sealed"
            if to_blame == "frame"
            else "its stored leaf hash was altered; the frame itself is what was sealed"
        )
        for number, (first, position) in sorted(self._differs.items())[:1000]:
            where = f"{first:016d}.{'seg' if to_blame == 'frame' else 'leaf'}"
            place = position if to_blame == "frame" else (number - first) * HASH
            fault = Fault(kind, number, number, where, place, why, *self._times(number))
            self._report.faults.append(fault)
        self._report.untold += max(0, len(self._differs) - 1000)
        self._differs.clear()

    def _times(self, number: int) -> tuple[int, int]:
        """Oldest and newest receipt in the segment that holds the frame."""
        for first in reversed(self._plan.firsts):
            if first <= number and first in self._scanned:
                return self._scanned[first].oldest, self._scanned[first].newest
        return 0, 0


def _away(folder: Path, plan: Plan, report: Report) -> None:
    """Leaf hashes without a segment: archived and said so, or removed."""
    for first in plan.firsts:
        if first in plan.jobs:
            continue
        span = Span(
            first, (plan.end(first) or plan.files[first].end if first in plan.files else first + 1) - 1
        )
        if (folder / f"{first:016d}.seg").exists():
            report.skipped.append(span)
            continue
        if span.last < span.first:
            continue
        said = leaves.away(folder, first)
        name = f"{first:016d}.seg"
        if said is not None:
            report.away.append((span, said.why))
            frames = f"frames {span.first} to {span.last}"
            report.cannot.append(f"{name} ({frames}) is not here, checked by leaf hash only: {said.why}")
        elif not _all_recorded_missing(plan.files[first], report):
            why = "the segment is gone, and nothing says that it was archived: only its leaf hashes are here"
            report.faults.append(Fault("missing", span.first, span.last, name, 0, why))


def _all_recorded_missing(file: LeafFile, report: Report) -> bool:
    """Whether these frames never were in a segment: recorded as missing when the collector started."""
    data = file.path.read_bytes()
    if any(data[i * HASH : (i + 1) * HASH] != missing_leaf(file.first + i) for i in range(file.many)):
        return False
    why = "recorded as missing when the collector started"
    report.faults.append(Fault("missing", file.first, file.end - 1, file.path.name, 0, why))
    return True


def _added(plan: Plan, scanned: dict[int, Scanned], report: Report) -> None:
    """Frames that the collector never acknowledged: behind its own mark."""
    last = max(scanned, default=None)
    if plan.mark is None or last is None or scanned[last].end <= plan.mark:
        return
    position = scanned[last].differs.get(plan.mark, (b"", 0))[1]
    why = (
        f"stands behind the end that the collector noted ({plan.mark}): added, or left by a crash"
        " (then a start of the collector takes it up)"
    )
    name = f"{last:016d}.seg"
    report.faults.append(
        Fault("added", plan.mark, scanned[last].end - 1, name, position, why, scanned[last].newest)
    )


def _unsealed(plan: Plan, report: Report) -> None:
    end = report.end if plan.limit is None else min(report.end, plan.limit)
    if report.sealed >= end or report.trusted.last is None:
        return
    report.unsealed = Span(report.sealed, end - 1)
    report.cannot.append(
        f"frames {report.sealed} to {end - 1} are covered by no checkpoint that verifies: nothing proves them"
    )
