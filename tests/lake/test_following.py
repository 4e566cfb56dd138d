"""Live tail: each event once, none left out, whatever is merged, comes late or begins anew."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sekisho import settings
from sekisho.lake import Lake
from sekisho.lake.engines.duckdb import DuckDB
from sekisho.lake.following import Follower, start
from sekisho.lake.query import Condition
from tests.lake import sample

OPTIONS = settings.Lake(merge_files=4)
ANY = Condition("true", ())


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 5, 20, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def seen(follower: Follower) -> list[str]:
    return [uid for new in follower.poll() if new.rows for uid in new.rows["event_uid"].to_pylist()]


def notes(follower: Follower) -> list[str]:
    return [new.note for new in follower.poll() if new.note]


def test_each_once_in_order_of_commit_across_merges_and_late_ones(tmp_path: Path) -> None:
    clock = Clock()
    dice = random.Random(7)
    engine = DuckDB(OPTIONS)
    with Lake(tmp_path, OPTIONS, now=clock) as lake:
        lake.commit(sample.batch(0, 10), 0)
        follower = Follower(tmp_path, engine, ANY, start(tmp_path)[1])
        expect: list[str] = []
        got: list[str] = []
        for step in range(1, 40):
            late = step % 7 == 0
            events = sample.batch(step * 100, dice.randrange(1, 20))
            if late:  # of frames and times that were done long ago
                events = events.set_column(
                    events.column_names.index("journal_offset"),
                    "journal_offset",
                    [list(range(events.num_rows))],
                )
            lake.commit(events, step if not late else step - 1, late=late)
            expect += events["event_uid"].to_pylist()
            if dice.random() < 0.4:
                lake.merge()
            if dice.random() < 0.5:
                got += seen(follower)
        got += seen(follower)
        assert got == expect
        assert seen(follower) == []
    with Lake(tmp_path, OPTIONS, now=clock) as lake:  # the pipeline starts again
        lake.commit(sample.batch(90_000, 5), 90)
        assert len(seen(follower)) == 5
    engine.close()


def test_a_pause_longer_than_the_grace_is_said(tmp_path: Path) -> None:
    clock = Clock()
    engine = DuckDB(OPTIONS)
    with Lake(tmp_path, OPTIONS, now=clock) as lake:
        lake.commit(sample.batch(0, 10), 0)
        follower = Follower(tmp_path, engine, ANY, start(tmp_path)[1])
        for step in range(1, 5):
            lake.commit(sample.batch(step << 20, 3), step)
        lake.merge()
        clock.now += timedelta(hours=1)
        lake.sweep()
        new = list(follower.poll())
        assert "paused" in new[0].note
        assert sum(part.rows.num_rows for part in new if part.rows) == 12
        assert seen(follower) == []
    engine.close()


def test_a_lake_that_was_rebuilt_goes_on_by_the_journal(tmp_path: Path) -> None:
    clock = Clock()
    engine = DuckDB(OPTIONS)
    with Lake(tmp_path / "a", OPTIONS, now=clock) as lake:
        for step in range(3):
            lake.commit(sample.batch(step << 20, 4), step)
    follower = Follower(tmp_path / "a", engine, ANY, start(tmp_path / "a")[1])
    (tmp_path / "a").rename(tmp_path / "old")
    with Lake(tmp_path / "a", OPTIONS, now=clock) as lake:
        lake.commit(sample.batch(0, 4), 0)
        new = list(follower.poll())
        assert "rebuilt" in new[0].note
        assert len(new) == 1
        lake.commit(sample.batch(1 << 20, 4).slice(0, 0), 1)
        lake.commit(sample.batch(3 << 20, 5), 3)
        assert len(seen(follower)) == 5
    engine.close()


def test_while_it_is_written(tmp_path: Path) -> None:
    """A writer with merges in another thread; the follower sees all, each once."""
    clock = Clock()
    engine = DuckDB(OPTIONS)
    lake = Lake(tmp_path, OPTIONS, now=clock)
    lake.commit(sample.batch(0, 1), 0)
    follower = Follower(tmp_path, engine, ANY, start(tmp_path)[1])

    def write() -> None:
        for step in range(1, 60):
            lake.commit(sample.batch(step * 50, 20), step)
            if step % 5 == 0:
                lake.merge()

    writer = threading.Thread(target=write)
    writer.start()
    got: list[str] = []
    while writer.is_alive():
        got += seen(follower)
    got += seen(follower)
    lake.close()
    engine.close()
    assert got == [sample.uid(f"event {step * 50 + n}") for step in range(1, 60) for n in range(20)]
