"""Commit, offset, restart, two writers, sweep, damaged files, merge."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sekisho import settings
from sekisho.lake import Lake
from sekisho.lake.reader import snapshot
from sekisho.model import Refused
from tests.lake import sample

NOW = datetime(2026, 5, 20, tzinfo=UTC)
OPTIONS = settings.Lake(merge_files=4)


def opened(folder: Path, now: Callable[[], datetime] = lambda: NOW) -> Lake:
    return Lake(folder, OPTIONS, now=now)


def stored(folder: Path) -> list[str]:
    """Ids of all rows that the manifest names, straight from the files."""
    with Lake(folder, OPTIONS, now=lambda: NOW) as lake:
        names = [file.name for file in lake._manifest.files()]
    return sorted(
        uid for name in names for uid in pq.read_table(folder / "hot" / name)["event_uid"].to_pylist()
    )


def test_offset_moves_with_the_events_and_survives(tmp_path: Path) -> None:
    with opened(tmp_path) as lake:
        assert lake.offset() is None
        lake.commit(sample.batch(0, 100), 4)
        lake.commit(sample.batch(0, 0), 9, {"okta": {"rejects": 3}})
        assert lake.offset() == 9
    with opened(tmp_path) as lake:
        assert lake.offset() == 9
        assert lake._manifest.counters()["okta"] | {"last_ingested_at": 0} == {
            "events": 100,
            "rejects": 3,
            "last_ingested_at": 0,
        }
    assert len(stored(tmp_path)) == 100


@pytest.mark.parametrize(("upto", "rows"), [(8, 0), (8, 5), (9, 5)])
def test_an_offset_never_goes_backwards(tmp_path: Path, upto: int, rows: int) -> None:
    with opened(tmp_path) as lake:
        lake.commit(sample.batch(0, 10), 9)
        with pytest.raises(Refused, match="already goes to frame 9"):
            lake.commit(sample.batch(10, rows), upto)
        assert lake.offset() == 9
    assert len(stored(tmp_path)) == 10


def test_only_columns_that_hold_a_value_are_written(tmp_path: Path) -> None:
    with opened(tmp_path) as lake:
        lake.commit(sample.batch(0, 10), 0)
        name = lake._manifest.files()[0].name
    names = pq.read_schema(tmp_path / "hot" / name).names
    assert "user_name" in names
    assert "reg_key_path" not in names
    assert {"time", "event_uid", "source", "journal_offset", "ingested_at", "class_uid"} <= set(names)


def test_a_second_writer_refuses_naming_the_first(tmp_path: Path) -> None:
    with opened(tmp_path):
        code = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from sekisho import model, settings
from sekisho.lake import Lake
try:
    Lake(Path(sys.argv[1]), settings.Lake(), now=lambda: datetime.now(UTC))
except model.Refused as error:
    print(error)
    sys.exit(3)
"""
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
        )
    assert done.returncode == 3
    assert f"process {os.getpid()} already writes" in done.stdout


def test_files_that_nothing_names_are_swept_and_only_those(tmp_path: Path) -> None:
    with opened(tmp_path) as lake:
        lake.commit(sample.batch(0, 10), 0)
        named = lake._manifest.files()[0].name
    hot = tmp_path / "hot"
    orphan = hot / "hot-0000000000000001-00c0ffee.parquet"
    orphan.write_bytes((hot / named).read_bytes())
    foreign = hot / "notes.parquet"
    foreign.write_bytes(b"mine")
    with opened(tmp_path) as lake:
        assert not orphan.exists()
        assert foreign.read_bytes() == b"mine"
        assert lake.sweep() == []
    assert len(stored(tmp_path)) == 10


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "bytes long instead of"),
        (lambda path: path.write_bytes(bytes(path.stat().st_size)), "not a Parquet file"),
    ],
)
def test_a_damaged_file_is_named_and_the_rest_works(
    tmp_path: Path, harm: Callable[[Path], None], why: str
) -> None:
    with opened(tmp_path) as lake:
        lake.commit(sample.batch(0, 10), 0)
        lake.commit(sample.batch(10, 10), 1)
        name = lake._manifest.files()[0].name
    harm(tmp_path / "hot" / name)
    with opened(tmp_path) as lake:
        assert [damage.path.name for damage in lake.damaged] == [name]
        assert why in str(lake.damaged[0])
        assert lake.fold(sample.batch(10, 10)).events.num_rows == 0
        assert lake.fold(sample.batch(0, 10)).events.num_rows == 10, "its events may be stored again"
        lake.commit(sample.batch(0, 10), 2)


