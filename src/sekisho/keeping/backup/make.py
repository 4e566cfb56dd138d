"""Taking a backup while the platform runs.

First a *mirror* is made in the data folder: databases by SQLite's backup interface, everything else as
hard links. It takes
next to no room, and what is merged or deleted meanwhile stays in it. The order makes it consistent:
databases, then
files, then the end of the journal; so the journal always reaches further than what was made from it.
"""

from __future__ import annotations

import base64
import fcntl
import mmap
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from sekisho import __version__
from sekisho.journal import JournalReader
from sekisho.journal.writer import segments
from sekisho.keeping import durably
from sekisho.keeping.backup import box, facts
from sekisho.keeping.backup.description import LAYOUT, Backup, Entry, Facts, Place, backups, newest, place
from sekisho.keeping.durably import Copied, Told
from sekisho.keeping.segments import walk
from sekisho.lake.engines import Engine
from sekisho.model import Refused

MIRROR = "mirror-"
#: Not backed up: state of running processes, and what is made anew.
_LEFT_OUT = {"run", "secrets"}
#: Files here grow in place: a link would hold more at the end than the journal that is mirrored after them.
_GROWING = ("journal/", "seal/", "witness/")
_NAMES_LEFT_OUT = {"lock", "durable", "writer.lock"}


class Made(NamedTuple):
    """``written``: bytes that were new. ``total``: bytes of the whole backup."""

    backup: Backup | None
    files: int
    total: int
    written: int


def make(
    data: Path,
    folder: Path,
    engine: Engine,
    *,
    keys: Callable[[bytes], box.Keys | None],
    since_us: int,
    now: datetime,
    with_lake: bool,
    dry: bool,
    told: Callable[[int, int], Told] = lambda _total, _new: lambda _: None,
) -> Made:
    """One more backup of ``data`` in ``folder``; it counts once its description is written, last of all.

    ``keys``   gives the keys for the folder's salt, None to leave the secrets out
    ``told``   is given the bytes of the whole and how many of them are new, and gives what is told the
    bytes as
               they go
    Raises ``Refused``: the folder holds something else, no room, the disk became full, a backup is running.
    """
    if folder.resolve().is_relative_to(data.resolve()):
        raise Refused(f"{folder} is inside the data folder", "name a folder on another disk")
    with _alone(data), _mirrored(data, now) as (mirror, end, problems):
        paths = [path for path in _files(mirror) if with_lake or not path.startswith("lake/")]
        if dry:
            before: dict[str, Entry] = {}
            if (folder / "backups").is_dir():
                before = _before(place(folder))
            new = sum(_size(mirror / path) for path in paths if _known(mirror, path, before) is None)
            return Made(None, len(paths), sum(_size(mirror / path) for path in paths), new)
        at = place(folder, create=True)
        before = _before(at)
        using = keys(at.salt)
        fresh = [path for path in paths if _stored(at, mirror, path, before) is None]
        needed = sum(_size(mirror / path) for path in fresh)
        durably.room(folder, needed)
        say = told(sum(_size(mirror / path) for path in paths), needed)
        entries = []
        written = 0
        for path in paths:
            entry = _stored(at, mirror, path, before)
            if entry is None:
                entry, new = _store(at, mirror, path, say)
                written += new
            entries.append(entry)
        problems += facts.damaged(mirror / "lake")
        offset, events, since = facts.lake(mirror / "lake", engine, since_us)
        rows, alerts = facts.console(mirror / "console.sqlite3")
        sealed = _secrets(data, at, using)
        made = Backup(
            layout=LAYOUT,
            stamp=_stamp(at, now),
            taken_at=now.timestamp(),
            version=__version__,
            facts=Facts(_span(mirror, end), offset, events, since_us, since, rows, alerts),
            files=tuple(entries),
            secrets=sealed.sha256 if sealed else "",
            secrets_size=sealed.size if sealed else 0,
            lake=with_lake,
            problems=tuple(problems),
        )
        if using is not None:
            made = msgspec.structs.replace(made, mark=box.mark(made.unmarked(), using))
        durably.private(folder / "backups")
        with durably.whole(at.description(made.stamp)) as file:
            file.write(msgspec.json.format(msgspec.json.encode(made)))
        total = sum(entry.size for entry in entries)
        return Made(made, len(entries), total, written)


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    durably.private(data / "keeping")
    with (data / "keeping" / "backup.lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"a backup of {data} is running already", "wait until it has ended") from None
        for left in (data / "keeping").glob(f"{MIRROR}*"):
            shutil.rmtree(left)  # of a backup that was killed
        yield


@contextmanager
def _mirrored(data: Path, now: datetime) -> Iterator[tuple[Path, int, list[str]]]:
    """The mirror, the journal's end in it, and what was found wrong on the way."""
    mirror = data / "keeping" / f"{MIRROR}{now.strftime('%Y%m%dT%H%M%SZ')}"
    problems: list[str] = []
    try:
        durably.private(mirror)
        for path in _files(data):
            if path.endswith(".sqlite3"):
                _copy_database(data / path, mirror / path)
        for path in _files(data):  # listed anew: every file that the databases name is there by now
            if path.endswith((".sqlite3", ".seg")):
                continue
            take = _as_it_is if path.startswith(_GROWING) else _link
            take(data / path, mirror / path)
        end = _mirror_journal(data / "journal", mirror / "journal", problems)
        yield mirror, end, problems
    finally:
        shutil.rmtree(mirror, ignore_errors=True)


def _files(folder: Path) -> list[str]:
    """Paths of everything that belongs into a backup, relative to the folder, in their order."""
    found = []
    for base, folders, names in os.walk(folder):
        here = Path(base)
        if here == folder:
            folders[:] = [name for name in folders if name not in _LEFT_OUT]
        folders[:] = [name for name in folders if not name.startswith(MIRROR)]
        for name in names:
            path = here / name
            passing = name in _NAMES_LEFT_OUT or name.startswith(".") or path.suffix == ".lock"
            if not passing and not name.endswith(("-wal", "-shm", "-journal")) and path.is_file():
                found.append(path.relative_to(folder).as_posix())
    return sorted(found)


def _copy_database(source: Path, target: Path) -> None:
    durably.private(target.parent)
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as live,
            closing(sqlite3.connect(target)) as copy,
        ):
            live.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname.startswith("SQLITE_FULL"):
            raise durably.full(target) from error
        raise Refused(f"{source}: cannot be copied: {error}", "is the file damaged?") from error
    except sqlite3.DatabaseError as error:
        raise Refused(f"{source}: damaged: {error}", "mend or restore it first") from error
    target.chmod(0o600)


