"""What an archive must be able to do, whatever it is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol

import msgspec

from sekisho.keeping.durably import Copied
from sekisho.keeping.segments import Contents


class Placed(msgspec.Struct, frozen=True):
    """A file in an archive; ``version`` is empty where the archive knows none."""

    name: str
    size: int
    sha256: str
    version: str


class Description(msgspec.Struct, frozen=True):
    """What the archive itself says of one segment."""

    layout: int
    contents: Contents
    files: tuple[Placed, ...]


class Unfinished(Protocol):
    """Remembers an upload in parts, so that it can go on after an interruption."""

    def get(self) -> str: ...

    def set(self, upload: str) -> None: ...


class Place(Protocol):
    """An archive. Names use ``/``. Each call raises ``Retry`` when the archive cannot be reached now, and
    ``Refused`` when it never will do it (wrong key, no such bucket, no Object Lock, another content
    there)."""

    @property
    def name(self) -> str:
        """Tells archives apart in the catalogue; no secret is in it."""
        ...

    def put(self, name: str, path: Path, known: Copied, start: int, unfinished: Unfinished) -> str:
        """Store ``known.size`` bytes of the file from byte ``start`` on; give the version.

        The archive's own checksum was compared when this returns. Repeating it does no harm.
        """
        ...

    def check(self, placed: Placed) -> str:
        """What is wrong with it by size, checksum and lock, without reading it; empty if nothing."""
        ...

    def fetch(self, placed: Placed, into: IO[bytes], told: Callable[[int], None]) -> None:
        """Write its bytes; the caller compares the hash. Raises ``Refused`` if it is not there."""
        ...

    def size(self, name: str) -> int:
        """Bytes of the newest version. Raises ``Refused`` if it is not there."""
        ...

    def names(self, before: str) -> Iterator[str]:
        """Names that begin so, in their order."""
        ...


class Throttle:
    """At most so many bytes per second over the time since it was made; 0: no limit."""

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()

    def take(self, size: int) -> None:
        """Wait until ``size`` bytes more may have gone."""
        if not self._per_second:
            return
        at = self._clock()
        self._free_at = max(self._free_at, at) + size / self._per_second
        if (wait := self._free_at - at) > 0:
            self._sleep(wait)
