"""The lake made anew from the journal, in a new folder that then takes the old one's place.

The same stages as in ``pipeline.process``, without judging: rejects and alerts stay as they are. Columns that
enrichment adds come from the master data of today (``context_version`` says which). A rebuild that was
stopped goes on where it was: the new lake knows its own offset.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sekisho import lake, normalise, pipeline
from sekisho.detect import unjudged
from sekisho.journal import JournalReader
from sekisho.lake import files, lock, manifest
from sekisho.lake.cold.compact import LOCK
from sekisho.model import Refused
from sekisho.settings import Settings
from sekisho.wiring.clock import now
from sekisho.wiring.found import content
from sekisho.wiring.parts import Master, open_enricher

NEW, OLD = "lake.new", "lake.old"
_MERGE_BATCHES = 64

#: Told frames done, frames in all, events so far.
Progress = Callable[[int, int, int], None]


class Rebuilt(NamedTuple):
    """``events`` by source, of the old lake (as its counters say) and of the new one.

    ``rejects``  records that did not become an event this time; ``damaged``: of them, unreadable frames
    """

    frames: int
    events: int
    rejects: int
    damaged: int
    before: dict[str, int]
    after: dict[str, int]

    @property
    def fewer(self) -> dict[str, int]:
        """Sources of which the new lake has fewer events, and how many fewer."""
        lost = {source: count - self.after.get(source, 0) for source, count in self.before.items()}
        return {source: count for source, count in lost.items() if count > 0}


def rebuild(
    settings: Settings, progress: Progress, *, keep_old: bool = False, accept_fewer: bool = False
) -> Rebuilt:
    """Build, compare, swap.

    The old lake stays in place until the new one is complete, and afterwards as ``lake.old`` if asked.
    Raises ``Refused`` while another process writes to or compacts the lake (stop the platform first), when
    the new lake would have fewer events of a source (``accept_fewer`` allows it) and when ``lake.old`` is
    still there from before. The new lake is then kept; running it again costs only the rest.
    """
    current, new, old = (settings.data / name for name in ("lake", NEW, OLD))
    if keep_old and old.exists():
        raise Refused(f"{old}: an earlier rebuild kept this", "remove it, or rename it")
    current.mkdir(mode=0o700, exist_ok=True)
    held = [lock.take(current / "writer.lock", "writes"), lock.take(current / LOCK, "compacts")]
    try:
        result = _build(settings, new, _events_of(current), progress)
        if result.fewer and not accept_fewer:
            named = ", ".join(f"{source}: {count:,}" for source, count in sorted(result.fewer.items()))
            raise Refused(
                f"the new lake has fewer events than the old one ({named}); the old one stays in use",
                "see whether parts of the journal are in an archive (`sekisho restore`), or records were read"
                " under another source by hand (`sekisho rejects`); run again with --accept-fewer to go on",
            )
        _carry_unjudged(current, new)
        swap(new, current)
        if keep_old:
            new.rename(old)
        else:
            shutil.rmtree(new)
        files.sync_folder(settings.data)
        return result
    finally:
        for handle in held:
            handle.close()


def _build(settings: Settings, folder: Path, before: dict[str, int], progress: Progress) -> Rebuilt:
    found = content()
    normaliser = normalise.Normaliser(found.sources, zone=settings.zone)
    enricher = open_enricher(settings, found)
    context = Master(settings.context_dir)()
    reader = JournalReader(settings.journal_dir)
    try:
        with lake.Lake(folder, settings.lake, now=now) as store:
            end = reader.end()
            batches = 0
            while (at := _next(store)) < end:
                taken = reader.read(at, settings.pipeline.batch_records)
                normalised = normaliser.batch(taken.frames)
                rejects = [*normalised.rejects, *map(pipeline.damaged, taken.damage)]
                folded = store.fold(normalised.events)
                events = enricher.batch(folded.events, context)
                store.commit(events, taken.next - 1, pipeline.counts(rejects, folded.duplicates))
                batches += 1
                if batches % _MERGE_BATCHES == 0:
                    store.merge()
                progress(taken.next, end, sum(_events_of(folder).values()))
            store.merge()
    finally:
        reader.close()
    counters = _counters(folder)
    return Rebuilt(
        end,
        sum(named.get("events", 0) for named in counters.values()),
        sum(named.get("rejects", 0) for named in counters.values()),
        counters.get("journal", {}).get("rejects", 0),
        before,
        _events_of(folder),
    )


def _carry_unjudged(old: Path, new: Path) -> None:
    """What rules could not judge stays counted: nothing is judged here, and the events are the same."""
    counted = unjudged.of_counters(_counters(old))
    counted.subtract(unjudged.of_counters(_counters(new)))  # of a rebuild that was cut off behind this
    held = manifest.Manifest(new)
    try:
        with held.transaction():
            held.count(unjudged.to_counters({what: number for what, number in counted.items() if number}))
    finally:
        held.close()


def _next(store: lake.Lake) -> int:
    offset = store.offset()
    return 0 if offset is None else offset + 1


def _counters(folder: Path) -> dict[str, dict[str, int]]:
    if not (folder / manifest.FILE).exists():
        return {}
    held = manifest.Manifest(folder, read_only=True)
    try:
        return held.counters()
    finally:
        held.close()


def _events_of(folder: Path) -> dict[str, int]:
    return {source: named["events"] for source, named in _counters(folder).items() if named.get("events")}


_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def swap(one: Path, other: Path) -> None:
    """The two folders change places, in one step where the file system can (renameat2(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    exchanged = -1
    if hasattr(libc, "renameat2"):
        exchanged = libc.renameat2(
            _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE
        )
    if exchanged != 0:
        between = one.with_name(one.name + ".swap")
        other.rename(between)
        one.rename(other)
        between.rename(one)
    files.sync_folder(one.parent)
