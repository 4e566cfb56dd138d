"""Master data that arrive late: what was stored before is judged by them, in both directions."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sekisho import first_run, status, wiring
from sekisho.cli import process
from sekisho.enrich import context_files
from sekisho.lake import Lake
from sekisho.model import Records
from sekisho.modules import database
from sekisho.settings import Lake as LakeSettings
from sekisho.settings import Settings, load
from tests.lake import sample

PEOPLE = (
    "person_id,name,country,zone,employment_start,employment_end\n"
    "emp0001,林 大樹,JP,Asia/Tokyo,2020-04-01,{end}\n"
)
ACCOUNTS = (
    "system,account,person_id,valid_from\n*,daiki.hayashi@reiji.example,emp0001,2020-04-01T00:00:00+09:00\n"
)


def login(at: datetime) -> bytes:
    return json.dumps(
        {
            "metadata": {"version": "1.8.0", "product": {"name": "Door", "vendor_name": "Example"}},
            "time": int(at.timestamp() * 1000),
            "class_uid": 3002,
            "category_uid": 3,
            "activity_id": 1,
            "type_uid": 300201,
            "severity_id": 1,
            "status_id": 1,
            "user": {"name": "daiki.hayashi@reiji.example", "email_addr": "daiki.hayashi@reiji.example"},
            "src_endpoint": {"ip": "198.51.100.7"},
        }
    ).encode()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    first_run.prepare(tmp_path / "data", 0)
    settings = load(tmp_path / "data")
    database.start(settings.data)
    database.migrate()
    with wiring.offline(settings) as append:
        at = wiring.now() - timedelta(days=2)
        append(Records("ocsf", "file", "none", "f", "", wiring.now_ns(), (login(at),)))
    return settings


def people(settings: Settings, tmp_path: Path, end: str) -> Any:
    from click.testing import CliRunner

    from sekisho.cli.main import group

    runner = CliRunner()
    for name, text in (("people", PEOPLE.format(end=end)), ("accounts", ACCOUNTS)):
        path = tmp_path / f"{name}.csv"
        path.write_text(text)
        done = runner.invoke(group, ["--data", str(settings.data), name, "import", str(path)])
        assert done.exit_code == 0, done.output
    return done


def alerts() -> list[tuple[str, str, str]]:
    from sekisho.modules.alerts.models import Alert

    return sorted(Alert.objects.filter(rule="leaver-attempt").values_list("rule", "state", "reason"))


def test_an_end_date_that_comes_late_raises_and_its_correction_withdraws(
    settings: Settings, tmp_path: Path
) -> None:
    people(settings, tmp_path, "")
    assert alerts() == []
    last_week = (datetime.now(tz=UTC) - timedelta(days=7)).date().isoformat()
    people(settings, tmp_path, last_week)
    assert alerts() == [("leaver-attempt", "new", "")]
    wiring.judge_again(settings)
    assert alerts() == [("leaver-attempt", "new", "")], "repeating it changes nothing"
    next_year = (datetime.now(tz=UTC) + timedelta(days=300)).date().isoformat()
    people(settings, tmp_path, next_year)
    assert alerts() == [("leaver-attempt", "closed", "withdrawn")]
    people(settings, tmp_path, last_week)
    assert alerts() == [("leaver-attempt", "new", "")]


@pytest.fixture
def held(settings: Settings, tmp_path: Path) -> Settings:
    """One alert of a leaver is open; the correction is published, but nothing was judged by it yet."""
    people(settings, tmp_path, (datetime.now(tz=UTC) - timedelta(days=7)).date().isoformat())
    assert alerts() == [("leaver-attempt", "new", "")]
    from sekisho.cli.master import registers
    from sekisho.modules.ledger import flows

    text = PEOPLE.format(end="").encode()
    upload = flows.Upload(text, "people.csv", "tester", {})
    assert flows.import_file(registers(settings.data)["people"], upload, now=wiring.now()).events
    wiring.publish(settings)
    return settings


def test_an_alert_that_somebody_closes_meanwhile_stays_closed_by_them(held: Settings) -> None:
    from sekisho.modules.alerts import flows
    from sekisho.modules.alerts.models import Alert

    uid = Alert.objects.get(rule="leaver-attempt").uid

    def meanwhile(done: int, of: int) -> None:
        if Alert.objects.get(uid=uid).state == "new":
            flows.close(uid, "person", "benign", "", now=wiring.now())

    judged = wiring.judge_again(held, progress=meanwhile)
    assert judged.withdrawn == []
    assert alerts() == [("leaver-attempt", "closed", "benign")]


def test_an_alert_that_gets_other_evidence_meanwhile_is_left(held: Settings) -> None:
    from sekisho.modules.alerts.models import Alert, AlertEvidence

    alert = Alert.objects.get(rule="leaver-attempt")

    def meanwhile(done: int, of: int) -> None:
        AlertEvidence.objects.get_or_create(
            alert=alert,
            event_uid="f" * 32,
            defaults={"time": wiring.now(), "source": "ocsf", "facts": []},
        )

    assert wiring.judge_again(held, progress=meanwhile).withdrawn == []
    assert alerts() == [("leaver-attempt", "new", "")]
    AlertEvidence.objects.filter(event_uid="f" * 32).delete()
    assert wiring.judge_again(held).withdrawn == [alert.uid]
    assert alerts() == [("leaver-attempt", "closed", "withdrawn")]


def test_what_cannot_be_read_is_named_and_withdraws_nothing(held: Settings) -> None:
    for path in (held.lake_dir / "hot").iterdir():
        whole = path.read_bytes()
        path.write_bytes(whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :])
    judged = wiring.judge_again(held)
    assert judged.unread
    assert all(".parquet: " in file for file in judged.unread)
    assert alerts() == [("leaver-attempt", "new", "")]


def test_a_pipeline_that_does_not_take_the_tables_is_told_of(
    held: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sekisho.wiring import judging

    monkeypatch.setattr(judging, "WAIT_SECONDS", 0.3)
    assert not wiring.judge_again(held).behind, "none runs"
    words = process.said("pipeline", wiring.now().timestamp())
    words.texts["context_version"] = "older"
    status.write(held.run_dir, words)
    assert wiring.judge_again(held).behind
    words.pid, words.at = 1, wiring.now().timestamp() - 2 * status.STALE_SECONDS
    status.write(held.run_dir, words)
    assert wiring.judge_again(held).behind, "long in one step, it says nothing, but its process is there"
    from sekisho.modules.outbox import flows

    flows.owe_tables(now=wiring.now())
    assert wiring.settle_judging(held) is None
    assert wiring.judging_owed(held)
    words.texts["context_version"] = context_files.current(held.context_dir)
    status.write(held.run_dir, words)
    assert wiring.settle_judging(held) is not None
    assert not wiring.judging_owed(held)


def test_the_service_settles_what_a_killed_command_left(
    held: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sekisho.cli import serve_notify

    judging = serve_notify.Judging(held)

    def child() -> Any:
        judging.begin()
        return judging._child

    assert child() is None, "a command that runs may still do it by itself"
    monkeypatch.setattr(serve_notify, "LEFT", timedelta(0))
    assert child().wait(120) == 0
    assert alerts() == [("leaver-attempt", "closed", "withdrawn")]
    assert not wiring.judging_owed(held)
    assert child() is None
    log = (held.run_dir / "log" / "judge.log").read_text()
    assert "1 withdrawn" in log


def test_two_passes_never_run_at_once(held: Settings) -> None:
    from sekisho.wiring.judging import one_judge

    done = threading.Event()

    def judge() -> None:
        from django.db import connections

        assert wiring.settle_judging(held) is not None
        connections.close_all()
        done.set()

    with one_judge(held):
        thread = threading.Thread(target=judge)
        thread.start()
        assert not done.wait(0.5)
        assert alerts() == [("leaver-attempt", "new", "")]
    thread.join(60)
    assert alerts() == [("leaver-attempt", "closed", "withdrawn")]


def test_files_that_a_merge_replaces_meanwhile_are_found_again(tmp_path: Path) -> None:
    from sekisho.wiring.judging import _Past

    clock = [datetime(2026, 5, 20, tzinfo=UTC)]
    with Lake(tmp_path, LakeSettings(merge_files=4), now=lambda: clock[0]) as lake:
        for n in range(4):
            lake.commit(sample.batch(n * 10, 10), n)
        past = _Past(tmp_path, 0)
        seen: set[str] = set()
        for number, events in enumerate(past):
            seen.update(events.column("event_uid").to_pylist())
            if number == 0:
                lake.merge()
                clock[0] += timedelta(minutes=11)
                assert len(lake.sweep()) == 4
    assert seen == {sample.uid(f"event {n}") for n in range(40)}
    assert past.unread == []
    assert past.left == 0


def test_only_what_is_young_enough_is_read(tmp_path: Path) -> None:
    from sekisho.wiring.judging import HORIZON, _Past

    assert timedelta(days=400) == HORIZON
    with Lake(tmp_path, LakeSettings(), now=wiring.now) as lake:
        lake.commit(sample.batch(0, 10), 0)
        newest = max(file.time_max for file in lake._manifest.files())
    assert sum(events.num_rows for events in _Past(tmp_path, newest)) >= 1
    assert sum(events.num_rows for events in _Past(tmp_path, 0)) == 10
    assert list(_Past(tmp_path, newest + 1)) == []


def test_an_import_cut_off_by_a_crash_is_completed_by_repeating_it(held: Settings, tmp_path: Path) -> None:
    assert wiring.judging_owed(held)
    people(held, tmp_path, "")  # nothing changes any more, yet the past has not been judged by it
    assert alerts() == [("leaver-attempt", "closed", "withdrawn")]
    assert not wiring.judging_owed(held)
