"""What goes, what stays, and why: a real journal, a real lake, a clock of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sekisho import settings
from sekisho.keeping import retention
from sekisho.keeping.archive import Archive, Folder, Throttle, Wanted, restore
from sekisho.keeping.catalogue import Catalogue
from sekisho.keeping.holds import FILE, Hold, Holds
from sekisho.keeping.policy import Policy
from sekisho.keeping.retention import Done, Means, Plan
from sekisho.lake import Lake, dropping, reader
from sekisho.lake.cold import iceberg
from sekisho.lake.cold.compact import Compaction
from sekisho.lake.engines.duckdb import DuckDB
from sekisho.model import RECORDS_PER_FRAME, Refused
from tests.keeping.journals import DAY, START, START_NS, days, write
from tests.lake.sample import table, uid

LENGTH = 30


class World:
    """Thirty days of four batches a day; every frame is one event of the same time in the lake."""

    def __init__(self, folder: Path, batches: list[tuple[int, str]]) -> None:
        self.folder = folder
        self.journal = folder / "journal"
        self.now_ns = START_NS + LENGTH * DAY
        self.keep = settings.Keep(hot_days=10, journal_years=20 / 365.2425)
        self.batches = batches
        self.frames = write(self.journal, batches)
        self.catalogue = Catalogue(folder / "keeping")
        self.holds = Holds(folder / "keeping", self.catalogue)
        self.engine = DuckDB(settings.Lake())
        self.lake = Lake(folder / "lake", settings.Lake(), now=self._now)
        self.archive: Archive | None = None
        self.told: list[str] = []
        for start in range(0, self.frames, 16):
            self.commit(range(start, min(start + 16, self.frames)))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.now_ns / 1e9, tz=UTC)

    def commit(self, frames: range, **same: Any) -> None:
        rows = []
        for number in frames:
            at, source = self.batches[number]
            moment = datetime.fromtimestamp(at / 1e9, tz=UTC)
            rows.append(
                {
                    "event_uid": uid(f"frame {number}"),
                    "time": moment,
                    "ingested_at": moment,
                    "source": source,
                    "user_name": f"emp{number % 4:04d}",
                    "journal_offset": number * RECORDS_PER_FRAME,
                    **same,
                }
            )
        self.lake.commit(table(rows), frames[-1])

    def means(self, *, confirmed: bool = False) -> Means:
        archive = self.archive
        return Means(
            journal=self.journal,
            catalogue=self.catalogue,
            policy=Policy(self.keep),
            holds=self.holds.active(),
            becomes=lambda label: None if label == "auto" else {label},
            engine=self.engine,
            snapshot=reader.snapshot(self.folder / "lake"),
            sealed_upto=1 << 62,
            taken_upto=self.frames,
            archived=None if archive is None else lambda first: archive.holds(first, deep=True),
            local_us=0,
            confirmed=confirmed,
            now_ns=self.now_ns,
        )

    def plan(self, *, confirmed: bool = False) -> Plan:
        return retention.plan(self.means(confirmed=confirmed))

    def run(self, *, confirmed: bool = False) -> Done:
        given = self.means(confirmed=confirmed)
        return retention.carry_out(retention.plan(given), given, self.lake, self._tell)

    def _tell(self, plan: Plan) -> None:
        self.told.append(plan.uid())

    def rows(self) -> list[dict[str, Any]]:
        found = reader.snapshot(self.folder / "lake")
        sql = "SELECT event_uid, time, source, journal_offset FROM events ORDER BY journal_offset"
        return list(self.engine.select(found.paths(found.files), sql, ()).to_pylist())

    def segments(self) -> list[int]:
        return sorted(int(path.stem) for path in self.journal.glob("*.seg"))

    def hold(self, **words: Any) -> None:
        base = Hold("CASE-1", "", "", None, None, "why", "tester", self.now_ns // 1000, "UTC")
        self.holds.add(msgspec.structs.replace(base, **words))

    def close(self) -> None:
        self.lake.close()
        self.engine.close()
        self.catalogue.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, days(LENGTH, ("okta", "squid")))
    yield made
    made.close()


def oldest(rows: list[dict[str, Any]], source: str = "okta") -> datetime:
    found = min(row["time"] for row in rows if row["source"] == source)
    assert isinstance(found, datetime)
    return found


def test_the_first_deletion_waits_and_then_the_right_rows_and_segments_go(world: World) -> None:
    before = len(world.rows())
    plan = world.plan()
    assert plan.empty
    assert len(plan.waiting) >= 3
    assert world.run().events == {}
    assert len(world.rows()) == before
    done = world.run(confirmed=True)
    assert set(done.events) == {"okta", "squid"}
    rows = world.rows()
    assert before - len(rows) == sum(done.events.values())
    # the cutoff is ten days before the clock, which the newest receipt bears out
    assert oldest(rows) == START + timedelta(days=20)
    assert done.segments > 0
    first = world.segments()[0]
    assert all(at >= START_NS + 10 * DAY - 2 * DAY for at, _ in world.batches[first:])
    assert len(world.told) == 1, "journaled before, once"
    assert world.plan().empty


def test_day_by_day_it_goes_by_itself(world: World) -> None:
    world.run(confirmed=True)
    world.batches += days(1, start=START_NS + LENGTH * DAY)
    start = world.frames
    world.frames = write(world.journal, world.batches[start:])
    world.commit(range(start, world.frames))
    world.now_ns += DAY
    plan = world.plan()
    assert plan.waiting == []
    assert not plan.empty
    world.run()
    assert oldest(world.rows()) == START + timedelta(days=21)


def test_periods_are_by_source(world: World) -> None:
    world.keep = settings.Keep(
        hot_days=10,
        journal_years=0.04,
        sources=(settings.KeepSource("squid", hot_days=3, journal_years=7.0),),
    )
    done = world.run(confirmed=True)
    assert oldest(world.rows()) == START + timedelta(days=20)
    assert oldest(world.rows(), "squid") >= START + timedelta(days=27)
    assert done.segments == 0, "each segment has records of squid, which stay seven years"


def test_a_clock_set_to_2099_deletes_at_most_a_day_more(world: World) -> None:
    world.run(confirmed=True)
    kept = len(world.rows())
    world.now_ns = START_NS + 73 * 365 * DAY
    plan = world.plan()
    assert plan.judged < (START_NS + (LENGTH + 2) * DAY) // 1000
    world.run()
    assert kept - len(world.rows()) <= 8, "four batches a day"


def test_records_received_in_2099_change_nothing_and_are_named(tmp_path: Path) -> None:
    batches = days(LENGTH)
    far = START_NS + 73 * 365 * DAY
    batches[60:62] = [(far, "okta"), (far + 1, "okta")]
    made = World(tmp_path, batches)
    made.now_ns = far + DAY
    try:
        plan = made.plan()
        assert plan.judged < (START_NS + (LENGTH + 2) * DAY) // 1000
        assert "leaps from" in plan.problems[0]
    finally:
        made.close()


def test_records_received_while_the_clock_was_set_back_do_not_go_at_once(tmp_path: Path) -> None:
    batches = days(LENGTH)
    batches[110:114] = [(1_000_000_000 + n, "okta") for n in range(4)]
    made = World(tmp_path, batches)
    try:
        made.run(confirmed=True)
        kept = {row["journal_offset"] // RECORDS_PER_FRAME for row in made.rows()}
        assert {110, 111, 112, 113} <= kept
    finally:
        made.close()


def test_an_event_dated_1970_stays_half_its_period_or_longer(world: World) -> None:
    number = world.frames
    at = START_NS + LENGTH * DAY - DAY
    world.batches.append((at, "okta"))
    world.frames = write(world.journal, [(at, "okta")])
    world.commit(range(number, number + 1), time=datetime(1970, 1, 1, tzinfo=UTC))
    world.run(confirmed=True)
    assert number in {row["journal_offset"] // RECORDS_PER_FRAME for row in world.rows()}


def test_an_event_dated_2099_goes_when_its_receipt_is_old(world: World) -> None:
    rows = [{"time": datetime(2099, 1, 1, tzinfo=UTC), "ingested_at": START, "event_uid": uid("far")}]
    world.lake.commit(table([{**rows[0], "journal_offset": 5}]), world.frames - 1, late=True)
    world.run(confirmed=True)
    assert uid("far") not in {row["event_uid"] for row in world.rows()}


def test_what_is_held_stays_in_lake_and_journal(world: World) -> None:
    world.hold(query="user:emp0000", begin=int((START + timedelta(days=5)).timestamp() * 1e6))
    world.run(confirmed=True)
    rows = [row for row in world.rows() if row["time"] < START + timedelta(days=20)]
    assert rows
    assert all(row["journal_offset"] // RECORDS_PER_FRAME % 4 == 0 for row in rows)
    assert min(row["time"] for row in rows) == START + timedelta(days=5)
    newest_gone = world.batches[world.segments()[0] - 1][0]
    assert newest_gone < START_NS + 5 * DAY, "segments since the hold's beginning stay"
    world.holds.release("CASE-1", by="tester", why="closed", at=1)
    world.run(confirmed=True)
    assert min(row["time"] for row in world.rows()) == START + timedelta(days=20)


def test_a_hold_on_a_source_leaves_the_others(tmp_path: Path) -> None:
    batches = days(15) + days(15, ("squid",), start=START_NS + 15 * DAY)
    made = World(tmp_path, batches)
    made.keep = settings.Keep(hot_days=2, journal_years=3 / 365.2425)
    try:
        made.hold(source="squid")
        made.run(confirmed=True)
        assert {row["source"] for row in made.rows()} == {"squid"}
        assert made.batches[made.segments()[0]][1] == "okta" or made.segments()[0] >= 56
    finally:
        made.close()


@pytest.mark.parametrize("spoil", ["garbage", "missing", "older"])
def test_holds_that_cannot_be_trusted_stop_every_deletion(world: World, spoil: str) -> None:
    path = world.folder / "keeping" / FILE
    world.hold(source="squid")
    older = path.read_bytes()
    world.hold(case="CASE-2", source="okta")
    if spoil == "garbage":
        path.write_bytes(b"{")
    elif spoil == "missing":
        path.unlink()
    else:
        path.write_bytes(older)
    before = len(world.rows()), world.segments()
    with pytest.raises(Refused, match="nothing is deleted"):
        world.run(confirmed=True)
    assert (len(world.rows()), world.segments()) == before


def test_nothing_is_deleted_unless_the_journal_was_told(world: World) -> None:
    given = world.means(confirmed=True)
    plan = retention.plan(given)
    before = len(world.rows()), world.segments()

    def fails(_: Plan) -> None:
        raise Refused("the collector is away")

    with pytest.raises(Refused):
        retention.carry_out(plan, given, world.lake, fails)
    assert (len(world.rows()), world.segments()) == before


def test_a_crash_at_every_step_is_repeated_without_harm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each step that changes something the process ends; the next run finishes the same work."""
    real_drop, real_delete = dropping.drop, retention._delete
    steps = 0

    class Crash(BaseException):
        pass

    def after(real: Any) -> Any:
        def run(*args: Any, **words: Any) -> Any:
            nonlocal steps
            done = real(*args, **words)
            steps += 1
            if steps % 2:
                raise Crash
            return done

        return run

    monkeypatch.setattr(dropping, "drop", after(real_drop))
    monkeypatch.setattr(retention, "_delete", after(real_delete))
    crashes = 0
    while True:
        try:
            world.run(confirmed=True)
            break
        except Crash:
            crashes += 1
            world.lake.close()
            world.lake = Lake(world.folder / "lake", settings.Lake(), now=world._now)
    assert crashes > 3
    rows = world.rows()
    assert oldest(rows) == START + timedelta(days=20)
    assert len(rows) == len({row["event_uid"] for row in rows}) == 40
    assert world.plan().empty


