"""The one writer of a journal."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import zstandard

from sekisho.journal import format as fmt
from sekisho.journal import sealed
from sekisho.journal.durable import DurableMark, sync_folder
from sekisho.journal.growing import GrowingTree, Point
from sekisho.journal.leaves import leaf_files
from sekisho.journal.note import BadNote
from sekisho.model import Records, Refused, Retry

log = logging.getLogger(__name__)

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
DISK_FULL_RETRY = 5.0


def segments(folder: Path) -> list[Path]:
    """Segment files, oldest first."""
    return sorted(folder.glob("[0-9]*.seg"))


class JournalWriter:
    """Appends frames. ``append`` returns when they are on the disk; one caller at a time.

    ``segment_bytes``  a new segment begins when the current one has grown past it
    ``min_free``       bytes that must stay free on the disk; below, ``Retry`` is raised
    ``at_least``       frames below this number were already taken by the lake; never given out again
    ``fsync``          only for tests that lose unsynced data

    Raises ``Refused`` if another process writes this journal, naming it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = 128 * 1024 * 1024,
        min_free: int = 0,
        at_least: int = 0,
        fsync: Callable[[int], None] = os.fdatasync,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._min_free = min_free
        self._fsync = fsync
        self._lock = _lock(folder)
        self._compressor = zstandard.ZstdCompressor(level=1)
        self._fd = -1
        self._size = 0
        self._next = 0
        self._mark = DurableMark(folder, write=True)
        #: the Merkle tree over all frames; what it says may be sealed
        self.tree = GrowingTree(folder, fsync=fsync)
        last, why = _last_sealed(folder)
        leaves = max((file.end for file in leaf_files(folder) if file.many), default=0)
        self._recover(max(self._mark.get(), at_least, leaves, last.size if last else 0))
        self.tree.open(segments(folder), self._next, last)
        self.tree.broken = self.tree.broken or why
        self._mark.set(self._next)

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def next_frame(self) -> int:
        return self._next

    def append(self, batches: Sequence[Records]) -> list[int]:
        """Write the batches as frames, fsync once, and give their numbers.

        Raises ``Retry`` when the disk is full: then nothing of this call was kept. Any other
        ``OSError`` means that the state of the disk is unknown; the process must end and recover.
        """
        if self._min_free and self._free() < self._min_free:
            raise Retry(DISK_FULL_RETRY, f"less than {self._min_free} bytes free for the journal")
        frames = [fmt.encode(self._next + i, records, self._compressor) for i, records in enumerate(batches)]
        start = self._size
        try:
            if self._fd < 0 or self._size >= self._segment_bytes:
                self._new_segment()
                start = self._size
            self._write(b"".join(frames))
            self._fsync(self._fd)
            self.tree.append(frames)
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise
            self._take_back(start)
            raise Retry(DISK_FULL_RETRY, "no space left for the journal") from error
        numbers = list(range(self._next, self._next + len(frames)))
        self._next += len(frames)
        self._mark.set(self._next)
        return numbers

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.tree.close()
        self._mark.close()
        os.close(self._lock)

    # -- inside --------------------------------------------------------------------------------

    def _free(self) -> int:
        stat = os.statvfs(self._folder)
        return stat.f_bavail * stat.f_frsize

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self._fd, view)
            self._size += written
            view = view[written:]

    def _take_back(self, size: int) -> None:
        """After a full disk: cut the half-written frames off, so that the next append is clean."""
        if self._fd < 0:
            return
        os.ftruncate(self._fd, size)
        os.lseek(self._fd, size, os.SEEK_SET)
        self._size = size

    def _new_segment(self) -> None:
        path = self._folder / f"{self._next:016d}.seg"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, fmt.segment_header(self._next))
            self._fsync(fd)
            self.tree.begin_segment(self._next)
            sync_folder(self._folder)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._size = fmt.SEGMENT_HEADER.size

    def _recover(self, acknowledged: int) -> None:
        """Find the end of the last segment; cut off a frame that was being written at a crash.

        Frames below ``acknowledged`` were on the disk: if one of them is not whole now, that is damage, not
        a torn write. It stays as evidence, and its number is not given out again.
        """
        self._next = acknowledged
        paths = segments(self._folder)
        if not paths:
            return
        path = paths[-1]
        data = path.read_bytes()
        if len(data) < fmt.SEGMENT_HEADER.size:
            # a crash while the segment was being made: it never held a frame
            path.unlink()
            self._next = max(acknowledged, int(path.stem))
            return
        end, following, intact = _end_of(data, path)
        self._next = max(acknowledged, following)
        if not intact or acknowledged > following:
            log.error("segment %s is damaged; writing goes on in a new one", path.name)
            return
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        if end < len(data):
            log.warning("cutting %d bytes of an unfinished frame off %s", len(data) - end, path.name)
            os.ftruncate(fd, end)
        self._fsync(fd)
        os.lseek(fd, end, os.SEEK_SET)
        self._fd = fd
        self._size = end


def _end_of(data: bytes, path: Path) -> tuple[int, int, bool]:
    """(end of the last whole frame, number that comes next, whether nothing whole follows a break)."""
    try:
        following = fmt.read_segment_header(data)
    except fmt.Broken:
        later = _last_whole_after(data, 0)
        return 0, (int(path.stem) if later is None else later) + 1, False
    position = fmt.SEGMENT_HEADER.size
    view = memoryview(data)
    while position < len(data):
        try:
            header = fmt.read_header(view[position:])
            fmt.check(view[position:], header)
        except fmt.Broken:
            later = _last_whole_after(data, position + 1)
            if later is None:
                return position, following, True
            return position, later + 1, False
        following = header.number + 1
        position += header.size
    return position, following, True


def _last_whole_after(data: bytes, position: int) -> int | None:
    """Number of the last whole frame behind a break, or None."""
    last = None
    view = memoryview(data)
    while True:
        position = data.find(fmt.FRAME_MAGIC, position)
        if position < 0:
            return last
        try:
            header = fmt.read_header(view[position:])
            fmt.check(view[position:], header)
        except fmt.Broken:
            position += 1
            continue
        last = header.number
        position += header.size


def _lock(folder: Path) -> int:
    path = folder / "lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(fd, 100).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise Refused(
            f"the journal {folder} is already being written by process {holder}",
            "stop that process, or send the records to it instead of opening the journal twice",
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
    return fd


def _last_sealed(folder: Path) -> tuple[Point | None, str]:
    """What the last checkpoint sealed, and why that cannot be known."""
    try:
        last = sealed.last(folder)
    except BadNote as error:
        return None, f"the last checkpoint cannot be read: {error.why}"
    return (Point(last.checkpoint.size, last.checkpoint.root) if last else None), ""
