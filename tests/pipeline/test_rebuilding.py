"""`sekisho rebuild`: identical events out of the journal, the old lake in use until then."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from sekisho import first_run, wiring
from sekisho.cli.main import group
from sekisho.lake import Lake, files, reader
from sekisho.model import Records, Refused
from sekisho.modules import database
from sekisho.settings import Settings, load
from sekisho.wiring import rebuilding
from tests.pipeline.test_judging import login

COUNT = 120


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation whose journal holds events, a shipper's retry and a record that nobody understands."""
    first_run.prepare(tmp_path / "data", 0)
    settings = load(tmp_path / "data")
    database.start(settings.data)
    database.migrate()
    with wiring.offline(settings) as append:
        for number in range(COUNT // 10):
            at = wiring.now() - timedelta(days=3, seconds=10 * number)
            bodies = tuple(login(at + timedelta(milliseconds=n)) for n in range(10))
            frame = Records("ocsf", "file", "none", "f", "", wiring.now_ns(), bodies)
            append(frame)
            if number % 5 == 0:
                append(frame)
        append(Records("ocsf", "file", "none", "f", "", wiring.now_ns(), (b'{"no": "event"}',)))
    return settings


def content(settings: Settings) -> dict[str, str]:
    """Hash of every column of each event, by its id."""
    found: dict[str, str] = {}
    snapshot = reader.snapshot(settings.lake_dir)
    assert not snapshot.damaged
    for file in snapshot.files:
        for row in pq.read_table(files.path_of(settings.lake_dir, file)).to_pylist():
            held = {name: str(value) for name, value in sorted(row.items()) if value is not None}
            assert row["event_uid"] not in found
            found[row["event_uid"]] = hashlib.sha256(json.dumps(held).encode()).hexdigest()
    return found


def run(settings: Settings, *words: str) -> Any:
    return CliRunner().invoke(group, ["--data", str(settings.data), *words])


def test_identical_events_come_out(settings: Settings) -> None:
    before = content(settings)
    assert len(before) == COUNT
    counters = reader.snapshot(settings.lake_dir).counters
    rejects = run(settings, "rejects", "list").output
    done = run(settings, "rebuild", "--keep-old", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["events"] == COUNT
    assert said["fewer"] == {}
    assert content(settings) == before
    assert reader.snapshot(settings.lake_dir).counters == counters
    assert run(settings, "rejects", "list").output == rejects
    assert (settings.data / "lake.old" / "manifest.sqlite3").exists()
    assert not (settings.data / "lake.new").exists()
    again = run(settings, "rebuild", "--keep-old")
    assert isinstance(again.exception, Refused), "the old one of the first time is not overwritten"


def test_a_damaged_lake_is_mended_also_after_compaction(settings: Settings) -> None:
    before = content(settings)
    assert run(settings, "compact", "--all").exit_code == 0
    assert content(settings) == before
    file = next(f for f in reader.snapshot(settings.lake_dir).files if f.tier == "cold")
    files.path_of(settings.lake_dir, file).write_bytes(b"gone")
    assert reader.snapshot(settings.lake_dir).damaged
    assert run(settings, "rebuild").exit_code == 0
    assert content(settings) == before
    assert not (settings.data / "lake.new").exists()
    assert run(settings, "compact", "--all").exit_code == 0, "its Iceberg table is made anew"
    assert content(settings) == before


def test_stopped_in_between_it_goes_on(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(settings)
    small = load(settings.data)
    import msgspec

    small = msgspec.structs.replace(small, pipeline=msgspec.structs.replace(small.pipeline, batch_records=20))

    class Stopped(BaseException):
        pass

    def stop(done: int, of: int, events: int) -> None:
        if done * 2 > of:
            raise Stopped

    with pytest.raises(Stopped):
        wiring.rebuild(small, stop)
    assert content(settings) == before, "the old lake is in use"
    seen: list[int] = []
    result = wiring.rebuild(small, lambda done, of, events: seen.append(done))
    assert result.events == COUNT
    assert seen[0] * 2 > result.frames, "it did not begin again"
    assert content(settings) == before


def test_while_the_platform_writes_it_refuses(settings: Settings) -> None:
    with (
        Lake(settings.lake_dir, settings.lake, now=wiring.now),
        pytest.raises(Refused, match="already writes to this lake"),
    ):
        wiring.rebuild(settings, lambda *_: None)
    assert len(content(settings)) == COUNT


def test_fewer_events_than_before_are_not_accepted_silently(settings: Settings) -> None:
    before = content(settings)
    for path in sorted((settings.data / "journal").glob("*.seg")) or sorted(
        path for path in (settings.data / "journal").iterdir() if path.stem.isdigit()
    ):
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    done = run(settings, "rebuild")
    assert isinstance(done.exception, Refused)
    assert "fewer events than the old one (ocsf:" in str(done.exception)
    assert content(settings) == before
    accepted = run(settings, "rebuild", "--accept-fewer")
    assert accepted.exit_code == 0, accepted.output
    assert 0 < len(content(settings)) < COUNT


def test_folders_change_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for way in ("renameat2", "three renames"):
        if way != "renameat2":
            monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: object())
        one, other = tmp_path / "one", tmp_path / "other"
        for path in (one, other):
            path.mkdir(exist_ok=True)
        (one / "mark").write_text("1")
        rebuilding.swap(one, other)
        assert (other / "mark").exists()
        assert not (one / "mark").exists()
        (other / "mark").unlink()