def test_segments_go_only_when_the_archive_has_them(world: World, tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    world.archive = Archive(Folder(mount, Throttle(0)), world.catalogue, lambda: world.now_ns)
    assert world.run(confirmed=True).segments == 0
    assert any("not in the archive" in text for text in world.plan(confirmed=True).waiting)
    world.archive.run(world.journal, 1 << 62)
    spoilt = mount / "journal" / f"{world.segments()[0]:016d}.seg"
    spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"\0")
    due = len(world.plan(confirmed=True).segments)
    before = {path.name: path.read_bytes() for path in world.journal.glob("*.seg")}
    leaf = world.journal / f"{world.segments()[1]:016d}.leaf"
    assert leaf.exists()
    assert world.run(confirmed=True).segments == due - 1
    assert spoilt.name in {path.name for path in world.journal.glob("*.seg")}
    assert leaf.exists(), "leaf hashes stay for ever"
    spoilt.unlink()
    done = restore(
        world.archive, world.catalogue, world.journal, Wanted(), dry=False, now_ns=lambda: world.now_ns
    )
    assert done.faults == ()
    assert spoilt.name in done.there
    assert {path.name: path.read_bytes() for path in world.journal.glob("*.seg")} == before
    assert world.plan(confirmed=True).going == [], "what was restored stays for thirty days"