def _link(source: Path, target: Path) -> None:
    """A hard link; where the folder lies on another file system, a symbolic one."""
    durably.private(target.parent)
    try:
        os.link(source, target)
    except FileNotFoundError:
        return  # it went between listing and now; what the databases name goes only after a time of grace
    except OSError:
        target.symlink_to(source.resolve())


def _as_it_is(source: Path, target: Path) -> None:
    """Leaf hashes, checkpoints and what witnesses said: as of before the journal's end is read, so that no
    checkpoint of a backup covers more than the backup holds."""
    durably.private(target.parent)
    try:
        size = source.stat().st_size
        with durably.whole(target) as copy:
            durably.copy(source, copy, upto=size)
    except FileNotFoundError:
        target.unlink(missing_ok=True)


def _mirror_journal(source: Path, target: Path, problems: list[str]) -> int:
    """Segments up to the end of this moment; the growing one is cut there."""
    if not source.is_dir():
        return 0
    reader = JournalReader(source)
    end = reader.end()
    reader.close()
    paths = [path for path in segments(source) if int(path.stem) < end]
    for path in paths[:-1]:
        _link(path, target / path.name)
    if paths:
        _cut(paths[-1], target / paths[-1].name, end, problems)
    return end


def _cut(source: Path, target: Path, end: int, problems: list[str]) -> None:
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        view = memoryview(data)
        walked = walk(view, int(source.stem), before=end)
        size = walked.end
        if walked.last != end - 1:
            problems.append(f"{source.name}: damaged behind frame {walked.last}; taken as it is")
            size = len(view)
        view.release()
    durably.private(target.parent)
    with durably.whole(target) as copy:
        durably.copy(source, copy, upto=size)


def _span(mirror: Path, end: int) -> tuple[int, int]:
    paths = segments(mirror / "journal") if (mirror / "journal").is_dir() else []
    return (int(paths[0].stem) if paths else end), end


def _size(path: Path) -> int:
    return path.stat().st_size


def _before(at: Place) -> dict[str, Entry]:
    """Files of the newest backup, by path."""
    return {entry.path: entry for entry in newest(at).files} if backups(at) else {}


def _known(mirror: Path, path: str, before: dict[str, Entry]) -> Entry | None:
    """As the last backup has it, if it is a kind of file that never changes and looks the same."""
    entry = before.get(path)
    if entry is None or not path.endswith((".seg", ".parquet", ".u64", ".leaf")):
        return None
    stat = (mirror / path).stat()
    return entry if (stat.st_size, stat.st_mtime_ns) == (entry.size, entry.mtime_ns) else None


def _stored(at: Place, mirror: Path, path: str, before: dict[str, Entry]) -> Entry | None:
    entry = _known(mirror, path, before)
    if entry is None:
        return None
    file = at.file(entry.sha256)
    return entry if file.exists() and file.stat().st_size == entry.size else None


def _store(at: Place, mirror: Path, path: str, say: Told) -> tuple[Entry, int]:
    """Copy a file under its hash; gives the entry and the bytes that were new."""
    source = mirror / path
    draft = at.folder / f"{durably.DRAFT}{os.getpid()}"
    try:
        mtime = source.stat().st_mtime_ns
        with durably.whole(draft, replace=True) as file:
            copied = durably.copy(source, file, say)
        target = at.file(copied.sha256)
        durably.private(target.parent)
        new = not target.exists() or target.stat().st_size != copied.size
        if new:
            draft.replace(target)
            durably.sync_folder(target.parent)
    except FileNotFoundError as error:
        raise Refused(f"{source} went away while it was copied", "repeat the backup") from error
    finally:
        draft.unlink(missing_ok=True)
    return Entry(path, copied.size, copied.sha256, mtime), copied.size if new else 0


def _secrets(data: Path, at: Place, using: box.Keys | None) -> Copied | None:
    """All files of ``secrets/`` in one encrypted file; None without keys."""
    if using is None:
        return None
    folder = data / "secrets"
    held = {
        path.relative_to(folder).as_posix(): base64.b64encode(path.read_bytes()).decode("ascii")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
    sealed = box.close(msgspec.json.encode(held), using)
    draft = at.folder / f"{durably.DRAFT}secrets"
    try:
        with durably.whole(draft, replace=True) as file:
            file.write(sealed)
        copied = durably.digest(draft)
        durably.private(at.file(copied.sha256).parent)
        draft.replace(at.file(copied.sha256))
    finally:
        draft.unlink(missing_ok=True)
    return copied


def _stamp(at: Place, now: datetime) -> str:
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    taken = set(backups(at))
    return next(name for name in (stamp, *(f"{stamp}-{n}" for n in range(1, 1000))) if name not in taken)