def test_a_newer_manifest_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as lake:
        lake._manifest._db.execute("PRAGMA user_version = 99")
    with pytest.raises(Refused, match="newer Sekisho"):
        opened(tmp_path)


def test_an_unknown_column_is_a_bug_not_a_loss(tmp_path: Path) -> None:
    with opened(tmp_path) as lake:
        events = sample.batch(0, 3)
        with pytest.raises(ValueError, match="unknown to the lake"):
            lake.commit(events.append_column("nope", events["source"]), 0)
        assert lake.offset() is None


def test_merging_goes_on_without_a_file_that_is_damaged_inside(tmp_path: Path) -> None:
    with opened(tmp_path) as lake:
        for n in range(9):
            lake.commit(sample.batch(n * 10, 10), n)
        path = tmp_path / "hot" / lake._manifest.files()[1].name
        whole = path.read_bytes()
        path.write_bytes(whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :])
        assert lake.merge() == 8, "all others"
        assert [damage.path for damage in lake.damaged] == [path]
        assert lake.merge() == 0
        assert len(lake.damaged) == 1
        assert [damage.path for damage in snapshot(tmp_path).damaged] == [path], "other processes are told"
        assert snapshot(tmp_path).rows == 80
        present = {file.name for file in (tmp_path / "hot").iterdir()}
        assert present == lake._manifest.names(), "no half-written file is left"
    with opened(tmp_path) as lake:
        assert [damage.path for damage in lake.damaged] == [path], "a restart does not forget it"
    path.write_bytes(whole)
    with opened(tmp_path) as lake:
        assert lake.damaged == []
        assert snapshot(tmp_path).damaged == ()
    assert stored(tmp_path) == sorted(sample.uid(f"event {n}") for n in range(90))


def test_a_fault_of_the_file_being_written_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as lake:
        for n in range(4):
            lake.commit(sample.batch(n * 10, 10), n)
        monkeypatch.setattr("sekisho.lake.files.sync_folder", _fail)
        with pytest.raises(OSError, match="no space"):
            lake.merge()
        assert lake.damaged == []
        monkeypatch.undo()
        assert lake.merge() == 4


def _fail(folder: Path) -> None:
    raise OSError(5, "no space")


def test_merge_keeps_every_row_and_old_files_for_a_while(tmp_path: Path) -> None:
    clock = [NOW]
    with opened(tmp_path, lambda: clock[0]) as lake:
        for n in range(9):
            lake.commit(sample.batch(n * 10, 10), n)
        before = {file.name for file in lake._manifest.files()}
        assert lake.merge() == 8
        live = lake._manifest.files()
        assert sorted(file.rows for file in live) == [10, 40, 40]
        assert all((tmp_path / "hot" / name).exists() for name in before)
        assert lake.fold(sample.batch(0, 100)).events.num_rows == 10
        clock[0] += timedelta(minutes=11)
        assert len(lake.sweep()) == 8
        assert lake.offset() == 8
        for n in range(9, 20):
            lake.commit(sample.batch(n * 10, 10), n)
        lake.merge()
        assert max(file.level for file in lake._manifest.files()) == 2
        assert lake.fold(sample.batch(0, 200)).events.num_rows == 0
        clock[0] += timedelta(minutes=11)
        lake.merge()
        names = {file.name for file in lake._manifest.files()}
        assert {path.name for path in (tmp_path / "hot").iterdir()} == names, (
            "merging removes what is expired"
        )
    assert stored(tmp_path) == sorted(sample.uid(f"event {n}") for n in range(200))