def test_a_segment_that_was_altered_is_not_deleted_but_named(world: World) -> None:
    world.run()
    path = world.journal / f"{world.segments()[0]:016d}.seg"
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(Refused, match="altered since it was finished"):
        world.run(confirmed=True)
    assert path.exists()


def test_frames_that_the_lake_has_not_taken_stay(world: World) -> None:
    given = world.means(confirmed=True)._replace(taken_upto=10)
    plan = retention.plan(given)
    assert all(whole.known.contents.last < 10 for whole in plan.segments)


def test_a_damaged_file_is_named_and_nothing_of_it_goes(world: World) -> None:
    found = reader.snapshot(world.folder / "lake")
    (path,) = found.paths(found.files[:1])
    data = bytearray(path.read_bytes())
    data[40:400] = bytes(360)
    path.write_bytes(bytes(data))
    plan = world.plan(confirmed=True)
    assert any(str(path) in problem for problem in plan.problems)
    assert all(one.path != path for one in plan.due)


def test_what_expired_leaves_the_cold_tier_too_and_the_iceberg_table_follows(world: World) -> None:
    def compacted() -> None:
        with Compaction(world.folder / "lake", now=world._now, after=timedelta(hours=2), least=1) as work:
            while work.step():
                pass

    compacted()
    before = world.rows()
    assert {file.tier for file in reader.snapshot(world.folder / "lake").files} == {"cold", "hot"}
    done = world.run(confirmed=True)
    rows = world.rows()
    assert len(before) - len(rows) == sum(done.events.values()) > 0
    assert oldest(rows) == START + timedelta(days=20)
    kept = {row["event_uid"] for row in rows}
    assert kept == {row["event_uid"] for row in before if row["time"] >= START + timedelta(days=20)}
    world.lake.merge()
    compacted()
    assert {row["event_uid"] for row in world.rows()} == kept
    events = iceberg.Events(world.folder / "lake")
    try:
        in_iceberg = set(events.table.scan().to_arrow()["event_uid"].to_pylist())
    finally:
        events.close()
    hot = [file for file in reader.snapshot(world.folder / "lake").files if file.tier == "hot"]
    assert in_iceberg <= kept
    assert len(in_iceberg) + sum(file.rows for file in hot) == len(kept)
