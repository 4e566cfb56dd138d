"""Whether a backup is whole: each of its parts is read and hashed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sekisho.keeping import durably
from sekisho.keeping.backup import box
from sekisho.keeping.backup.description import Backup, Place
from sekisho.keeping.durably import Told


class Fault(NamedTuple):
    """``path``: of the file in the data folder (``secrets`` for all of them)."""

    path: str
    why: str


def verify(at: Place, backup: Backup, keys: box.Keys | None, told: Told = lambda _: None) -> Iterator[Fault]:
    """What is missing, cut short or altered. Without ``keys`` the secrets are hashed but not opened."""
    for entry in backup.files:
        if why := fault(at, entry.sha256, entry.size, told):
            yield Fault(entry.path, why)
    if not backup.secrets:
        yield Fault("secrets", "were left out of this backup")
    elif why := fault(at, backup.secrets, backup.secrets_size, told):
        yield Fault("secrets", why)
    elif keys is not None:
        box.open_(at.file(backup.secrets).read_bytes(), keys)


def fault(at: Place, sha256: str, size: int, told: Told = lambda _: None) -> str:
    """What is wrong with one stored content; empty if nothing."""
    path = at.file(sha256)
    try:
        held = path.stat().st_size
        if held != size:
            return f"{path}: {held} bytes long instead of {size}"
        found = durably.digest(path, told)
    except FileNotFoundError:
        return f"{path}: missing"
    except OSError as error:
        return f"{path}: not readable: {error.strerror}"
    return "" if found.sha256 == sha256 else f"{path}: altered (its SHA-256 is {found.sha256})"
