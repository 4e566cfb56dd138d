"""Normalising ahead in a second process changes the speed and nothing else."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bench.shapes import records

from sekisho import first_run, wiring
from sekisho.journal import JournalWriter
from sekisho.model import Records
from sekisho.settings import Settings, load
from sekisho.wiring.plane import Plane

AT = datetime(2026, 5, 14, tzinfo=UTC)
FRAMES = 12


def filled(folder: Path, batch: int) -> Settings:
    first_run.prepare(folder, 0)
    (folder / "sekisho.toml").write_text(f"[pipeline]\nbatch_records = {batch}\n")
    settings = load(folder)
    writer = JournalWriter(settings.journal_dir)
    for number in range(FRAMES):
        source = ("okta", "cloudtrail", "windows")[number % 3]
        bodies = (*records(source, 200, start=number * 200, at=AT), b"no JSON")
        writer.append([Records(source, "ndjson", "none", "p", "t", 10**18 + number, bodies)])
    writer.close()
    return settings


def stored(settings: Settings) -> pa.Table:
    files = sorted((settings.lake_dir / "hot").glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(path) for path in files], promote_options="permissive")
    return table.sort_by("journal_offset").select(sorted(table.column_names))


def run(plane: Plane) -> int:
    used = 0
    while plane.step() is not None:
        used += plane.ahead.busy
    return used


def test_the_same_events_and_rejects_with_and_without(tmp_path: Path) -> None:
    calm = wiring.open_plane(filled(tmp_path / "calm", 100_000), alert=lambda _: None)
    assert run(calm) == 0
    calm.close()
    busy = wiring.open_plane(filled(tmp_path / "busy", 600), alert=lambda _: None)
    assert run(busy) > 0, "the worker was never used, so this shows nothing"
    assert busy.rejects.total() == calm_total(tmp_path / "calm") == FRAMES
    busy.close()
    one, two = stored(load(tmp_path / "calm")), stored(load(tmp_path / "busy"))
    assert one.num_rows == FRAMES * 200
    assert one.equals(two)


def calm_total(folder: Path) -> int:
    from sekisho.journal import Rejects

    return Rejects(folder / "journal").total()


def test_a_killed_worker_ends_the_batch_and_the_next_start_goes_on(tmp_path: Path) -> None:
    settings = filled(tmp_path, 600)
    plane = wiring.open_plane(settings, alert=lambda _: None)
    assert plane.step() is not None
    assert plane.ahead.busy
    os.kill(plane.ahead.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="ended"):
        run(plane)  # at once, or at the next batch if its answer was there already
    plane.close()
    plane = wiring.open_plane(settings, alert=lambda _: None)
    run(plane)
    plane.close()
    assert stored(settings).num_rows == FRAMES * 200
