"""The mark up to which the journal is on the disk: written by the writer after each fsync, read by readers.

A reader that went past it could hand on frames which a power cut takes away again; their numbers
would be given to other frames, and those would be skipped as already done. The mark itself is not
synced: after a crash the writer finds it anew by checking the last segment.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import google_crc32c

_MARK = struct.Struct("<QI")
NAME = "durable"


class DurableMark:
    """Number of the frame that will come next; every smaller number is on the disk."""

    def __init__(self, folder: Path, *, write: bool = False) -> None:
        self._path = folder / NAME
        flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
        self._fd = os.open(self._path, flags | os.O_CLOEXEC, 0o600)

    def set(self, next_frame: int) -> None:
        number = struct.pack("<Q", next_frame)
        os.pwrite(self._fd, number + struct.pack("<I", google_crc32c.value(number)), 0)

    def get(self) -> int:
        """The mark; 0 if the writer has not written one. A torn read is read again."""
        for _ in range(100):
            data = os.pread(self._fd, _MARK.size, 0)
            if len(data) < _MARK.size:
                return 0
            number, checksum = _MARK.unpack(data)
            if google_crc32c.value(data[:8]) == checksum:
                return int(number)
        return 0

    def close(self) -> None:
        os.close(self._fd)


def sync_folder(folder: Path) -> None:
    """Names made in the folder are on the disk when it returns."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
