"""Bringing segments back from an archive, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sekisho.keeping import durably
from sekisho.keeping.archive.placing import Description, Placed
from sekisho.keeping.archive.run import Archive, Hashing
from sekisho.keeping.catalogue import Catalogue
from sekisho.keeping.durably import Told
from sekisho.keeping.segments import HOUR_NS, header
from sekisho.model import Refused


class Wanted(NamedTuple):
    """Frames ``first`` to ``last``, or what was received in these hours since 1970 UTC (ends included);
    None: open."""

    first: int | None = None
    last: int | None = None
    from_hour: int | None = None
    to_hour: int | None = None

    def takes(self, described: Description) -> bool:
        held = described.contents
        if (self.first is not None and held.last < self.first) or (
            self.last is not None and held.first > self.last
        ):
            return False
        if held.newest is None or held.oldest is None:
            return True
        return (self.from_hour is None or held.newest >= self.from_hour) and (
            self.to_hour is None or held.oldest <= self.to_hour
        )


class Restored(NamedTuple):
    """``done``: brought back; ``there``: were here already; ``faults``: what could not be brought back,
    and why."""

    done: tuple[str, ...]
    there: tuple[str, ...]
    faults: tuple[str, ...]
    bytes: int


def restore(
    archive: Archive,
    catalogue: Catalogue | None,
    into: Path,
    wanted: Wanted,
    *,
    dry: bool,
    now_ns: Callable[[], int],
    told: Told = lambda _: None,
) -> Restored:
    """Files appear in ``into`` only when their hash is right; none is ever replaced.

    ``catalogue``  of the installation whose journal ``into`` is; None for any other folder
    Raises ``Refused`` if nothing is wanted or the disk has no room for it, ``Retry`` if the archive is away.
    """
    faults: list[str] = []
    chosen = [described for described in archive.descriptions() if wanted.takes(described)]
    if not chosen:
        raise Refused("the archive holds no such segment", "`sekisho archive list` shows what it holds")
    missing = [
        placed
        for described in chosen
        for placed in described.files
        if not (into / Path(placed.name).name).exists()
    ]
    durably.room(into, sum(placed.size for placed in missing))
    done: list[str] = []
    there: list[str] = []
    size = 0
    if not dry:
        durably.private(into)
    for described in chosen:
        if fault := _foreign(described, catalogue):
            faults.append(fault)
            continue
        for placed in described.files:
            target = into / Path(placed.name).name
            if target.exists():
                _compare(target, placed, there, faults)
                continue
            if not dry and (fault := _bring(archive, placed, target, told)):
                faults.append(fault)
                continue
            done.append(target.name)
            size += placed.size
        segment = into / f"{described.contents.first:016d}.seg"
        if not dry and catalogue is not None and segment.name in done:
            catalogue.restored(described.contents, now_ns())
    return Restored(tuple(done), tuple(there), tuple(faults), size)


def _foreign(described: Description, catalogue: Catalogue | None) -> str:
    """The archive must not tell of a segment otherwise than this installation knew it."""
    known = catalogue.segment(described.contents.first) if catalogue is not None else None
    if known is None or known.contents.sha256 == described.contents.sha256:
        return ""
    return (
        f"segment {described.contents.first}: the archive describes it with SHA-256"
        f" {described.contents.sha256}, here it was known as {known.contents.sha256}: not brought back"
    )


def _compare(target: Path, placed: Placed, there: list[str], faults: list[str]) -> None:
    found = durably.digest(target)
    if found.sha256 == placed.sha256:
        there.append(target.name)
    else:
        faults.append(f"{target} is here already and differs from the archive: neither was changed")


def _bring(archive: Archive, placed: Placed, target: Path, told: Told) -> str:
    """Fetch one file; gives what is wrong, then nothing is there."""
    try:
        with durably.whole(target) as file:
            hashing = Hashing()

            class _Both:
                def write(self, data: bytes) -> int:
                    hashing.write(data)
                    return file.write(data)

            archive.place.fetch(placed, _Both(), told)  # type: ignore[arg-type]  # only ``write`` is used
            if hashing.sha256() != placed.sha256:
                raise Refused(f"{placed.name}: its bytes have SHA-256 {hashing.sha256()} there")
    except Refused as refusal:
        if "disk is full" in refusal.why:
            raise
        return refusal.why
    if target.suffix == ".seg" and header(target) != int(target.stem):
        target.unlink()
        return f"{placed.name}: not the segment that its name says"
    return ""


def hour_of(seconds: float) -> int:
    """Hour since 1970 UTC of a time in seconds since then."""
    return int(seconds * 1_000_000_000) // HOUR_NS
