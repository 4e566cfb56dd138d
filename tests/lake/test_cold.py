"""Compaction: every event exactly once, whatever happens; the same answers as before."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sekisho import settings
from sekisho.lake import Lake, files, reader
from sekisho.lake import query as language
from sekisho.lake.cold import build, compact, iceberg, index
from sekisho.lake.cold.compact import Compaction
from sekisho.lake.engines.duckdb import DuckDB
from sekisho.lake.manifest import Manifest
from sekisho.lake.search import Search
from sekisho.model import Refused
from sekisho.ocsf import EVENT_SCHEMA
from tests.lake import sample

OPTIONS = settings.Lake(merge_files=4)
NOW = sample.START + timedelta(days=2, hours=12)  # the first two days of ``mixed`` are closed
HOUR = 3_600_000_000


def opened(folder: Path, now: Callable[[], datetime] = lambda: NOW) -> Lake:
    return Lake(folder, OPTIONS, now=now)


def compaction(folder: Path, now: Callable[[], datetime] = lambda: NOW, least: int = 1) -> Compaction:
    return Compaction(folder, now=now, after=timedelta(hours=2), least=least)


def fill(folder: Path, batches: int = 5, rows: int = 400) -> list[pa.Table]:
    tables = [sample.mixed(seed, rows) for seed in range(batches)]
    with opened(folder) as lake:
        for number, table in enumerate(tables):
            lake.commit(table, number)
    return tables


def asked(folder: Path, query: str) -> Search:
    condition = language.compile(query, ZoneInfo("Asia/Tokyo"), NOW)
    return Search(reader.snapshot(folder), DuckDB(settings.Lake()), condition)


def uids(folder: Path, query: str = "") -> Counter[str]:
    search = asked(folder, query)
    found = Counter(u for t in search.rows(columns=["event_uid"]) for u in t["event_uid"].to_pylist())
    assert not search.damaged
    return found


def whole(folder: Path) -> list[dict[str, Any]]:
    rows = [row for table in asked(folder, "").rows() for row in table.to_pylist()]
    return sorted(rows, key=lambda row: row["event_uid"])


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups, files and what is sorted at once so small that there are several of each."""
    monkeypatch.setattr(build, "ROW_GROUP", 64)
    monkeypatch.setattr("sekisho.lake.cold.sorting.PART_BYTES", 200_000)
    monkeypatch.setattr("sekisho.lake.cold.plan.FILE_ROWS", 500)


def test_closed_days_become_cold_and_every_row_stays_the_same(tmp_path: Path, small_parts: None) -> None:
    fill(tmp_path)
    before = whole(tmp_path)
    with compaction(tmp_path) as step:
        done = step.step()
        assert done is not None
        assert list(done.days) == ["2026-05-14", "2026-05-15"]
        assert step.step() is None
    snapshot = reader.snapshot(tmp_path)
    assert {file.tier for file in snapshot.files} == {"hot", "cold"}
    assert sum(file.tier == "cold" for file in snapshot.files) > 2, "a day in several files"
    assert whole(tmp_path) == before
    for file in snapshot.files:
        if file.tier != "cold":
            continue
        table = pq.read_table(files.path_of(tmp_path, file))
        keys = [
            (
                r["source"],
                r["account"] or r["actor_account"] if "actor_account" in r else r["account"],
                r["time"],
            )
            for r in table.to_pylist()
        ]
        assert keys == sorted(keys)
        assert len({time.date() for _, _, time in keys}) == 1
    with opened(tmp_path) as lake:
        assert lake.fold(sample.mixed(3, 400)).events.num_rows == 0, "what is cold is known to be stored"


QUERIES = (
    "", "user:emp0007", "person:emp0007 -status:success", "ip:203.0.113.7", "ip:203.0.113.0/24",
    "source:okta",
    "user:emp0003 OR ip:192.0.2.9", "status:failure source:okta", "user:emp00*", '"emp0011"', '"sign-in"',
    "*mp001*",
    "-user:emp0007", "time:[2026-05-14T12:00 TO 2026-05-16T07:30]", "country:JP", "user:nobody",
    '"nowhereword"',
    "status:failure time:[2026-05-15T00:30 TO 2026-05-16T08:00]", "event_uid:" + sample.uid("2 7"),
)  # fmt: skip


def test_the_answers_are_those_of_the_hot_tier(tmp_path: Path, small_parts: None) -> None:
    fill(tmp_path)
    before = {query: answers(tmp_path, query) for query in QUERIES}
    with compaction(tmp_path) as step:
        assert step.step() is not None
    assert before[QUERIES[1]][0] > 5
    for query in QUERIES:
        assert answers(tmp_path, query) == before[query], query


