"""The writer of the lake: each micro-batch becomes one file, named together with the journal offset."""

from __future__ import annotations

import logging
import threading
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sekisho import settings
from sekisho.lake import files, lock, merging
from sekisho.lake.cold.pruning import perhaps
from sekisho.lake.manifest import Manifest, Stored
from sekisho.lake.uids import Batch, Mask, Uids
from sekisho.model import Refused

#: A file that a merge has replaced stays so long, for readers that still have it in their list.
GRACE = timedelta(minutes=10)

log = logging.getLogger(__name__)

_OFFSET = "offset"
_COMMIT = "commit"


class Damage(NamedTuple):
    """A file of the lake that cannot be read. The rest stays readable; the journal still has its events."""

    path: Path
    why: str
    rows: int

    def __str__(self) -> str:
        return f"{self.path}: {self.why} ({self.rows} events; they are still in the journal)"


class Folded(NamedTuple):
    """``events``: those not yet stored, in order. ``duplicates``: how many were dropped, by source."""

    events: pa.Table
    duplicates: dict[str, int]


class Lake:
    """The hot tier. One writer at a time; readers use ``lake.reader``.

    ``commit``, ``fold`` and ``offset`` are called from one thread; ``merge`` and ``sweep`` may run in
    another one at the same time.

    Raises ``Refused`` when another process writes to the same folder, naming it.
    """

    def __init__(self, folder: Path, options: settings.Lake, *, now: Callable[[], datetime]) -> None:
        self.folder = folder
        self._options = options
        self._now = now
        self._writing: set[str] = set()
        self._guard = threading.Lock()
        self._merging = threading.Lock()
        self._hot = folder / "hot"
        self._hot.mkdir(parents=True, exist_ok=True)
        self._lock = lock.take(folder / "writer.lock", "writes")
        self._manifest = Manifest(folder)
        self._uids = Uids(folder / "uids", self._manifest)
        self._version = self._manifest.version()
        self._files = self._manifest.files()
        self.damaged: list[Damage] = self._check()
        self._fill_index()
        self.sweep()

    def close(self) -> None:
        """Give up the lock. Everything acknowledged is already on the disk."""
        with self._merging:
            self._manifest.close()
            self._lock.close()

    def __enter__(self) -> Lake:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- writing -----------------------------------------------------------------------------------

    def offset(self) -> int | None:
        """Number of the last journal frame whose records are all committed; None at the beginning."""
        return self._manifest.state(_OFFSET)

    def commits(self) -> int:
        """How many commits there were. Grows in the transaction of each: tells whether one took place."""
        return self._manifest.state(_COMMIT) or 0

    def counters(self) -> dict[str, dict[str, int]]:
        """By source and name, as committed (``commit``)."""
        return self._manifest.counters()

    def commit(
        self,
        events: pa.Table,
        upto: int,
        counts: Mapping[str, Mapping[str, int]] | None = None,
        *,
        late: bool = False,
    ) -> None:
        """Store ``events`` and move the offset to frame ``upto``: both or neither, on the disk at return.

        ``late``    the events are of a frame that was done before (rejects tried again) or is not done
                    yet (taken in parts): the offset stays
        ``counts``  to be added to the counters, by source and name (e.g. ``rejects``); exact across crashes
        Raises ``Refused`` if ``upto`` would not move forward, ``Retry`` when the disk is full.
        """
        if not late:
            self._refuse_backwards(upto, events.num_rows)
        number = (self._manifest.state(_COMMIT) or 0) + 1
        name = files.new_name(upto)
        self._writing.add(name)
        try:
            file = self._write(events, name, number) if events.num_rows else None
            with self._manifest.transaction():
                if file is not None:
                    file = file._replace(id=self._manifest.add(file))
                    self._manifest.raise_to("last_ingested_at", _newest(events))
                    self._manifest.count(_events_by_source(events))
                self._manifest.count(counts or {})
                if not late:
                    self._manifest.set_state(_OFFSET, upto)
                self._manifest.set_state(_COMMIT, number)
        finally:
            self._writing.discard(name)
        if file is not None:
            with self._guard:
                self._files.append(file)
            self._uids.add(Batch(events).keys(), number)

    def _refuse_backwards(self, upto: int, rows: int) -> None:
        offset = self.offset()
        if offset is not None and (upto < offset or (upto == offset and rows)):
            raise Refused(
                f"{self.folder}: frame {upto} cannot be committed, the lake already goes to frame {offset}",
                "continue with the frame after Lake.offset()",
            )

    def _write(self, events: pa.Table, name: str, number: int) -> Stored:
        files.write(self._hot / name, events)
        return files.describe(name, self._hot / name, events, number)

    # -- folding -----------------------------------------------------------------------------------

    def fold(self, events: pa.Table) -> Folded:
        """Drop the rows whose ``event_uid`` is stored already or stands earlier in the same batch. Exact."""
        if events.num_rows == 0:
            return Folded(events, {})
        batch = Batch(events)
        drop = batch.repeated()
        timed, timeless = self._uids.perhaps(batch)
        if (timed | timeless).any():
            drop |= self._stored(events, batch, timed, timeless)
        if not drop.any():
            return Folded(events, {})
        gone = Counter(events["source"].filter(pa.array(drop)).to_pylist())
        return Folded(events.filter(pa.array(~drop)), dict(gone))

    def _stored(self, events: pa.Table, batch: Batch, timed: Mask, timeless: Mask) -> Mask:
        """Of the rows that may be stored, those whose whole id really is."""
        self._look_again()
        values = events["event_uid"].to_pylist()
        hits = sorted((int(batch.time[i]), values[i]) for i in np.flatnonzero(timed))
        times = [time for time, _ in hits]
        any_time = {values[i] for i in np.flatnonzero(timeless)}
        sought = any_time.union(uid for _, uid in hits)
        found: set[str] = set()
        with self._guard:
            newest_first = self._files[::-1]
        for file in newest_first:
            if len(found) == len(sought):
                break
            start, stop = bisect_left(times, file.time_min), bisect_right(times, file.time_max)
            wanted = {uid for _, uid in hits[start:stop]} - found
            span = (times[start], times[stop - 1]) if wanted else None
            if file.timeless and any_time - found:
                wanted, span = wanted | (any_time - found), None
            if wanted:
                found |= self._ids_in(file, wanted, span)
        return np.fromiter((uid in found for uid in values), dtype=bool, count=len(values))

    def _look_again(self) -> None:
        """A compaction in another process may have replaced files."""
        version = self._manifest.version()
        if version != self._version:
            self._version = version
            with self._guard:
                bad = {damage.path.name for damage in self.damaged}
                self._files = [file for file in self._manifest.files() if file.name not in bad]
                self._files.sort(key=lambda file: file.last_commit)

    def _ids_in(self, file: Stored, wanted: set[str], span: tuple[int, int] | None) -> set[str]:
        """Which of the ids are in this file. Only row groups that can hold them are read."""
        path = files.path_of(self.folder, file)
        try:
            ids = files.uids_of(path, span, perhaps(file, path, wanted))
        except (OSError, pa.ArrowException) as error:
            self._leave_out(self._manifest, file, f"not readable: {error}")
            return set()
        return set(ids.filter(pc.is_in(ids, value_set=pa.array(wanted, pa.string()))).to_pylist())

    def _leave_out(self, manifest: Manifest, file: Stored, why: str) -> None:
        """A file proved unreadable: name it for every process, and go on without it."""
        with self._guard:
            self._files = [held for held in self._files if held.id != file.id]
            path = files.path_of(self.folder, file)
            if all(damage.path != path for damage in self.damaged):
                self.damaged.append(Damage(path, why, file.rows))
        with manifest.transaction():
            manifest.mark(file.name, why)
        log.error("%s: %s; left out, its %d events are still in the journal", path, why, file.rows)

    # -- housekeeping ------------------------------------------------------------------------------

    def merge(self) -> int:
        """Join neighbouring small files where there are enough of them; returns how many were replaced.

        Readers that still list the old files keep them for ``GRACE``; then the next merge or sweep
        removes them. May run in another thread. A file that cannot be read is added to ``damaged`` and
        left as it is; the others are merged.
        """
        with self._merging:
            manifest = Manifest(self.folder)
            try:
                replaced = self._merge(manifest)
            finally:
                manifest.close()
            self.sweep()
            return replaced

    def _merge(self, manifest: Manifest) -> int:
        replaced = 0
        while group := merging.choose(self._readable(manifest), self._options.merge_files):
            name = files.new_name(group[-1].offset_max >> 20)
            self._writing.add(name)
            try:
                merged = merging.join(self._hot, group, name)
                with manifest.transaction():
                    if not manifest.live(file.name for file in group):  # a compaction came first
                        (self._hot / name).unlink()
                        continue
                    merged = merged._replace(id=manifest.add(merged))
                    manifest.replace([file.id for file in group], _micros(self._now()))
            except merging.Unreadable as fault:
                self._leave_out(manifest, fault.file, fault.why)
                continue
            finally:
                self._writing.discard(name)
            old = {file.id for file in group}
            with self._guard:
                self._files = [merged, *(held for held in self._files if held.id not in old)]
                self._files.sort(key=lambda file: file.last_commit)
            replaced += len(group)
        return replaced

    def _readable(self, manifest: Manifest) -> list[Stored]:
        with self._guard:
            bad = {damage.path.name for damage in self.damaged}
        taken = {name for intent in manifest.intents().values() for name in intent.sources}
        return [f for f in manifest.files() if f.tier == "hot" and f.name not in bad and f.name not in taken]

    @contextmanager
    def exclusively(self) -> Iterator[tuple[Manifest, Path, list[Stored], set[int]]]:
        """For a change of files beside the commits (retention): no merge and no sweep meanwhile.

        Gives a manifest, the folder for new files, and two collections to be filled: files added, ids of
        files
        replaced. May be used in another thread.
        """
        added: list[Stored] = []
        gone: set[int] = set()
        with self._merging:
            manifest = Manifest(self.folder)
            try:
                yield manifest, self._hot, added, gone
            finally:
                manifest.close()
                with self._guard:
                    self._files = [*added, *(held for held in self._files if held.id not in gone)]
                    self._files.sort(key=lambda file: file.last_commit)

    def sweep(self) -> list[str]:
        """Remove files that nothing names (left by a crash) and replaced ones after their grace period.

        Only this process writes (it holds the lock), so what it is not writing itself is an orphan.
        Files whose names are not of the lake's own form are left alone. Returns the names removed.
        """
        manifest = Manifest(self.folder)
        try:
            limit = _micros(self._now() - GRACE)
            expired = [f for f in manifest.files(replaced=True) if (f.replaced_at or 0) <= limit]
            with manifest.transaction():
                manifest.forget(file.id for file in expired)
            present = [path for path in self._hot.iterdir() if files.PATTERN.fullmatch(path.name)]
            writing = set(self._writing)
            keep = manifest.names() | writing
        finally:
            manifest.close()
        orphans = [path for path in present if path.name not in keep]
        for path in orphans:
            path.unlink()
        for file in expired:
            if file.tier == "cold":
                files.remove(files.path_of(self.folder, file))
        return [path.name for path in orphans]

    # -- opening -----------------------------------------------------------------------------------

    def _check(self) -> list[Damage]:
        """Cheaply for each file; those that proved unreadable before are read whole: mended, they count."""
        damaged = []
        marked = self._manifest.damage()
        for file in self._files:
            path = files.path_of(self.folder, file)
            why = files.fault(path, file.bytes)
            if why is None and file.name in marked:
                why = files.deep_fault(path)
                if why is None:
                    self._manifest.unmark(file.name)
            if why is not None:
                damaged.append(Damage(path, why, file.rows))
        bad = {damage.path.name for damage in damaged}
        self._files = [file for file in self._files if file.name not in bad]
        return damaged

    def _fill_index(self) -> None:
        """Bring the index of ids up to date with the files that it does not cover yet."""
        covered = self._uids.open()
        waiting = [file for file in self._files if file.last_commit > covered]
        for file in sorted(waiting, key=lambda file: file.last_commit):
            path = files.path_of(self.folder, file)
            try:
                for part in pq.ParquetFile(path).iter_batches(
                    files.ROW_GROUP, columns=["event_uid", "time", "ingested_at"]
                ):
                    self._uids.add(Batch(pa.Table.from_batches([part])).keys(), 0)
            except (OSError, pa.ArrowException) as error:
                self._leave_out(self._manifest, file, f"not readable: {error}")
                continue
            self._uids.add(np.empty(0, dtype=np.uint64), file.last_commit)


def _micros(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


def _newest(events: pa.Table) -> dict[str, int]:
    table = events.select(["source", "ingested_at"]).group_by("source").aggregate([("ingested_at", "max")])
    return dict(
        zip(
            table["source"].to_pylist(),
            table["ingested_at_max"].cast(pa.int64()).to_pylist(),
            strict=True,
        )
    )


def _events_by_source(events: pa.Table) -> dict[str, dict[str, int]]:
    counted = pc.value_counts(events["source"]).to_pylist()
    return {row["values"]: {"events": row["counts"]} for row in counted}
