"""Master data that arrive late: what was stored before is judged by them, in both directions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sekisho import first_run, wiring
from sekisho.model import Records
from sekisho.modules import database
from sekisho.settings import Settings, load

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
