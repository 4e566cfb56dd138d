"""Bringing a backup back into a new data folder."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path, PurePosixPath

import msgspec

from sekisho.journal.durable import DurableMark
from sekisho.keeping import durably
from sekisho.keeping.backup import box
from sekisho.keeping.backup.description import Backup, Place
from sekisho.keeping.durably import Told
from sekisho.model import Refused


def bring(at: Place, backup: Backup, into: Path, keys: box.Keys | None, told: Told = lambda _: None) -> None:
    """All of it, each file's hash compared; ``into`` appears only when everything is there.

    ``keys`` None: without the secrets. Raises ``Refused``, naming what is damaged, missing or in the
    way; then
    nothing is left behind.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise Refused(f"{into} is there and not empty", "name a new folder; nothing is ever overwritten")
    durably.room(into.parent, sum(entry.size for entry in backup.files))
    draft = into.with_name(f"{into.name}.partial")
    if draft.exists():
        raise Refused(f"{draft} is there", "it is of a restore that was interrupted: remove it, then repeat")
    try:
        durably.private(draft)
        for entry in backup.files:
            _file(at, entry.path, entry.sha256, draft, told)
        if keys is not None:
            _secrets(at, backup, draft, keys)
        _mark(draft, backup.facts.frames[1])
        if into.exists():
            into.rmdir()
        draft.rename(into)
        durably.sync_folder(into.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _file(at: Place, name: str, sha256: str, draft: Path, told: Told) -> None:
    target = draft / _inside(name)
    durably.private(target.parent)
    source = at.file(sha256)
    try:
        with durably.whole(target) as file:
            found = durably.copy(source, file, told)
            if found.sha256 != sha256:
                raise Refused(
                    f"{name}: altered in the backup ({source})", "`sekisho backup verify` names every fault"
                )
    except FileNotFoundError as error:
        raise Refused(f"{name}: missing in the backup ({source})", "use another backup") from error


def _inside(name: str) -> PurePosixPath:
    """A description that was forged must not write elsewhere."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise Refused(f"{name!r} is no path inside a data folder", "the backup's description was altered")
    return path


def _secrets(at: Place, backup: Backup, draft: Path, keys: box.Keys) -> None:
    if not backup.secrets:
        raise Refused("the secrets were left out of this backup", "restore with --without-secrets")
    try:
        sealed = at.file(backup.secrets).read_bytes()
    except OSError as error:
        raise Refused(
            f"secrets: not readable in the backup: {error.strerror}", "use another backup"
        ) from error
    held = msgspec.json.decode(box.open_(sealed, keys), type=dict[str, str])
    for name, text in held.items():
        target = draft / "secrets" / _inside(name)
        durably.private(target.parent)
        with durably.whole(target) as file:
            file.write(base64.b64decode(text))


def _mark(draft: Path, end: int) -> None:
    """Readers go by the mark of what is on the disk; it is not in the backup, because it changes all the
    time."""
    folder = durably.private(draft / "journal")
    mark = DurableMark(folder, write=True)
    mark.set(end)
    mark.close()
