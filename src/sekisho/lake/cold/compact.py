"""Compaction: closed days move from the hot tier to the cold one, each event being there exactly once.

The steps of one group of days::

    announce (manifest) -> write files -> ready (manifest) -> Iceberg snapshot -> take over (manifest)

Sekisho's readers go by the manifest alone, so the last transaction is the one that counts: new files in, old
ones out. A crash before *ready* leaves files that are swept; after it the rest is done at the next
start. Runs in its own process, beside the writer of the lake: what is announced, no merge touches.
"""

from __future__ import annotations

import logging
import secrets
import shutil
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sekisho.lake import files, lock
from sekisho.lake.cold import build, plan
from sekisho.lake.cold.build import DAY, Input, Window
from sekisho.lake.manifest import Intent, Manifest, Stored
from sekisho.lake.merging import Unreadable

LOCK = "compact.lock"
log = logging.getLogger(__name__)

#: Told the day (yyyy-mm-dd), rows done and rows in all.
Progress = Callable[[str, int, int], None]


#: Names of the cold files that the Iceberg table was last made to consist of.
_NOTED = "published"


class Done(NamedTuple):
    """``days`` (yyyy-mm-dd) → rows; ``hot``, ``cold``: bytes of the files taken over and of those written."""

    days: dict[str, int]
    hot: int
    cold: int


