"""kill -9 of a real writer at random moments; readers while the writer merges."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from sekisho import settings
from sekisho.lake import Lake, reader
from sekisho.lake import query as language
from sekisho.lake.engines.duckdb import DuckDB
from sekisho.lake.search import Search
from tests.lake import sample

NOW = datetime(2026, 5, 20, tzinfo=UTC)
ROWS = 40

WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from sekisho import settings
from sekisho.lake import Lake, uids
from tests.lake import sample

uids.FLUSH = 400
with Lake(Path(sys.argv[1]), settings.Lake(merge_files=4), now=lambda: datetime.now(UTC)) as lake:
    frame = (lake.offset() + 1) if lake.offset() is not None else 0
    while True:
        folded = lake.fold(sample.batch(max(0, frame - 1) * {rows}, 2 * {rows}))
        assert folded.events.num_rows == ({rows} if frame else 2 * {rows}), folded
        lake.commit(folded.events.slice(0, {rows}), frame)
        print(frame, flush=True)
        if frame % 5 == 4:
            lake.merge()
        frame += 1
"""


def uids_by_search(folder: Path) -> Counter[str]:
    engine = DuckDB(settings.Lake())
    snapshot = reader.snapshot(folder)
    search = Search(snapshot, engine, language.compile("", ZoneInfo("Asia/Tokyo"), NOW))
    found = Counter(row["event_uid"] for t in search.rows(columns=["event_uid"]) for row in t.to_pylist())
    engine.close()
    assert not search.damaged
    return found


def start(folder: Path) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", WRITER.format(rows=ROWS), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=root,
    )


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """Every frame that the child had acknowledged is there once after it was killed, 12 times over."""
    dice = random.Random(7)
    acknowledged = -1
    for _ in range(12):
        child = start(tmp_path)
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line, child.stderr.read() if child.stderr else ""
        for _ in range(dice.randrange(5)):
            line += child.stdout.readline()
        time.sleep(dice.uniform(0, 0.1))
        child.send_signal(signal.SIGKILL)
        rest, _said = child.communicate()
        frames = [int(n) for n in (line + rest).split()]
        acknowledged = max(acknowledged, *frames)
        with Lake(tmp_path, settings.Lake(), now=lambda: datetime.now(UTC)) as lake:
            offset = lake.offset()
            assert offset is not None
            assert offset >= acknowledged
            named = lake._manifest.names()
            assert {path.name for path in (tmp_path / "hot").iterdir()} <= named
        found = uids_by_search(tmp_path)
        assert set(found.values()) == {1}
        assert set(found) == {sample.uid(f"event {n}") for n in range((offset + 1) * ROWS)}
    assert acknowledged > 20


def test_readers_see_one_moment_while_the_writer_commits_and_merges(tmp_path: Path) -> None:
    child = start(tmp_path)
    try:
        assert child.stdout is not None
        assert child.stdout.readline()
        until = time.monotonic() + 3
        last = 0
        looked = 0
        while time.monotonic() < until:
            snapshot = reader.snapshot(tmp_path)
            assert snapshot.offset is not None
            assert snapshot.rows == (snapshot.offset + 1) * ROWS
            engine = DuckDB(settings.Lake())
            search = Search(snapshot, engine, language.compile("", ZoneInfo("UTC"), NOW))
            assert search.count() == snapshot.rows
            engine.close()
            assert not search.damaged
            assert snapshot.rows >= last
            last, looked = snapshot.rows, looked + 1
        assert looked > 3
        assert last > ROWS
    finally:
        child.kill()
        child.communicate()


def test_a_batch_written_but_not_named_is_repeated_not_doubled(tmp_path: Path) -> None:
    """Power cut between the file and the transaction: the file is there, the manifest is the old one."""
    with Lake(tmp_path, settings.Lake(), now=lambda: NOW) as lake:
        lake.commit(sample.batch(0, ROWS), 0)
    before = (tmp_path / "manifest.sqlite3").read_bytes()
    with Lake(tmp_path, settings.Lake(), now=lambda: NOW) as lake:
        lake.commit(sample.batch(ROWS, ROWS), 1)
    for path in tmp_path.glob("manifest.sqlite3*"):
        path.unlink()
    (tmp_path / "manifest.sqlite3").write_bytes(before)
    with Lake(tmp_path, settings.Lake(), now=lambda: NOW) as lake:
        assert lake.offset() == 0
        assert len(list((tmp_path / "hot").iterdir())) == 1
        again = lake.fold(sample.batch(ROWS, ROWS))
        assert again.duplicates == {}
        lake.commit(again.events, 1)
    assert uids_by_search(tmp_path) == Counter(sample.uid(f"event {n}") for n in range(2 * ROWS))