def answers(folder: Path, query: str) -> tuple[Any, ...]:
    search = asked(folder, query)
    newest = [
        [(row["time"], row["event_uid"]) for table in search.rows(30, order) for row in table.to_pylist()]
        for order in ("newest", "oldest")
    ]
    histograms = [
        search.histogram(*given).sort_by([(name, "ascending") for name in names]).to_pylist()
        for given, names in (
            ((HOUR,), ["time"]),
            ((24 * HOUR, 9 * HOUR), ["time"]),
            ((HOUR, 0, "source"), ["time", "source"]),
            ((HOUR // 4, HOUR // 2), ["time"]),
            ((HOUR, 0, "user_name"), ["time", "user_name"]),
        )
    ]
    tops = [search.top(column, 3).to_pylist() for column in ("source", "user_name", "status_id")]
    assert not search.damaged
    count = search.count()
    assert sum(row["n"] for row in histograms[0]) == count
    return (count, newest, histograms, tops)


def test_the_index_saves_reading(tmp_path: Path, small_parts: None) -> None:
    fill(tmp_path)
    with compaction(tmp_path) as step:
        step.step()
    everything, one = asked(tmp_path, ""), asked(tmp_path, "event_uid:" + sample.uid("2 7"))
    everything.count()
    assert one.count() == 1
    hot = sum(file.rows for file in reader.snapshot(tmp_path).files if file.tier == "hot")
    assert one.scanned <= hot + 3 * 64


def test_late_events_wait_until_they_are_worth_it(tmp_path: Path) -> None:
    fill(tmp_path)
    with compaction(tmp_path, least=20) as step:
        assert step.step() is not None
    late = [{"event_uid": sample.uid(f"late {n}"), "time": sample.START} for n in range(60)]
    with opened(tmp_path) as lake:
        lake.commit(sample.table(late[:10]), 10)
    with compaction(tmp_path, least=20) as step:
        assert step.step() is None
    assert uids(tmp_path)[sample.uid("late 3")] == 1
    with opened(tmp_path) as lake:
        lake.commit(sample.table(late[10:]), 11)
    with compaction(tmp_path, least=1000) as step:
        assert step.next() is None
    with compaction(tmp_path, least=20) as step:
        done = step.step()
        assert done is not None
        assert done.days == {"2026-05-14": 60}
    assert uids(tmp_path)[sample.uid("late 29")] == 1
    assert set(uids(tmp_path).values()) == {1}


STEPS = (
    "sekisho.lake.cold.build.write", "sekisho.lake.cold.compact.Compaction._keep_hot",
    "sekisho.lake.manifest.Manifest.set_intent", "sekisho.lake.cold.iceberg.Events.__init__",
    "sekisho.lake.cold.iceberg.Events.publish", "sekisho.lake.manifest.Manifest.add",
    "sekisho.lake.manifest.Manifest.replace", "sekisho.lake.manifest.Manifest.end_intent",
)  # fmt: skip


class Crash(BaseException):
    """Not an exception that anything catches."""


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", [1, 2])
def test_a_crash_at_any_step_shows_each_event_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, when: str, call: int
) -> None:
    fill(tmp_path)
    expected = uids(tmp_path)
    owner, name = step.rsplit(".", 1)
    crashing(monkeypatch, owner, name, when, call)
    with pytest.MonkeyPatch.context() as patch:
        # a process that is killed does not tidy up
        patch.setattr(Compaction, "_abandon", lambda *_: None)
        work = None
        try:
            work = compaction(tmp_path)
            work.step()
        except Crash:
            pass
        finally:
            if work is not None:
                work.close()
    monkeypatch.undo()
    assert uids(tmp_path) == expected
    with opened(tmp_path) as lake:
        lake.merge()
        assert lake.damaged == []
    assert uids(tmp_path) == expected
    with compaction(tmp_path) as again:
        while again.step():
            pass
    assert uids(tmp_path) == expected
    assert_tidy(tmp_path)


def crashing(patch: pytest.MonkeyPatch, owner: str, name: str, when: str, call: int) -> None:
    import importlib

    module, _, kind = owner.rpartition(".")
    held: Any = (
        getattr(importlib.import_module(module), kind)
        if kind[0].isupper()
        else importlib.import_module(owner)
    )
    real = getattr(held, name)
    calls = [0]

    def run(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == call and when == "before":
            raise Crash
        result = real(*args, **kwargs)
        if calls[0] == call and when == "after":
            raise Crash
        return result

    patch.setattr(held, name, run)


def assert_tidy(folder: Path) -> None:
    """Nothing lies about; the Iceberg table is what the manifest says."""
    manifest = Manifest(folder, read_only=True)
    named = {file.name for file in manifest.files()} | {file.name for file in manifest.files(replaced=True)}
    live = {file.name for file in manifest.files() if file.tier == "cold"}
    rows = sum(file.rows for file in manifest.files() if file.tier == "cold")
    assert manifest.intents() == {}
    manifest.close()
    for place in ("hot", "cold/data"):
        stems = {path.stem for path in (folder / place).iterdir()}
        assert stems <= {name.split(".")[0] for name in named}
    assert not (folder / "cold/scratch").exists()
    events = iceberg.Events(folder)
    assert {Path(task.file.file_path).name for task in events.table.scan().plan_files()} == live
    assert events.table.scan().to_arrow().num_rows == rows
    events.close()


WORKER = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sekisho.lake.cold.compact import Compaction
now = lambda: datetime.fromisoformat(sys.argv[2])
with Compaction(Path(sys.argv[1]), now=now, after=timedelta(hours=2), least=1) as work:
    print("open", flush=True)
    while done := work.step():
        print(done, flush=True)
"""


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    fill(tmp_path, batches=8, rows=2000)
    expected = uids(tmp_path)
    dice = random.Random(3)
    for number in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), (NOW + timedelta(days=number // 3)).isoformat()],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(dice.uniform(0, 2.5))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert uids(tmp_path) == expected
        with opened(tmp_path) as lake:
            lake.merge()
        assert uids(tmp_path) == expected
    with compaction(tmp_path, lambda: NOW + timedelta(days=4)) as work:
        while work.step():
            pass
    assert uids(tmp_path) == expected
    assert_tidy(tmp_path)


def test_the_writer_goes_on_meanwhile(tmp_path: Path) -> None:
    """Merges leave alone what is being compacted; folding finds what has moved."""
    clock = [NOW]
    tables = fill(tmp_path, batches=6)
    with opened(tmp_path, lambda: clock[0]) as lake, compaction(tmp_path, lambda: clock[0]) as work:
        group = work.next()
        assert group is not None
        assert lake.merge() == 4
        assert work._compact(group, lambda *_: None) is None, "its plan was overtaken"
        assert work.step() is not None
        clock[0] += timedelta(minutes=11)
        lake.sweep()
        assert lake.fold(pa.concat_tables(tables[:3])).events.num_rows == 0
        assert lake.damaged == []
        lake.commit(sample.mixed(99, 50), 50)
    assert set(uids(tmp_path).values()) == {1}
    assert len(uids(tmp_path)) == 6 * 400 + 50
    assert_tidy(tmp_path)


def test_a_reader_keeps_its_moment_during_the_grace_period(tmp_path: Path) -> None:
    fill(tmp_path)
    search = asked(tmp_path, "")
    expected = search.count()
    with compaction(tmp_path) as work:
        work.step()
    with opened(tmp_path) as lake:
        lake.sweep()
    assert search.count() == expected
    assert not search.damaged


def test_a_second_compaction_refuses_naming_the_first(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    with compaction(tmp_path), pytest.raises(Refused, match="already compacts this lake"):
        compaction(tmp_path)


@pytest.mark.parametrize("beside", [".index", ".hours"])
@pytest.mark.parametrize("harm", ["cut", "gone", "zeros"])
def test_without_what_lies_beside_a_file_the_answers_stay_right(
    tmp_path: Path, beside: str, harm: str
) -> None:
    fill(tmp_path)
    before = {query: answers(tmp_path, query) for query in QUERIES[:8]}
    with compaction(tmp_path) as work:
        work.step()
    for path in (tmp_path / "cold/data").glob(f"*{beside}"):
        if harm == "gone":
            path.unlink()
        else:
            data = path.read_bytes()
            path.write_bytes(data[: len(data) // 2] if harm == "cut" else bytes(len(data)))
    index.opened.cache_clear()
    assert {query: answers(tmp_path, query) for query in QUERIES[:8]} == before


def test_a_damaged_file_is_named_and_the_rest_is_compacted(tmp_path: Path) -> None:
    fill(tmp_path)
    with opened(tmp_path) as lake:
        bad = files.path_of(tmp_path, lake._manifest.files()[2])
    data = bad.read_bytes()
    bad.write_bytes(data[:4] + bytes(len(data) // 2) + data[4 + len(data) // 2 :])
    with compaction(tmp_path) as work:
        while work.step():
            pass
    snapshot = reader.snapshot(tmp_path)
    assert [damage.path for damage in snapshot.damaged] == [bad]
    assert snapshot.rows == 4 * 400
    bad.write_bytes(data)
    with opened(tmp_path) as lake:
        assert lake.damaged == [], "mended, it counts again"
    with compaction(tmp_path) as work:
        while work.step():
            pass
    assert len(uids(tmp_path)) == 5 * 400


def older(table: pa.Table) -> pa.Table:
    """As an older Sekisho wrote it: a column less, another one still a narrow number."""
    table = table.drop_columns(["dst_endpoint_ip", "src_net_class"])
    at = table.schema.get_field_index("dst_endpoint_port")
    field = files.SCHEMA.field("dst_endpoint_port").with_type(pa.int32())
    return table.set_column(at, field, table["dst_endpoint_port"].cast(pa.int32()))


def test_files_of_an_older_schema_are_read_and_compacted(tmp_path: Path) -> None:
    tables = fill(tmp_path, 2)
    with opened(tmp_path) as lake:
        file = lake._manifest.files()[0]
    path = files.path_of(tmp_path, file)
    old = older(tables[0])
    schema = pa.schema(
        [
            old.schema.field(n).with_metadata(files.SCHEMA.field(n).metadata)
            for n in old.column_names
            if n in pq.read_schema(path).names
        ]
    )
    pq.write_table(old.select(schema.names).cast(schema), path, store_schema=False)
    manifest = Manifest(tmp_path)
    manifest._db.execute("UPDATE files SET bytes = ? WHERE id = ?", (path.stat().st_size, file.id))
    manifest.close()
    before = whole(tmp_path)
    assert sum(row["dst_endpoint_ip"] is None for row in before) > 400
    assert {row["dst_endpoint_port"] for row in before} == {22, 443, 8080, None} or len(before) == 800
    with compaction(tmp_path) as work:
        assert work.step() is not None
    assert whole(tmp_path) == before


def test_the_iceberg_table_follows_the_schema(tmp_path: Path) -> None:
    """A table made by an older Sekisho gets the columns that came since, with our own field ids."""
    narrow = pa.schema(
        [
            f.with_type(pa.int32()) if f.name == "duration" else f
            for f in files.SCHEMA
            if f.name != "decoy_uid"
        ]
    )
    iceberg.Events(tmp_path, narrow).close()
    fill(tmp_path)
    with compaction(tmp_path) as work:
        work.step()
    events = iceberg.Events(tmp_path)
    schema = events.table.schema()
    assert {field.field_id: field.name for field in schema.fields} == {
        files.field_id(name): name for name in EVENT_SCHEMA.names
    }
    assert str(schema.find_field("duration").field_type) == "long"
    assert len(events.table.metadata.schemas) == 2
    found = events.table.scan(selected_fields=("event_uid", "decoy_uid")).to_arrow()
    cold = [file for file in reader.snapshot(tmp_path).files if file.tier == "cold"]
    assert found.num_rows == sum(file.rows for file in cold)
    summary = events.table.current_snapshot().summary  # type: ignore[union-attr]
    assert summary is not None
    took = str(summary[iceberg.TOOK_OVER]).split()
    assert len(took) == 5
    assert all(files.PATTERN.fullmatch(name) for name in took)
    days = {task.file.partition[0] for task in events.table.scan().plan_files()}
    assert len(days) == 2
    events.close()


def test_a_moved_folder_gets_its_table_anew(tmp_path: Path) -> None:
    fill(tmp_path / "a")
    with compaction(tmp_path / "a") as work:
        work.step()
    (tmp_path / "a").rename(tmp_path / "b")
    before = uids(tmp_path / "b")
    with compaction(tmp_path / "b", lambda: NOW + timedelta(days=1)) as work:
        assert work.step() is not None
    assert uids(tmp_path / "b") == before
    assert_tidy(tmp_path / "b")


def test_waiting_is_told_without_opening_files(tmp_path: Path) -> None:
    fill(tmp_path)
    span = timedelta(hours=2)
    assert compact.waiting(tmp_path, now=NOW, after=span, least=1)
    assert not compact.waiting(tmp_path, now=sample.START, after=span, least=1)
    assert not compact.waiting(tmp_path, now=NOW, after=span, least=10**9)


def test_what_an_intent_says_comes_back(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    manifest = Manifest(tmp_path)
    from sekisho.lake.manifest import Intent

    stored = manifest.files()[0]
    with manifest.transaction():
        manifest.set_intent("a", Intent((stored.name,), ("x", "y"), (stored,)))
    assert manifest.intents() == {"a": Intent((stored.name,), ("x", "y"), (stored,))}
    assert not manifest.live([stored.name])
    assert {"x", "y"} <= manifest.names()
    assert json.loads(manifest._db.execute("SELECT intent FROM intents").fetchone()[0])
    manifest.close()
