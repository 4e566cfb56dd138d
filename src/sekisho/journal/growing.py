"""The tree as its one writer lets it grow: leaves beside their segment, inner nodes, the root so far.

Leaves are written right behind the frames' fsync, without an fsync of their own: a seal syncs them before
it is signed, and so does the end of a segment. A leaf therefore says that its frame was on the disk. After a
crash the leaves below the last checkpoint stand, and those above it are hashed anew from the segment's bytes.
What was sealed is never written again: frames below the last checkpoint whose leaves are gone and whose
segment is gone leave the tree broken, and it says so.
"""

from __future__ import annotations

import logging
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sekisho.journal import format as fmt
from sekisho.journal.durable import sync_folder
from sekisho.journal.leaves import LEVELS, NoLeavesError, StoredTree, leaf_files, leaf_path
from sekisho.journal.merkle import EMPTY_ROOT, HASH, Frontier, leaf_hash, missing_leaf

log = logging.getLogger(__name__)

_SAY_SECONDS = 5.0


class Point(NamedTuple):
    """A state of the tree that may be sealed: its leaves are on the disk."""

    size: int
    root: bytes


class GrowingTree:
    """``broken``: why this tree does not lead to what was sealed; empty if it does. A broken tree
    goes on taking leaves (so that it can be mended), and has no root to seal."""

    def __init__(self, folder: Path, *, fsync: Callable[[int], None] = os.fdatasync) -> None:
        self._folder = folder
        self._fsync = fsync
        self._lock = threading.Lock()
        self._leaf_fd = -1
        self._leaf_first = 0
        self._node_fds: dict[int, int] = {}
        self._frontier = Frontier()
        self._ends: list[Point] = []
        self.broken = ""
        self.next = 0

    # -- start ---------------------------------------------------------------------------------

    def open(self, segments: Sequence[Path], upcoming: int, sealed: Point | None) -> None:
        """Make leaves and nodes complete up to frame ``upcoming`` - 1, and check them against ``sealed``."""
        self.next = upcoming
        done = sealed.size if sealed else 0
        try:
            for first, end, segment in _spans(self._folder, segments, upcoming):
                self._complete(first, end, segment, done)
            self._open_nodes()
            self._check(sealed, upcoming)
        except NoLeavesError as error:
            self._break(str(error))
        self._open_last()

    def _complete(self, first: int, end: int, segment: Path | None, sealed: int) -> None:
        """Leaves of the frames ``first`` to ``end`` - 1: keep what stands, make the rest from the segment."""
        path = leaf_path(self._folder, first)
        have = min(path.stat().st_size // HASH, end - first) if path.exists() else 0
        last = end == self.next
        keep = have if have == end - first and not last else min(have, max(0, sealed - first))
        if keep == end - first and path.exists():
            _cut(path, keep)
            return
        leaves = {} if segment is None else _hashed(segment, first + keep)
        made = []
        for number in range(first + keep, end):
            leaf = leaves.get(number)
            if leaf is None and number < sealed:
                raise NoLeavesError(number, min(end, sealed))
            if leaf is None:
                log.error("frame %d was given out and is not there: recorded as missing", number)
            made.append(leaf or missing_leaf(number))
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, keep * HASH)
            _write_at(fd, b"".join(made), keep * HASH)
            self._fsync(fd)
        finally:
            os.close(fd)
        sync_folder(self._folder)

    def _open_nodes(self) -> None:
        for level in LEVELS:
            path = self._folder / f"nodes.{level}"
            self._node_fds[level] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _check(self, sealed: Point | None, upcoming: int) -> None:
        """The stored tree leads to what was sealed, with the shortcuts or else with new ones."""
        done = sealed.size if sealed else 0
        self._fill_nodes(done, upcoming)
        if sealed and StoredTree(self._folder).frontier(done).root() != sealed.root:
            log.warning("the inner nodes do not lead to the last checkpoint; made again from the leaves")
            self._fill_nodes(0, upcoming)
            if StoredTree(self._folder).frontier(done).root() != sealed.root:
                self._break(f"the leaf hashes do not lead to the root of the last checkpoint (size {done})")
                return
        self._frontier = StoredTree(self._folder).frontier(upcoming)

    def _fill_nodes(self, sealed: int, upcoming: int) -> None:
        """Nodes of what was sealed stay; all above are made again."""
        for level in LEVELS:
            fd = self._node_fds[level]
            keep = min(os.fstat(fd).st_size // HASH, sealed >> level)
            os.ftruncate(fd, keep * HASH)
        tree = StoredTree(self._folder)
        for level in LEVELS:
            fd = self._node_fds[level]
            for index in range(os.fstat(fd).st_size // HASH, upcoming >> level):
                _write_at(fd, tree.node(level, index), index * HASH)

    def _break(self, why: str) -> None:
        self.broken = why
        log.error("the journal cannot be sealed: %s; `sekisho verify` names what is altered", why)

    def _open_last(self) -> None:
        files = [file for file in leaf_files(self._folder) if file.first <= self.next]
        if files:
            self._leaf_first = files[-1].first
            self._leaf_fd = os.open(files[-1].path, os.O_RDWR | os.O_CLOEXEC)

    # -- growing -------------------------------------------------------------------------------

    def begin_segment(self, first: int) -> None:
        """A new segment begins: the leaves of the one before are synced, and its end may be sealed."""
        fd = os.open(
            leaf_path(self._folder, first), os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
        )
        with self._lock:
            if self._leaf_fd >= 0:
                self._fsync(self._leaf_fd)
                os.close(self._leaf_fd)
                if not self.broken:
                    self._ends.append(Point(self.next, self._frontier.root()))
            self._leaf_fd, self._leaf_first = fd, first

    def append(self, frames: Sequence[bytes]) -> None:
        """Leaves of frames that are on the disk. Raises ``OSError`` with nothing changed."""
        leaves = [leaf_hash(frame) for frame in frames]
        with self._lock:
            end = (self.next - self._leaf_first) * HASH
            try:
                _write_at(self._leaf_fd, b"".join(leaves), end)
            except OSError:
                os.ftruncate(self._leaf_fd, end)  # a leaf stands only for a frame that is kept
                raise
            if not self.broken:
                grown = self._frontier.copy()
                for leaf in leaves:
                    for tree in grown.append(leaf):
                        if tree.height in self._node_fds:
                            _write_at(self._node_fds[tree.height], tree.hash, tree.place * HASH)
                self._frontier = grown
            self.next += len(leaves)

    def points(self) -> list[Point]:
        """Ends of segments since the last call, then the state now; their leaves synced. Empty if broken."""
        with self._lock:
            if self.broken:
                return []
            ends, self._ends = self._ends, []
            now = Point(self._frontier.size, self._frontier.root() if self._frontier.size else EMPTY_ROOT)
            fd = os.dup(self._leaf_fd) if self._leaf_fd >= 0 else -1
        if fd >= 0:
            try:
                self._fsync(fd)
            finally:
                os.close(fd)
        return [*(end for end in ends if end.size < now.size), now]

    @property
    def segment_ended(self) -> bool:
        return bool(self._ends)

    def close(self) -> None:
        with self._lock:
            for fd in (self._leaf_fd, *self._node_fds.values()):
                if fd >= 0:
                    os.close(fd)
            self._leaf_fd = -1
            self._node_fds.clear()


def _spans(folder: Path, segments: Sequence[Path], upcoming: int) -> Iterator[tuple[int, int, Path | None]]:
    """(first, end, segment) of every leaf file that must be there: one per segment, and per segment away."""
    paths: dict[int, Path | None] = {}
    for file in leaf_files(folder):
        if file.first >= upcoming:
            file.path.unlink()  # empty: of a segment that never held a frame
        else:
            paths[file.first] = None
    paths.update((int(path.stem), path) for path in segments)
    firsts = sorted(paths)
    if upcoming and (not firsts or firsts[0] > 0):
        firsts.insert(0, 0)
    for i, first in enumerate(firsts):
        yield first, firsts[i + 1] if i + 1 < len(firsts) else upcoming, paths.get(first)


def _hashed(segment: Path, start: int) -> dict[int, bytes]:
    """Leaf by frame number, of every whole frame from number ``start`` on."""
    found: dict[int, bytes] = {}
    size = segment.stat().st_size
    if size <= fmt.SEGMENT_HEADER.size:
        return found
    said = time.monotonic()
    with segment.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for position, header in whole_frames(data):
            if header.number >= start:
                found.setdefault(header.number, leaf_hash(data[position : position + header.size]))
            if time.monotonic() - said > _SAY_SECONDS:
                said = time.monotonic()
                log.info("hashing %s: %.0f %%", segment.name, 100 * position / size)
    log.info("hashed %d frames of %s", len(found), segment.name)
    return found


def whole_frames(data: mmap.mmap) -> Iterator[tuple[int, fmt.FrameHeader]]:
    """Place and header of every frame with a right checksum, damaged stretches skipped."""
    position = fmt.SEGMENT_HEADER.size
    while 0 <= position < len(data):
        try:
            header = fmt.read_header(data[position : position + fmt.FRAME_HEADER.size])
            fmt.check(data[position : position + header.size], header)
        except fmt.Broken:
            position = data.find(fmt.FRAME_MAGIC, position + 1)
            continue
        yield position, header
        position += header.size


def _cut(path: Path, count: int) -> None:
    """Drop what stands behind the leaves that belong to the file (of frames that a crash took back)."""
    if path.stat().st_size > count * HASH:
        os.truncate(path, count * HASH)


def _write_at(fd: int, data: bytes, position: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, position)
        position += written
        view = view[written:]
