"""What a backup says of itself."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import NamedTuple

import msgspec

from sekisho.keeping import durably
from sekisho.keeping.backup import box
from sekisho.model import Refused

LAYOUT = 1
MARKER = "sekisho-backup.json"
_STAMP = re.compile(r"\d{8}T\d{6}Z(-\d+)?")


class Tables(msgspec.Struct, frozen=True):
    """Of the events: by source, how many and the XOR of MD5 halves over id and place; see ``facts``."""

    counts: dict[str, int]
    digests: dict[str, str]


class Facts(msgspec.Struct, frozen=True):
    """What must be found again in a restored copy.

    ``frames``     from the first frame that is there to the one that comes next
    ``offset``     last frame in the lake, None if nothing is
    ``events``     all events of the lake
    ``since``      events received since ``since_us``, from when on no period can have deleted one: these
    a rebuild
                   from the journal gives again
    ``console``    rows by table of the control plane's database
    ``alerts``     digest over the alerts' ids and states
    """

    frames: tuple[int, int]
    offset: int | None
    events: Tables
    since_us: int
    since: Tables
    console: dict[str, int]
    alerts: str


class Entry(msgspec.Struct, frozen=True):
    """A file, by its path in the data folder. ``mtime_ns``: as it was, so that it need not be read again."""

    path: str
    size: int
    sha256: str
    mtime_ns: int


class Backup(msgspec.Struct, frozen=True):
    """``secrets``: SHA-256 of the encrypted secrets, empty if they were left out. ``mark``: HMAC over
    the rest,
    empty without a passphrase. ``taken_at``: seconds since 1970 UTC."""

    layout: int
    stamp: str
    taken_at: float
    version: str
    facts: Facts
    files: tuple[Entry, ...]
    secrets: str
    secrets_size: int
    lake: bool
    problems: tuple[str, ...] = ()
    mark: str = ""

    def unmarked(self) -> bytes:
        return msgspec.json.encode(msgspec.structs.replace(self, mark=""))


class _Marker(msgspec.Struct, frozen=True):
    layout: int
    salt: str


class Place(NamedTuple):
    """The folder of the backups of one installation. ``salt`` of the passphrase's keys."""

    folder: Path
    salt: bytes

    def file(self, sha256: str) -> Path:
        return self.folder / "files" / sha256[:2] / sha256

    def description(self, stamp: str) -> Path:
        return self.folder / "backups" / f"{stamp}.json"


def place(folder: Path, *, create: bool = False) -> Place:
    """Raises ``Refused`` for a folder that holds something else, or no backup where one should be."""
    marker = folder / MARKER
    if not marker.exists():
        if not create:
            raise Refused(
                f"{folder} holds no backup of Sekisho (no {MARKER})",
                "name the folder that was backed up into",
            )
        if folder.exists() and any(folder.iterdir()):
            raise Refused(f"{folder} is not empty and no backup of Sekisho", "name an empty or new folder")
        durably.private(folder)
        with durably.whole(marker) as file:
            file.write(msgspec.json.encode(_Marker(LAYOUT, secrets.token_hex(box.SALT))))
    try:
        read = msgspec.json.decode(marker.read_bytes(), type=_Marker)
        salt = bytes.fromhex(read.salt)
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise Refused(f"{marker}: not readable: {error}", "use another copy of the backup") from error
    if read.layout > LAYOUT:
        raise Refused(f"{folder}: written by a newer Sekisho", "use the newer version")
    return Place(folder, salt)


def backups(at: Place) -> list[str]:
    """Stamps, oldest first."""
    return sorted(path.stem for path in (at.folder / "backups").glob("*.json") if _STAMP.fullmatch(path.stem))


def newest(at: Place, stamp: str = "", keys: box.Keys | None = None) -> Backup:
    """The named backup, else the newest. With ``keys`` its mark must be right. Raises ``Refused``."""
    found = backups(at)
    if not found:
        raise Refused(f"{at.folder}: there is no finished backup in it", "run `sekisho backup make` first")
    if stamp and stamp not in found:
        raise Refused(f"{at.folder}: there is no backup {stamp}", f"there are: {', '.join(found)}")
    path = at.description(stamp or found[-1])
    try:
        read = msgspec.json.decode(path.read_bytes(), type=Backup)
    except (OSError, msgspec.MsgspecError) as error:
        raise Refused(f"{path}: not readable: {error}", "name an older backup with --backup") from error
    if keys is not None and not box.same(read.mark, box.mark(read.unmarked(), keys)):
        raise Refused(
            f"{path}: altered since it was written, or another passphrase",
            "check the passphrase; if it is right, use another copy of the backup",
        )
    return read
