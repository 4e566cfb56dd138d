"""Folding is exact: compared with a plain set over many small worlds."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sekisho import settings
from sekisho.lake import Lake, uids
from tests.lake import sample

NOW = datetime(2026, 5, 20, tzinfo=UTC)
DAY = timedelta(days=1)

#: (which record, timeless, minute of receipt)
ROW = st.tuples(st.integers(0, 60), st.booleans(), st.integers(0, 300))
STEP = st.one_of(st.lists(ROW, max_size=25), st.sampled_from(["restart", "merge", "flush", "lose the index"]))


def _row(record: int, timeless: bool, minute: int) -> dict[str, object]:
    received = sample.START + timedelta(minutes=minute)
    return {
        "event_uid": sample.uid(f"{record} {timeless}"),
        "time": received if timeless else sample.START + timedelta(minutes=7 * record),
        "ingested_at": received,
    }


@given(st.lists(STEP, max_size=12))
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_fold_equals_a_set(steps: list[list[tuple[int, bool, int]] | str]) -> None:
    seen: set[str] = set()
    frame = 0
    with tempfile.TemporaryDirectory() as name:
        lake = Lake(Path(name), settings.Lake(merge_files=2), now=lambda: NOW)
        for step in steps:
            if step == "restart":
                lake.close()
                lake = Lake(Path(name), settings.Lake(merge_files=2), now=lambda: NOW)
            elif step == "merge":
                lake.merge()
            elif step == "flush":
                lake._uids.flush()
            elif step == "lose the index":
                lake._uids.flush()
                lake.close()
                for path in (Path(name) / "uids").iterdir():
                    path.unlink()
                lake = Lake(Path(name), settings.Lake(merge_files=2), now=lambda: NOW)
            else:
                assert not isinstance(step, str)
                events = sample.table([_row(*row) for row in step])
                wanted = []
                for uid in events["event_uid"].to_pylist():
                    if uid not in seen:
                        wanted.append(uid)
                        seen.add(uid)
                folded = lake.fold(events)
                assert folded.events["event_uid"].to_pylist() == wanted
                assert sum(folded.duplicates.values()) == events.num_rows - len(wanted)
                lake.commit(folded.events, frame)
                frame += 1
        lake.close()


def test_duplicates_are_counted_by_source(tmp_path: Path) -> None:
    with Lake(tmp_path, settings.Lake(), now=lambda: NOW) as lake:
        events = sample.table(
            [
                {"event_uid": sample.uid(n), "source": s}
                for n, s in (("a", "okta"), ("b", "sshd"), ("a", "okta"))
            ]
        )
        folded = lake.fold(events)
        assert folded.duplicates == {"okta": 1}
        lake.commit(folded.events, 0)
        assert lake.fold(events).duplicates == {"okta": 2, "sshd": 1}


def test_equal_keys_of_different_ids_are_told_apart(tmp_path: Path) -> None:
    """The key holds 40 bits of the id (63 where there is no time); the rest decides."""
    common = "0123456789abcdef"
    first, second = common + "0" * 16, common + "1" * 16
    with Lake(tmp_path, settings.Lake(), now=lambda: NOW) as lake:
        row = {"time": sample.START, "ingested_at": sample.START}
        lake.commit(sample.table([{"event_uid": first, **row}]), 0)
        folded = lake.fold(sample.table([{"event_uid": second, **row}, {"event_uid": first, **row}]))
        assert folded.events["event_uid"].to_pylist() == [second]


def test_own_time_that_equals_receipt_once_by_chance(tmp_path: Path) -> None:
    with Lake(tmp_path, settings.Lake(), now=lambda: NOW) as lake:
        row = {"event_uid": sample.uid("x"), "time": sample.START}
        lake.commit(sample.table([row | {"ingested_at": sample.START}]), 0)
        assert lake.fold(sample.table([row | {"ingested_at": sample.START + DAY}])).events.num_rows == 0


@pytest.mark.parametrize("year", [1, 1970, 2099, 9999])
def test_times_far_away(tmp_path: Path, year: int) -> None:
    with Lake(tmp_path, settings.Lake(), now=lambda: NOW) as lake:
        events = sample.table([{"time": datetime(year, 1, 2, tzinfo=UTC)}])
        lake.commit(lake.fold(events).events, 0)
        assert lake.fold(events).events.num_rows == 0


def test_an_id_that_is_none_is_a_bug(tmp_path: Path) -> None:
    with Lake(tmp_path, settings.Lake(), now=lambda: NOW) as lake, pytest.raises(ValueError, match="32 hex"):
        lake.fold(sample.table([{"event_uid": "abc"}]))


def test_runs_are_joined_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uids, "FLUSH", 64)
    monkeypatch.setattr(uids, "MAPPED", 4096)
    with Lake(tmp_path, settings.Lake(), now=lambda: NOW) as lake:
        for n in range(40):
            lake.commit(sample.batch(n * 50, 50), n)
        runs = lake._manifest.runs()
        assert 1 <= len(runs) < uids.FAN
        assert {path.name for path in (tmp_path / "uids").iterdir()} == {run.name for run in runs}
        for run in runs:
            keys = np.fromfile(tmp_path / "uids" / run.name, dtype=np.uint64)
            assert (np.diff(keys.astype(object)) >= 0).all()
    with Lake(tmp_path, settings.Lake(), now=lambda: NOW) as lake:
        folded = lake.fold(sample.batch(0, 2100))
        assert folded.duplicates == {"okta": 2000}
