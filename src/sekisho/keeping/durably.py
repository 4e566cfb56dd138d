"""Files that are there whole or not at all, copies whose hash is known, room on the disk."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from sekisho.model import Refused

CHUNK = 1 << 20
#: Left free on a disk after everything that was planned is on it.
SPARE = 64 << 20
DRAFT = ".draft-"

Told = Callable[[int], None]


class Copied(NamedTuple):
    """What was written: bytes, and SHA-256 in hexadecimal digits."""

    size: int
    sha256: str


@contextmanager
def whole(path: Path, *, replace: bool = False) -> Iterator[IO[bytes]]:
    """A file (mode 0600) that appears under its name, fsynced, when the block ends well, and else not at all.

    Raises ``Refused`` when the disk is full, and if the name is taken and ``replace`` is not set.
    """
    draft = path.with_name(f"{DRAFT}{path.name}.{secrets.token_hex(4)}")
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if replace:
            draft.replace(path)
        else:
            os.link(draft, path)
            draft.unlink()
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            draft.unlink()
        if isinstance(error, FileExistsError):
            raise Refused(
                f"{path} is there already", "it is never overwritten; move it away first"
            ) from error
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise full(path) from error
        raise


def full(path: Path) -> Refused:
    return Refused(
        f"{path}: the disk is full; nothing half-written was left behind",
        "make room on that disk and repeat the command: what is there already is not done again",
    )


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def private(folder: Path) -> Path:
    """The folder, made with mode 0700 if it is not there."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def digest(path: Path, told: Told = lambda _: None, *, upto: int | None = None) -> Copied:
    """Size and SHA-256 of a file, or of its first ``upto`` bytes."""
    hashed = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        for part in _parts(file, upto):
            hashed.update(part)
            size += len(part)
            told(len(part))
    return Copied(size, hashed.hexdigest())


def copy(source: Path, target: IO[bytes], told: Told = lambda _: None, *, upto: int | None = None) -> Copied:
    """The file's bytes (the first ``upto``) into ``target``, hashed on the way. ``told``: bytes, as they
    go."""
    hashed = hashlib.sha256()
    size = 0
    with source.open("rb") as file:
        for part in _parts(file, upto):
            hashed.update(part)
            target.write(part)
            size += len(part)
            told(len(part))
    return Copied(size, hashed.hexdigest())


def _parts(file: IO[bytes], upto: int | None) -> Iterator[bytes]:
    left = upto
    while part := file.read(CHUNK if left is None else min(CHUNK, left)):
        yield part
        if left is not None:
            left -= len(part)


def room(folder: Path, needed: int) -> None:
    """Raises ``Refused`` unless ``needed`` bytes and a little more are free where ``folder`` is (or will
    be)."""
    at = folder
    while not at.exists():
        at = at.parent
    stat = os.statvfs(at)
    free = stat.f_bavail * stat.f_frsize
    if free < needed + SPARE:
        raise Refused(
            f"{folder}: {needed / 1e6:,.1f} MB and {SPARE / 1e6:,.0f} MB to spare are needed,"
            f" {free / 1e6:,.1f} MB are free",
            "make room there, or name another place",
        )
