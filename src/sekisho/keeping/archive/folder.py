"""An archive that is a folder: another disk, a mounted share, write-once media."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from sekisho.keeping import durably
from sekisho.keeping.archive.placing import Placed, Throttle, Unfinished
from sekisho.keeping.durably import CHUNK, Copied
from sekisho.model import Refused, Retry


class Folder:
    """See ``placing.Place``. The folder must be there: an unmounted disk is not silently replaced by
    this one."""

    def __init__(self, folder: Path, throttle: Throttle) -> None:
        self._folder = folder
        self._throttle = throttle

    @property
    def name(self) -> str:
        return f"folder:{self._folder}"

    def put(self, name: str, path: Path, known: Copied, start: int, unfinished: Unfinished) -> str:
        target = self._path(name)
        if target.exists():
            return self._same(target, known)
        durably.room(self._folder, known.size)
        try:
            durably.private(target.parent)
            with path.open("rb") as source, durably.whole(target) as file:
                source.seek(start)
                left = known.size
                while left and (part := source.read(min(CHUNK, left))):
                    self._throttle.take(len(part))
                    file.write(part)
                    left -= len(part)
        except OSError as error:
            raise Retry(5, f"{target}: {error.strerror}") from error
        return self._same(target, known)

    def _same(self, target: Path, known: Copied) -> str:
        found = durably.digest(target)
        if found != known:
            raise Refused(
                f"{target}: holds other bytes than it should (SHA-256 {found.sha256}, not {known.sha256})",
                "the archive was altered or its disk is faulty: keep the file as evidence under another name",
            )
        return ""

    def check(self, placed: Placed) -> str:
        target = self._path(placed.name)
        try:
            size = target.stat().st_size
        except FileNotFoundError:
            return "missing"
        except OSError as error:
            raise Retry(5, f"{target}: {error.strerror}") from error
        return "" if size == placed.size else f"{size} bytes long instead of {placed.size}"

    def fetch(self, placed: Placed, into: IO[bytes], told: Callable[[int], None]) -> None:
        target = self._path(placed.name)
        try:
            with target.open("rb") as file:
                while part := file.read(CHUNK):
                    self._throttle.take(len(part))
                    into.write(part)
                    told(len(part))
        except FileNotFoundError as error:
            raise Refused(f"{target} is missing", "restore it from another copy") from error

    def size(self, name: str) -> int:
        try:
            return self._path(name).stat().st_size
        except FileNotFoundError as error:
            raise Refused(f"{name} is not in {self.name}", "restore it from another copy") from error

    def names(self, before: str) -> Iterator[str]:
        self._path("")
        base = self._folder / before.rpartition("/")[0]
        for path in sorted(base.rglob("*")) if base.is_dir() else ():
            name = path.relative_to(self._folder).as_posix()
            if path.is_file() and name.startswith(before) and not path.name.startswith("."):
                yield name

    def _path(self, name: str) -> Path:
        if not self._folder.is_dir():
            raise Refused(
                f"{self._folder}: the archive's folder is not there",
                "mount it, or make it once by hand (mkdir -m 700)",
            )
        return self._folder / name
