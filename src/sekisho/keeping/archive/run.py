"""Keeping an archive up to date and checking it."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from sekisho.keeping import durably
from sekisho.keeping.archive.placing import Description, Place, Placed
from sekisho.keeping.catalogue import Catalogue, Copy, Known
from sekisho.keeping.durably import CHUNK, Copied, Told
from sekisho.keeping.segments import companions, finished, standing
from sekisho.model import Refused, Retry

log = logging.getLogger(__name__)

LAYOUT = 1
ATTEMPTS = 4
FIRST_PAUSE = 1.0


class Outcome(NamedTuple):
    """Of one run. ``bytes``: that went to the archive. ``problems``: what could not be archived, and why."""

    segments: int
    bytes: int
    problems: tuple[str, ...]


class Found(NamedTuple):
    """Of one segment in the archive: ``fault`` is empty if all of it is as described."""

    first: int
    last: int
    bytes: int
    fault: str


class _Going:
    """``placing.Unfinished`` in the catalogue."""

    def __init__(self, catalogue: Catalogue, target: str, name: str, sha256: str) -> None:
        self._catalogue = catalogue
        self._key = (target, name, sha256)

    def get(self) -> str:
        return self._catalogue.upload(*self._key)

    def set(self, upload: str) -> None:
        self._catalogue.uploading(*self._key, upload)


class Archive:
    """One archive of one installation. ``now_ns``: the platform's clock."""

    def __init__(
        self,
        place: Place,
        catalogue: Catalogue,
        now_ns: Callable[[], int],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.place = place
        self._catalogue = catalogue
        self._now_ns = now_ns
        self._sleep = sleep

    def waiting(self, journal: Path, sealed_upto: int) -> list[Path]:
        """Finished segments that are not in the archive yet, oldest first."""
        copies = self._catalogue.copies(self.place.name)
        return [path for path in finished(journal, sealed_upto) if _description(path.stem) not in copies]

    def run(self, journal: Path, sealed_upto: int, told: Told = lambda _: None) -> Outcome:
        """Bring what waits to the archive, oldest first; what was interrupted goes on where it was.

        Raises ``Retry`` when the archive cannot be reached, ``Refused`` when it does not take anything.
        """
        self._adopt()
        count = size = 0
        problems: list[str] = []
        for path in self.waiting(journal, sealed_upto):
            try:
                known = self._catalogue.learn(path)
                if not known.contents.whole:
                    problems.append(f"{path.name}: damaged; archived as it is, as evidence")
                size += self._segment(path, known, told)
                count += 1
            except FileNotFoundError:
                continue  # retention was faster
        for path in standing(journal):
            size += self._standing(path, problems, told)
        return Outcome(count, size, tuple(problems))

    def _adopt(self) -> None:
        """Learn from the archive what is in it, where the catalogue knows nothing of it (it was lost)."""
        target = self.place.name
        if self._catalogue.copies(target):
            return
        for name in self.place.names(""):
            if not name.endswith(".json") and not name.startswith("standing/"):
                continue
            sink = Hashing()
            size = self.place.size(name)
            self.place.fetch(Placed(name, size, "", ""), _io(sink), _quiet)
            segment = int(Path(name).stem) if name.startswith("journal/") else -1
            self._catalogue.copied(Copy(target, name, segment, size, sink.sha256(), "", self._now_ns()))

    def _segment(self, path: Path, known: Known, told: Told) -> int:
        placed: list[Placed] = []
        for file in (path, *companions(path)):
            one = Copied(known.contents.size, known.contents.sha256) if file == path else durably.digest(file)
            placed.append(self._put(f"journal/{file.name}", file, one, 0, known.contents.first))
            told(one.size)
        text = msgspec.json.format(msgspec.json.encode(Description(LAYOUT, known.contents, tuple(placed))))
        with tempfile.NamedTemporaryFile() as draft:
            draft.write(text)
            draft.flush()
            described = Copied(len(text), hashlib.sha256(text).hexdigest())
            self._put(_description(path.stem), Path(draft.name), described, 0, known.contents.first)
        return sum(one.size for one in placed)

    def _put(self, name: str, path: Path, known: Copied, start: int, segment: int) -> Placed:
        going = _Going(self._catalogue, self.place.name, name, known.sha256)
        pause = FIRST_PAUSE
        for attempt in range(ATTEMPTS):
            try:
                version = self.place.put(name, path, known, start, going)
                break
            except Retry as error:
                if attempt == ATTEMPTS - 1:
                    raise
                log.warning("%s; again in %g s", error.why, pause)
                self._sleep(pause)
                pause *= 2
        self._catalogue.copied(
            Copy(self.place.name, name, segment, known.size, known.sha256, version, self._now_ns())
        )
        return Placed(name, known.size, known.sha256, version)

    def _standing(self, path: Path, problems: list[str], told: Told) -> int:
        """What was appended since the last run. A file that was changed before that is named."""
        before = self._pieces(path.name)
        done = sum(copy.size for copy in before)
        size = path.stat().st_size
        if size < done or not _prefix_is(path, before):
            problems.append(
                f"{path}: the archive has {done} bytes of it, and they differ from what stands here now:"
                " it was altered, not only appended to (the archive keeps what it has)"
            )
            return 0
        if size == done:
            return 0
        known = _piece(path, done, size - done)
        self._put(f"standing/{path.name}/{done:016d}", path, known, done, -1)
        told(known.size)
        return known.size

    def _pieces(self, name: str) -> list[Copy]:
        copies = self._catalogue.copies(self.place.name)
        return [copy for key, copy in sorted(copies.items()) if key.startswith(f"standing/{name}/")]

    # -- looking -----------------------------------------------------------------------------------

    def descriptions(self) -> Iterator[Description]:
        """What the archive says of itself, oldest segment first. Raises ``Refused`` for one that is not
        readable."""
        for name in self.place.names("journal/"):
            if name.endswith(".json"):
                yield self.description(name)

    def description(self, name: str) -> Description:
        copy = self._catalogue.copies(self.place.name).get(name)
        text = self._text(name, copy)
        if copy is not None and hashlib.sha256(text).hexdigest() != copy.sha256:
            raise Refused(
                f"{name} in {self.place.name} is not what was written there",
                "the archive was altered; use another copy, and keep this one as evidence",
            )
        try:
            return msgspec.json.decode(text, type=Description)
        except msgspec.MsgspecError as error:
            raise Refused(
                f"{name} in {self.place.name} is not readable: {error}", "use another copy"
            ) from error

    def _text(self, name: str, copy: Copy | None) -> bytes:
        with tempfile.SpooledTemporaryFile(max_size=CHUNK) as file:
            if copy is not None:
                self.place.fetch(Placed(name, copy.size, copy.sha256, copy.version), _io(file), _quiet)
            else:
                self.place.fetch(Placed(name, self.place.size(name), "", ""), _io(file), _quiet)
            file.seek(0)
            return file.read()

    def verify(self, *, deep: bool, told: Told = lambda _: None) -> Iterator[Found]:
        """Each segment that should be there. ``deep``: every byte is read and hashed; else size,
        checksum, lock."""
        copies = self._catalogue.copies(self.place.name)
        names = sorted({*self.place.names("journal/"), *copies})
        for name in (name for name in names if name.startswith("journal/") and name.endswith(".json")):
            first = int(Path(name).stem)
            try:
                described = self.description(name)
            except Refused as refusal:
                yield Found(first, first, 0, refusal.why)
                continue
            faults = [
                f"{placed.name}: {fault}"
                for placed in described.files
                if (fault := self.fault(placed, deep=deep, told=told))
            ]
            size = sum(placed.size for placed in described.files)
            yield Found(first, described.contents.last, size, "; ".join(faults))

    def fault(self, placed: Placed, *, deep: bool, told: Told = lambda _: None) -> str:
        """What is wrong with one file; empty if nothing."""
        if fault := self.place.check(placed):
            return fault
        if not deep:
            return ""
        sink = Hashing()
        try:
            self.place.fetch(placed, _io(sink), told)
        except Refused as refusal:
            return refusal.why
        return "" if sink.sha256() == placed.sha256 else f"its bytes have SHA-256 {sink.sha256()}"

    def holds(self, first: int, *, deep: bool) -> bool:
        """Whether the segment is there whole, now; ``deep``: by reading it back. What is not is archived
        again."""
        name = _description(f"{first:016d}")
        if name not in self._catalogue.copies(self.place.name):
            return False
        known = self._catalogue.segment(first)
        if known is None:
            return False  # it cannot be compared with anything
        try:
            described = self.description(name)
        except Refused as refusal:
            log.error("%s", refusal.why)
            return self._lost(name)
        if described.contents.sha256 != known.contents.sha256:
            return self._lost(name)
        for placed in described.files:
            if fault := self.fault(placed, deep=deep):
                log.error("%s in %s: %s", placed.name, self.place.name, fault)
                return self._lost(name)
        return True

    def _lost(self, name: str) -> bool:
        self._catalogue.lost(self.place.name, name)
        return False


class Hashing:
    """A file that is only hashed."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        return len(data)

    def sha256(self) -> str:
        return self._hash.hexdigest()


def _io(file: object) -> IO[bytes]:
    return file  # type: ignore[return-value]  # only ``write`` is used


def _quiet(_: int) -> None:
    pass


def _description(stem: str) -> str:
    return f"journal/{stem}.json"


def _piece(path: Path, start: int, size: int) -> Copied:
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(start)
        left = size
        while left and (part := file.read(min(CHUNK, left))):
            hashed.update(part)
            left -= len(part)
    return Copied(size - left, hashed.hexdigest())


def _prefix_is(path: Path, pieces: list[Copy]) -> bool:
    at = 0
    for piece in pieces:
        if _piece(path, at, piece.size).sha256 != piece.sha256:
            return False
        at += piece.size
    return True
