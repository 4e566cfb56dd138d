"""Counts over time and by value, compared with plain Python over the same rows."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from sekisho import settings
from sekisho.lake import Lake, asking, reader
from sekisho.lake import query as language
from sekisho.lake.engines.duckdb import DuckDB
from sekisho.lake.query import Condition
from sekisho.lake.rights import Narrowed, Rights
from sekisho.lake.writer import Damage
from sekisho.model import Refused
from tests.lake import sample

NOW = datetime(2026, 5, 20, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Tokyo")
HOUR = 3_600_000_000
ANY = Condition("true", ())


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> tuple[reader.Snapshot, list[dict[str, object]]]:
    folder = tmp_path_factory.mktemp("lake")
    rows = []
    with Lake(folder, settings.Lake(), now=lambda: NOW) as held:
        for number in range(4):
            events = sample.mixed(number, 250)
            held.commit(events, number)
            rows += events.to_pylist()
        old = sample.table(
            [{"time": datetime(1969, 12, 31, 23, 30, tzinfo=UTC), "event_uid": sample.uid("old")}]
        )
        held.commit(old, 4)
        rows += old.to_pylist()
    return reader.snapshot(folder), rows


def test_a_histogram_counts_each_event_once(lake: tuple[reader.Snapshot, list[dict[str, object]]]) -> None:
    snapshot, rows = lake
    engine = DuckDB(settings.Lake())
    for bucket, ahead in ((HOUR, 0), (24 * HOUR, 9 * HOUR), (7 * HOUR, 0)):
        found = asking.histogram(snapshot, engine, ANY, bucket, zone_offset=ahead).to_pylist()
        expect: Counter[int] = Counter()
        for row in rows:
            at = language.micros(row["time"])  # type: ignore[arg-type]
            expect[(at + ahead) // bucket * bucket - ahead] += 1
        assert {language.micros(row["time"]): row["n"] for row in found} == dict(expect)
        assert [row["time"] for row in found] == sorted(row["time"] for row in found)
    engine.close()


def test_a_day_begins_at_the_readers_midnight(lake: tuple[reader.Snapshot, list[dict[str, object]]]) -> None:
    engine = DuckDB(settings.Lake())
    found = asking.histogram(lake[0], engine, ANY, 24 * HOUR, zone_offset=9 * HOUR).to_pylist()
    assert {row["time"].astimezone(ZONE).hour for row in found} == {0}
    engine.close()


def test_a_histogram_by_value_and_top(lake: tuple[reader.Snapshot, list[dict[str, object]]]) -> None:
    snapshot, rows = lake
    engine = DuckDB(settings.Lake())
    condition = language.compile("status:success", ZONE, NOW)
    mine = [row for row in rows if row["status_id"] == 1]
    by = asking.histogram(snapshot, engine, condition, 24 * HOUR, by="source").to_pylist()
    assert sum(row["n"] for row in by) == len(mine)
    assert Counter({s: sum(r["n"] for r in by if r["by"] == s) for s in {r["by"] for r in by}}) == Counter(
        row["source"] for row in mine
    )
    top = asking.top(snapshot, engine, condition, "src_endpoint_ip", 5).to_pylist()
    expect = Counter(row["src_endpoint_ip"] for row in mine)
    assert [row["n"] for row in top] == [n for _, n in expect.most_common(5)]
    assert all(expect[row["value"]] == row["n"] for row in top)
    narrow = Narrowed(engine, Rights("x", frozenset({"okta"}), raw=False))
    assert asking.top(snapshot, narrow, ANY, "source", 9)["value"].to_pylist() == ["okta"]
    assert asking.top(snapshot, narrow, ANY, "raw", 9)["value"].to_pylist() == [None]
    engine.close()


def test_a_damaged_file_is_named_and_the_rest_is_counted(tmp_path: Path) -> None:
    with Lake(tmp_path, settings.Lake(), now=lambda: NOW) as held:
        for number in range(3):
            held.commit(sample.batch(number * 100, 100), number)
    snapshot = reader.snapshot(tmp_path)
    path = snapshot.paths([snapshot.files[1]])[0]
    data = bytearray(path.read_bytes())
    data[4:4000] = b"\xff" * 3996
    path.write_bytes(data)
    damaged: list[Damage] = []
    engine = DuckDB(settings.Lake())
    found = asking.top(snapshot, engine, ANY, "user_name", 100, damaged=damaged)
    assert sum(found["n"].to_pylist()) == 200
    assert [damage.path for damage in damaged] == [path]
    engine.close()


@pytest.mark.parametrize(
    ("text", "span", "length"),
    [
        ("AUTO", 60, 1),
        ("auto", 3600, 60),
        ("AUTO", 86_400, 1800),
        ("AUTO", 30 * 86_400, 43_200),
        ("1h", 5, 3600),
    ],
)
def test_the_length_of_a_bar(text: str, span: int, length: int) -> None:
    assert asking.bucket_of(text, 0, span * 1_000_000) == length * 1_000_000


@pytest.mark.parametrize("text", ["", "h", "0h", "-1h", "1y", "1.5h", "٣h", "99999d"])
def test_no_length_of_a_bar(text: str) -> None:
    with pytest.raises(Refused, match="not a length of time"):
        asking.bucket_of(text, 0, 1)


def test_too_many_bars_are_refused(tmp_path: Path) -> None:
    rows = [
        {"time": sample.START + timedelta(seconds=n), "event_uid": sample.uid(str(n))} for n in range(2000)
    ]
    with Lake(tmp_path, settings.Lake(), now=lambda: NOW) as held:
        held.commit(sample.table(rows), 0)
    engine = DuckDB(settings.Lake())
    before = asking.MOST_BARS
    asking.MOST_BARS = 1000
    try:
        with pytest.raises(Refused, match="more than 1,000 bars"):
            asking.histogram(reader.snapshot(tmp_path), engine, ANY, 1_000_000)
    finally:
        asking.MOST_BARS = before
        engine.close()