class Compaction:
    """The one compaction of a lake folder. Raises ``Refused`` if another process has it."""

    def __init__(self, folder: Path, *, now: Callable[[], datetime], after: timedelta, least: int) -> None:
        """``after``: a day is closed so long after its end; ``least``: see ``plan.choose``."""
        self.folder = folder
        self._now = now
        self._after = after
        self._least = least
        self._data = folder / files.FOLDERS["cold"]
        self._data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = lock.take(folder / LOCK, "compacts")
        self._manifest = Manifest(folder)
        self._recover()

    def close(self) -> None:
        self._manifest.close()
        self._lock.close()

    def __enter__(self) -> Compaction:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what is to be done ------------------------------------------------------------------------

    def next(self) -> plan.Group | None:
        """The days that would be compacted next."""
        closed = int((self._now() - self._after).timestamp() * 1_000_000) // DAY
        marked = self._manifest.damage()
        while True:
            stored = [file for file in self._manifest.files() if file.name not in marked]
            try:
                return plan.choose(stored, self._times, closed, self._least)
            except Unreadable as fault:
                marked[fault.file.name] = fault.why
                self._mark(fault)

    def step(self, progress: Progress = lambda day, done, of: None) -> Done | None:
        """Compact the next group of days; None if there is none."""
        while group := self.next():
            try:
                if done := self._compact(group, progress):
                    return done
            except Unreadable as fault:
                self._mark(fault)
        return None

    def _times(self, file: Stored) -> npt.NDArray[np.int64]:
        try:
            column = pq.read_table(files.path_of(self.folder, file), columns=["time"])["time"]
        except (OSError, pa.ArrowException) as error:
            raise Unreadable(file, f"not readable: {error}") from error
        return np.asarray(column.cast(pa.int64()))

    def _mark(self, fault: Unreadable) -> None:
        log.error("%s; left out, its %d events are still in the journal", fault, fault.file.rows)
        with self._manifest.transaction():
            self._manifest.mark(fault.file.name, fault.why)

    # -- one group of days -------------------------------------------------------------------------

    def _compact(self, group: plan.Group, progress: Progress) -> Done | None:
        """None if the plan was overtaken by a merge."""
        inputs = [Input(file, files.path_of(self.folder, file)) for file in group.files]
        windows = [window for day in group.days for window in self._windows(day, group.files)]
        names = [files.new_cold_name(_day(window.low).replace("-", "")) for window in windows]
        rest = files.new_name(max(file.offset_max for file in group.files) >> 20)
        sources = tuple(file.name for file in group.files)
        intent = Intent(sources, (*names, rest))
        ident = secrets.token_hex(8)
        if not self._announce(ident, intent):
            return None
        try:
            written = self._write(inputs, list(zip(names, windows, strict=True)), rest, progress)
        except BaseException:
            self._abandon(ident, intent)
            raise
        newest = max(file.last_commit for file in group.files)
        ready = tuple(file._replace(last_commit=newest) for file in written)
        with self._manifest.transaction():
            self._manifest.set_intent(ident, intent._replace(ready=ready))
        self._complete(ident, intent._replace(ready=ready))
        return Done(
            {_day(day * DAY): rows for day, rows in group.days.items()},
            sum(file.bytes for file in group.files),
            sum(_whole_size(files.path_of(self.folder, file)) for file in written),
        )

    def _announce(self, ident: str, intent: Intent) -> bool:
        with self._manifest.transaction():
            live = self._manifest.live(intent.sources)
            if live:
                self._manifest.set_intent(ident, intent)
        return live

    def _windows(self, day: int, taken: Sequence[Stored]) -> list[Window]:
        touching = [file for file in taken if file.time_min < (day + 1) * DAY and file.time_max >= day * DAY]
        if sum(file.rows for file in touching) <= plan.FILE_ROWS:
            return [Window(day * DAY, (day + 1) * DAY)]
        times = np.concatenate([self._times(file) for file in touching])
        return plan.windows(day, times[times // DAY == day])

    def _write(
        self, inputs: list[Input], cold: list[tuple[str, Window]], rest: str, progress: Progress
    ) -> list[Stored]:
        written: list[Stored] = []
        total = sum(one.file.rows for one in inputs)
        done = 0
        scratch = self.folder / "cold" / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        for name, window in cold:
            progress(_day(window.low), done, total)
            held = build.look(inputs, window)
            if held.rows:
                written.append(build.write(inputs, window, held, self._data / name, scratch))
                done += written[-1].rows
        if done < total:
            written.append(self._keep_hot(inputs, [window for _, window in cold], rest, total - done))
        assert sum(file.rows for file in written) == total, "a compaction neither loses nor doubles a row"
        return written

    def _keep_hot(self, inputs: list[Input], taken: list[Window], name: str, rows: int) -> Stored:
        """What the files hold of other days goes into one hot file."""
        path = self.folder / files.FOLDERS["hot"] / name
        everything = Window(-(1 << 62), 1 << 62)
        held = build.look(inputs, everything)
        schema = pa.schema([files.SCHEMA.field(n) for n in held.names], metadata=files.SCHEMA.metadata)
        facts = build.Facts()
        with files.create(path) as out, files.writer(out, schema) as parquet:
            for table in build.tables(inputs, everything, None, schema):
                left = table.filter(_outside(table, taken))
                if left.num_rows:
                    parquet.write_table(left, row_group_size=files.ROW_GROUP)
                    facts.add(left)
        assert facts.rows == rows
        level = max(one.file.level for one in inputs if one.file.tier == "hot")
        return facts.stored(path)._replace(tier="hot", level=level)

    def _complete(self, ident: str, intent: Intent) -> None:
        """Everything is on the disk: name it in Iceberg, then in the manifest."""
        from sekisho.lake.cold import iceberg  # takes a second to import

        assert intent.ready is not None
        replaced = set(intent.sources)
        kept = [f for f in self._manifest.files() if f.tier == "cold" and f.name not in replaced]
        wanted = [*kept, *(file for file in intent.ready if file.tier == "cold")]
        hot = [name for name in intent.sources if files.PATTERN.fullmatch(name)]
        events = iceberg.Events(self.folder)
        try:
            events.publish(
                [files.path_of(self.folder, file) for file in wanted],
                {iceberg.COMPACTION: ident, iceberg.TOOK_OVER: " ".join(hot)},
            )
        finally:
            events.close()
        ids = [file.id for file in self._manifest.files() if file.name in replaced]
        with self._manifest.transaction():
            for file in intent.ready:
                self._manifest.add(file)
            self._manifest.replace(ids, int(self._now().timestamp() * 1_000_000))
            self._manifest.end_intent(ident)
        _note(self.folder, self._manifest)

    def _abandon(self, ident: str, intent: Intent) -> None:
        for name in intent.written:
            hot = bool(files.PATTERN.fullmatch(name))
            files.remove(self.folder / files.FOLDERS["hot" if hot else "cold"] / name)
        shutil.rmtree(self.folder / "cold" / "scratch", ignore_errors=True)
        with self._manifest.transaction():
            self._manifest.end_intent(ident)

    # -- after a crash -----------------------------------------------------------------------------

    def _recover(self) -> None:
        for ident, intent in self._manifest.intents().items():
            if intent.ready is None:
                self._abandon(ident, intent)
            else:
                log.info("compaction %s is completed", ident)
                self._complete(ident, intent)
        named = {name.split(".")[0] for name in self._manifest.names()}
        for path in self._data.iterdir():
            if files.COLD_PATTERN.fullmatch(path.name) and path.stem not in named:
                path.unlink()
        shutil.rmtree(self.folder / "cold" / "scratch", ignore_errors=True)
        self._agree()

    def _agree(self) -> None:
        """The Iceberg table follows where retention has taken cold files away or written them anew."""
        if _agrees(self.folder, self._manifest):
            return
        from sekisho.lake.cold import iceberg  # takes a second to import

        live = [file for file in self._manifest.files() if file.tier == "cold"]
        events = iceberg.Events(self.folder)
        try:
            events.publish([files.path_of(self.folder, file) for file in live], {})
        finally:
            events.close()
        _note(self.folder, self._manifest)


def _cold_names(manifest: Manifest) -> str:
    return " ".join(sorted(file.name for file in manifest.files() if file.tier == "cold"))


def _agrees(folder: Path, manifest: Manifest) -> bool:
    """Whether the Iceberg table consists of the manifest's cold files, as last noted."""
    try:
        noted = (folder / "cold" / _NOTED).read_text(encoding="ascii")
    except FileNotFoundError:
        noted = ""
    return noted == _cold_names(manifest)


def _note(folder: Path, manifest: Manifest) -> None:
    fresh = folder / "cold" / f"{_NOTED}.new"
    fresh.write_text(_cold_names(manifest), encoding="ascii")
    fresh.replace(folder / "cold" / _NOTED)


def waiting(folder: Path, *, now: datetime, after: timedelta, least: int) -> bool:
    """Cheaply, without opening files: whether there may be a day worth compacting."""
    manifest = Manifest(folder, read_only=True)
    try:
        closed = int((now - after).timestamp() * 1_000_000) // DAY
        hot = [f for f in manifest.files() if f.tier == "hot" and f.time_min < closed * DAY]
        if manifest.intents() or not _agrees(folder, manifest):
            return True
        return sum(file.rows for file in hot) >= max(1, least)
    finally:
        manifest.close()


def forget_snapshots(folder: Path, before: datetime) -> None:
    """Iceberg snapshots older than ``before`` are dropped: their files may be gone."""
    from sekisho.lake.cold import iceberg  # takes a second to import

    events = iceberg.Events(folder)
    try:
        events.expire(before)
    finally:
        events.close()


def _outside(table: pa.Table, taken: list[Window]) -> pa.ChunkedArray:
    time = np.asarray(table["time"].cast(pa.int64()))
    inside = np.zeros(len(time), dtype=bool)
    for window in taken:
        inside |= (time >= window.low) & (time < window.high)
    return pc.invert(pa.chunked_array([pa.array(inside)]))


def _day(moment: int) -> str:
    return str(np.datetime64(moment, "us").astype("datetime64[D]"))


def _whole_size(path: Path) -> int:
    return sum(
        beside.stat().st_size
        for beside in (path, path.with_suffix(".index"), path.with_suffix(".hours"))
        if beside.exists()
    )
