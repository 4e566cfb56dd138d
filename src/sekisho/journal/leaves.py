"""Leaf hashes on the disk, and the tree read from them.

======================  =========================================================================
``<first frame>.leaf``   32 bytes for each frame of the segment of that name, in order, and for the
                         numbers behind it up to the next segment. It stays when the segment goes
                         to an archive, so the tree stays whole.
``<first frame>.away``   JSON: why the segment itself is not here (archived to …, expired)
``nodes.8|16|24``        roots of the whole subtrees of 2^8, 2^16, 2^24 leaves, in order. Only a
                         shortcut: it is made again from the leaves, and believed only when it
                         leads to the root that was sealed.
======================  =========================================================================
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from sekisho.journal.durable import sync_folder
from sekisho.journal.merkle import HASH, Frontier, reduced

#: heights of the subtrees that are kept
LEVELS = (8, 16, 24)


class LeafFile(NamedTuple):
    """``many`` whole hashes from frame ``first`` on."""

    path: Path
    first: int
    many: int

    @property
    def end(self) -> int:
        return self.first + self.many


class Away(msgspec.Struct, frozen=True):
    """Why a segment is not here. ``at``: seconds since 1970 UTC."""

    why: str
    at: int


class NoLeavesError(Exception):
    """The hashes of these leaves are not stored (any more)."""

    def __init__(self, begin: int, end: int) -> None:
        self.begin, self.end = begin, end
        super().__init__(f"the leaf hashes of frames {begin} to {end - 1} are not there")


def leaf_files(folder: Path) -> list[LeafFile]:
    """In order of their frames."""
    found = sorted((int(path.stem), path) for path in folder.glob("[0-9]*.leaf") if path.stem.isdigit())
    return [LeafFile(path, first, path.stat().st_size // HASH) for first, path in found]


def leaf_path(folder: Path, first: int) -> Path:
    return folder / f"{first:016d}.leaf"


def mark_away(folder: Path, first: int, why: str, at: int) -> None:
    """Say why the segment that begins with frame ``first`` is taken from here; call it before removing it.

    ``sekisho verify`` then names it as away instead of as missing. ``at``: seconds since 1970 UTC.
    """
    fresh = folder / f"{first:016d}.away.new"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, msgspec.json.encode(Away(why, at)) + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    fresh.replace(folder / f"{first:016d}.away")
    sync_folder(folder)


def away(folder: Path, first: int) -> Away | None:
    """What ``mark_away`` wrote; None if it did not, or if that cannot be read."""
    try:
        return msgspec.json.decode((folder / f"{first:016d}.away").read_bytes(), type=Away)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


class StoredTree:
    """Reads leaves and inner nodes. ``shortcuts=False``: from the leaves alone."""

    def __init__(self, folder: Path, *, shortcuts: bool = True) -> None:
        self._folder = folder
        self._shortcuts = shortcuts
        self._files: list[LeafFile] = []
        self._firsts: list[int] = []
        self.refresh()

    def refresh(self) -> None:
        """Look again which files there are and how long they are."""
        self._files = [file for file in leaf_files(self._folder) if file.many]
        self._firsts = [file.first for file in self._files]

    def size(self) -> int:
        """Leaves from 0 on without a gap."""
        end = 0
        for file in self._files:
            if file.first > end:
                break
            end = max(end, file.end)
        return end

    def leaves(self, begin: int, end: int) -> bytes:
        """Hashes of the frames ``begin`` to ``end`` - 1; raises ``NoLeavesError``."""
        return b"".join(self.chunks(begin, end))

    def chunks(self, begin: int, end: int) -> Iterator[bytes]:
        """The same, file by file."""
        at = begin
        while at < end:
            i = bisect.bisect_right(self._firsts, at) - 1
            upto = min(end, self._files[i].end) if i >= 0 else at
            if i + 1 < len(self._firsts):
                upto = min(upto, self._firsts[i + 1])
            if upto <= at:
                raise NoLeavesError(at, end)
            yield self._read(self._files[i].path, at - self._files[i].first, upto - at, at)
            at = upto

    def node(self, height: int, index: int) -> bytes:
        """Root of the ``index``-th whole subtree of 2**height leaves; raises ``NoLeavesError``."""
        for level in reversed(LEVELS):
            if self._shortcuts and level <= height:
                count = 1 << (height - level)
                found = self._kept(level, index * count, count)
                if found is not None:
                    return reduced(found)
        return self._from_leaves(height, index)

    def frontier(self, size: int) -> Frontier:
        return Frontier.of(size, self.node)

    def _from_leaves(self, height: int, index: int) -> bytes:
        if height <= 16:
            return reduced(self.leaves(index << height, (index + 1) << height))
        frontier = Frontier()  # in pieces: a whole level of hashes might not fit in memory
        for begin in range(index << height, (index + 1) << height, 1 << 16):
            frontier.extend(self.leaves(begin, begin + (1 << 16)))
        return frontier.root()

    def _kept(self, level: int, first: int, count: int) -> bytes | None:
        path = self._folder / f"nodes.{level}"
        try:
            with path.open("rb") as file:
                file.seek(first * HASH)
                data = file.read(count * HASH)
        except FileNotFoundError:
            return None
        return data if len(data) == count * HASH else None

    def _read(self, path: Path, skip: int, count: int, frame: int) -> bytes:
        with path.open("rb") as file:
            file.seek(skip * HASH)
            data = file.read(count * HASH)
        if len(data) != count * HASH:
            raise NoLeavesError(frame, frame + count)
        return data
