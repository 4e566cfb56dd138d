"""The file ``checkpoints`` beside the segments: every checkpoint, and what others said of it. Append-only.

One JSON object per line, each fsynced before anybody is told of it::

    {"at": 1779000000, "note": "<signed note>"}
    {"at": …, "size": 1234, "cosignature": "— witness.example/w1 …\\n"}
    {"at": …, "size": 1234, "stamp": "<base64 of an RFC 3161 response over the note's text>"}

``at`` is the collector's clock in seconds since 1970 UTC, for people only; nothing is proved by it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from sekisho.journal import checkpoint as checkpoints
from sekisho.journal import note as notes
from sekisho.journal.checkpoint import Checkpoint
from sekisho.journal.durable import sync_folder
from sekisho.journal.note import BadNote, Note, Signature

NAME = "checkpoints"
_CHUNK = 64 * 1024


class Line(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One line of the file; exactly one of ``note``, ``cosignature`` and ``stamp`` is filled."""

    at: int
    note: str = ""
    size: int = 0
    cosignature: str = ""
    stamp: str = ""


class Sealed(NamedTuple):
    """A checkpoint as it was signed. ``at``: seconds since 1970 UTC by the collector's clock."""

    at: int
    note: Note
    checkpoint: Checkpoint


class Entry(NamedTuple):
    """A line with its place in the file; ``why`` says what is wrong with it, then ``line`` is None.

    ``whole``: it ends with a newline; one that does not was being written at a crash, or was cut.
    """

    position: int
    size: int
    line: Line | None
    why: str = ""
    whole: bool = True


def sealed(line: Line) -> Sealed:
    """The checkpoint in a line that holds a note; raises ``BadNote``."""
    note = notes.parse(line.note)
    return Sealed(line.at, note, checkpoints.parse(note.text))


def entries(folder: Path, start: int = 0) -> Iterator[Entry]:
    """All lines from byte ``start`` on; nothing if there is no file."""
    path = folder / NAME
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(start)
        position = start
        for raw in file:
            yield _entry(raw, position)
            position += len(raw)


def _entry(raw: bytes, position: int) -> Entry:
    whole = raw.endswith(b"\n")
    try:
        line = msgspec.json.decode(raw, type=Line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Entry(position, len(raw), None, f"not readable: {error}", whole)
    return Entry(position, len(raw), line, whole=whole)


def last(folder: Path) -> Sealed | None:
    """The newest checkpoint, read from the end; None if there is none. Raises ``BadNote`` if it is broken."""
    path = folder / NAME
    if not path.exists():
        return None
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        tail = b""
        while end > 0:
            begin = max(0, end - _CHUNK)
            file.seek(begin)
            tail = file.read(end - begin) + tail
            end = begin
            lines = tail.split(b"\n")[:-1]  # what stands behind the last newline was never finished
            for raw in reversed(lines[1:] if begin else lines):
                if b'"note"' in raw:
                    entry = _entry(raw + b"\n", 0)
                    if entry.line is None:
                        raise BadNote(f"the last checkpoint is {entry.why}")
                    return sealed(entry.line)
    return None


class CheckpointFile:
    """The one writer of the file, thread-safe. An unfinished last line (a crash) is cut off."""

    def __init__(self, folder: Path, *, fsync: Callable[[int], None] = os.fdatasync) -> None:
        self._fsync = fsync
        self._lock = threading.Lock()
        path = folder / NAME
        fresh = not path.exists()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if fresh:
            sync_folder(folder)
        self._cut()

    def _cut(self) -> None:
        size = os.fstat(self._fd).st_size
        begin = max(0, size - notes.MAX_NOTE * 2)
        tail = os.pread(self._fd, size - begin, begin)
        whole = tail.rfind(b"\n") + 1
        if whole < len(tail):
            os.ftruncate(self._fd, begin + whole)

    def add(self, line: Line) -> None:
        """On the disk when it returns. Raises ``OSError``; then the file ends as before."""
        data = msgspec.json.encode(line) + b"\n"
        with self._lock:
            before = os.fstat(self._fd).st_size
            try:
                if os.write(self._fd, data) != len(data):
                    raise OSError(f"the line could not be written whole to {NAME}")
                self._fsync(self._fd)
            except OSError:
                os.ftruncate(self._fd, before)
                raise

    def seal(self, note: Note, at: int) -> None:
        self.add(Line(at, note=str(note)))

    def cosigned(self, size: int, signature: Signature, at: int) -> None:
        self.add(Line(at, size=size, cosignature=signature.line))

    def close(self) -> None:
        with self._lock:
            os.close(self._fd)
            self._fd = -1
