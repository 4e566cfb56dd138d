"""What a change owes is written with it, or not at all, and is settled even after a crash in between."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sekisho import first_run, wiring
from sekisho.cli.master import registers
from sekisho.journal import JournalReader
from sekisho.model import Retry
from sekisho.modules import database
from sekisho.settings import Settings, load

NOW = datetime(2026, 5, 20, tzinfo=UTC)
PEOPLE = b"person_id,name,country,zone,employment_start,employment_end\nemp0001,A,JP,Asia/Tokyo,2020-04-01,\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    first_run.prepare(tmp_path / "data", 0)
    settings = load(tmp_path / "data")
    database.start(settings.data)
    database.migrate()
    return settings


def take_in(settings: Settings) -> list[dict[str, Any]]:
    from sekisho.modules.ledger import flows

    upload = flows.Upload(PEOPLE, "people.csv", "tester", {})
    return flows.import_file(registers(settings.data)["people"], upload, now=NOW).events


def owed() -> list[str]:
    from sekisho.modules.outbox.models import Owed

    return list(Owed.objects.order_by("id").values_list("kind", flat=True))


def journaled(settings: Settings) -> list[dict[str, Any]]:
    reader = JournalReader(settings.journal_dir)
    frames = reader.read(0, 1000).frames
    return [json.loads(body) for frame in frames for body in frame.records.bodies]


def test_what_is_owed_is_settled_once(settings: Settings) -> None:
    events = take_in(settings)
    assert owed() == ["publish", "judge", "audit", "audit"]
    assert wiring.deliver_audit(settings) == 2
    assert journaled(settings) == events
    from sekisho.enrich import context_files

    assert context_files.read(settings.context_dir).tables["people"].num_rows == 1
    assert wiring.judging_owed(settings)
    assert wiring.deliver_audit(settings) == 0
    assert journaled(settings) == events
    wiring.judge_again(settings)
    assert not wiring.judging_owed(settings)
    assert owed() == []


def test_nothing_is_owed_for_a_change_that_is_rolled_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sekisho.modules.ledger import flows
    from sekisho.modules.outbox import flows as outbox

    def crash(*_: object, **__: object) -> None:
        raise RuntimeError("power cut")

    monkeypatch.setattr(outbox, "owe_audit", crash)
    with pytest.raises(RuntimeError):
        take_in(settings)
    assert owed() == []
    assert list(flows.current(registers(settings.data)["people"])) == []


def test_a_crash_after_journaling_tells_the_same_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sekisho.modules.outbox import flows

    take_in(settings)
    real = flows.settle

    def crash(rows: list[flows.Pending]) -> None:
        if rows and rows[0].body:
            raise RuntimeError("power cut")
        real(rows)

    monkeypatch.setattr(flows, "settle", crash)
    with pytest.raises(RuntimeError):
        wiring.deliver_audit(settings)
    monkeypatch.undo()
    assert wiring.deliver_audit(settings) == 2
    assert len(journaled(settings)) == 4
    wiring.drain(settings)
    from sekisho.lake import reader

    assert reader.snapshot(settings.lake_dir).rows == 2, "the second telling folds"


def test_what_cannot_be_journaled_stays_owed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from sekisho.wiring import owing

    def full(*_: object) -> None:
        raise Retry(5, "the disk is full")

    take_in(settings)
    monkeypatch.setattr(owing, "audit", full)
    with pytest.raises(Retry):
        wiring.deliver_audit(settings)
    monkeypatch.undo()
    assert owed() == ["judge", "audit", "audit"]


def test_a_service_leaves_the_journal_to_the_collector(settings: Settings) -> None:
    take_in(settings)
    assert wiring.deliver_audit(settings, alone=False) == 0
    assert owed() == ["judge", "audit", "audit"]
    assert journaled(settings) == []
