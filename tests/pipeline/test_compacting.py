"""The pipeline starts compaction in a process of its own; by hand it says what it does."""

from __future__ import annotations

import json
import time
from pathlib import Path

from sekisho import wiring
from sekisho.lake import reader
from sekisho.model import Refused
from sekisho.settings import Settings, load
from tests.pipeline.test_rebuilding import COUNT, content, run
from tests.pipeline.test_rebuilding import settings as settings  # the fixture


def with_rows(settings: Settings, rows: int) -> Settings:
    path = settings.data / "sekisho.toml"
    text = path.read_text()
    assert "[lake]" not in [line.strip() for line in text.splitlines()]
    path.write_text(f"{text}\n[lake]\ncompact_rows = {rows}\n")
    return load(settings.data)


def tiers(settings: Settings) -> set[str]:
    return {file.tier for file in reader.snapshot(settings.lake_dir).files}


def test_a_process_of_its_own_moves_closed_days(settings: Settings) -> None:
    settings = with_rows(settings, 10)
    before = content(settings)
    compactor = wiring.Compactor(settings)
    assert compactor.pid == 0
    compactor.look()
    assert compactor.pid > 0
    end = time.monotonic() + 120
    while compactor.pid and time.monotonic() < end:
        time.sleep(0.2)
    assert tiers(settings) == {"cold"}
    assert content(settings) == before
    log = [json.loads(line) for line in (settings.data / "run/log/compact.log").read_text().splitlines()]
    assert [line["message"] for line in log if line["message"].startswith("compacted ")]
    assert not [line for line in log if line["level"] in {"error", "critical"}]
    compactor.close()


def test_stopped_at_once_nothing_is_lost(settings: Settings) -> None:
    settings = with_rows(settings, 10)
    before = content(settings)
    compactor = wiring.Compactor(settings)
    compactor.look()
    compactor.close()
    assert compactor.pid == 0
    assert content(settings) == before


def test_nothing_is_started_where_nothing_is_due(settings: Settings) -> None:
    for held in (settings, with_rows(settings, COUNT + 1)):
        compactor = wiring.Compactor(held)
        compactor.look()
        assert compactor.pid == 0, "few events stay hot"


def test_by_hand(settings: Settings, tmp_path: Path) -> None:
    few = run(settings, "compact")
    assert few.exit_code == 0
    assert "no closed day is waiting" in few.output
    dry = run(settings, "compact", "--all", "--dry-run")
    assert f"{COUNT:>12,} events" in dry.output
    assert tiers(settings) == {"hot"}
    done = run(settings, "compact", "--all", "--json")
    assert sum(json.loads(done.stdout.splitlines()[0])["days"].values()) == COUNT
    assert tiers(settings) == {"cold"}
    with wiring.open_compaction(settings):
        assert isinstance(run(settings, "compact").exception, Refused)
