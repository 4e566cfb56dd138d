"""Following what is being stored: each event once, in the order in which it was committed.

Times and journal offsets are no position: a record that is tried again is stored late. Commits are numbered,
and a file as committed (level 0) holds the rows of exactly one. Merges replace such files but leave them for
``writer.GRACE``, so a follower that looks at least that often misses none and sees none twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from sekisho.lake import reader
from sekisho.lake.engines import Engine, FileUnreadable
from sekisho.lake.manifest import Manifest, Stored
from sekisho.lake.query import Condition
from sekisho.lake.reader import Snapshot


class Place(NamedTuple):
    """``commit``: number of the last one that was seen; ``offset``: greatest journal offset so far."""

    commit: int
    offset: int


class Followed(NamedTuple):
    """New rows of one commit; or a note if something could not be shown as it should."""

    rows: pa.Table | None
    note: str = ""


def start(folder: Path) -> tuple[Snapshot, Place]:
    """The lake as it is now, and the place just after it."""
    held = reader.snapshot(folder)
    return held, Place(
        max((file.last_commit for file in held.files), default=0),
        max((file.offset_max for file in held.files), default=-1),
    )


class Follower:
    """Gives what was committed since ``place``. One poll reads the manifest once."""

    def __init__(self, folder: Path, engine: Engine, condition: Condition, place: Place) -> None:
        self.place = place
        self._folder = folder
        self._engine = engine
        self._condition = condition

    def poll(self, columns: str = "*") -> Iterator[Followed]:
        """What is new, commit after commit. ``columns``: for the SELECT."""
        fresh, merged, rebuilt = self._fresh()
        if rebuilt:
            yield Followed(None, "the lake was rebuilt; going on by the place in the journal")
            self.place = Place(0, self.place.offset)
            fresh, merged, _ = self._fresh()
            yield from self._beyond([*fresh, *merged], columns)
            return
        known = {file.last_commit for file in fresh}
        lost = [file for file in merged if file.last_commit not in known]
        if lost:
            # Nobody looked for longer than the grace period: the commits themselves are gone.
            yield Followed(
                None,
                "paused for so long that files were merged meanwhile; events that were stored late may lack",
            )
            yield from self._beyond([*merged, *fresh], columns)
            return
        for file in sorted(fresh, key=lambda held: held.last_commit):
            yield from self._rows(file, self._condition.sql, self._condition.params, columns)
            self.place = Place(file.last_commit, max(self.place.offset, file.offset_max))

    def _fresh(self) -> tuple[list[Stored], list[Stored], bool]:
        """Files of single commits after the place, merged files with such, whether numbers began anew."""
        manifest = Manifest(self._folder, read_only=True)
        try:
            with manifest.transaction("DEFERRED"):
                live = manifest.files()
                files = [*live, *manifest.files(replaced=True)]
                last = manifest.state("commit") or 0
        finally:
            manifest.close()
        after = [file for file in files if file.last_commit > self.place.commit]
        single = {file.last_commit: file for file in after if file.level == 0}
        merged = [file for file in live if file.level > 0 and file.last_commit > self.place.commit]
        return list(single.values()), merged, last < self.place.commit

    def _beyond(self, files: list[Stored], columns: str) -> Iterator[Followed]:
        """By place in the journal instead of by commit."""
        beyond = self.place.offset
        sql = f"({self._condition.sql}) AND journal_offset > ?"
        for file in sorted(files, key=lambda held: held.offset_min):
            if file.offset_max > beyond:
                yield from self._rows(file, sql, (*self._condition.params, beyond), columns)
        self.place = Place(
            max((file.last_commit for file in files), default=self.place.commit),
            max((file.offset_max for file in files), default=beyond),
        )

    def _rows(self, file: Stored, where: str, params: tuple[object, ...], columns: str) -> Iterator[Followed]:
        path = self._folder / "hot" / file.name
        try:
            found = self._engine.select([path], f"SELECT {columns} FROM events WHERE {where}", params)  # noqa: S608
        except FileUnreadable as error:
            yield Followed(None, f"left out, not readable: {path}: {error}")
            return
        if found.num_rows:
            yield Followed(found.sort_by([("journal_offset", "ascending")]))
