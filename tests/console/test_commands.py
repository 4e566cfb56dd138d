"""`sekisho people …` and `sekisho alerts …` as a person calls them, on a new data folder."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from sekisho import first_run
from sekisho.cli.main import group
from tests.modules.alerts.findings import START, finding, piece


def run(data: Path, *words: str) -> Result:
    return CliRunner().invoke(group, ["--data", str(data), *words])


def test_master_data_from_template_to_published_context(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "people.csv"
    assert run(data, "people", "template", str(file)).exit_code == 0
    dry = run(data, "people", "import", str(file), "--dry-run", "--lang", "en")
    assert "added 1" in dry.stdout
    assert "nothing was changed" in dry.stdout
    assert json.loads(run(data, "people", "list", "--json").stdout) == []
    assert "追加 1" in run(data, "people", "import", str(file)).stdout
    assert (data / "context" / "CURRENT").exists()
    assert json.loads(run(data, "people", "list", "--json").stdout)[0]["person_id"] == "emp0042"
    file.write_text(file.read_text(encoding="utf-8-sig").replace("Asia/Tokyo", "Tokyo"), encoding="utf-8")
    bad = run(data, "people", "import", str(file), "--lang", "en")
    assert bad.exit_code == 1
    assert "row 2, column zone: 'Tokyo'; expected a time zone name" in bad.stderr
    assert "undone" in run(data, "people", "undo").stdout
    assert json.loads(run(data, "people", "list", "--json").stdout) == []


def test_alerts_are_listed_shown_judged_and_exported(tmp_path: Path) -> None:
    data = tmp_path / "data"
    refused = run(data, "alerts", "list")
    assert refused.exit_code == 1
    assert not data.exists(), "a command that reads makes no folder"
    first_run.prepare(data, 0)
    assert run(data, "alerts", "list").exit_code == 0
    from sekisho.modules.alerts.flows import raise_alerts

    raise_alerts([finding(piece(1)), finding(piece(2), subject="emp0001")], now=START)
    uid = finding(piece(1)).uid
    listed = json.loads(run(data, "alerts", "list", "--json", "--severity", "high").stdout)
    assert {alert["subject"] for alert in listed} == {"emp0042", "emp0001"}
    assert json.loads(run(data, "alerts", "list", "--json", "--person", "nobody").stdout) == []
    assert "What happened" in run(data, "alerts", "show", uid[:6], "--lang", "en").stdout
    assert "何が起きたか" in run(data, "alerts", "show", uid[:6]).stdout
    assert run(data, "alerts", "ack", uid[:6], "--note", "looking").stdout == f"{uid[:8]} acknowledged\n"
    closed = run(data, "alerts", "close", uid[:6], "--reason", "benign")
    assert closed.stdout == f"{uid[:8]} closed\n"
    assert [
        a["uid"] for a in json.loads(run(data, "alerts", "list", "--json", "--state", "closed").stdout)
    ] == [uid]
    for name in ("alerts.csv", "alerts.xlsx", "alerts.json"):
        assert "2 alerts" in run(data, "alerts", "export", str(tmp_path / name), "--state", "all").stdout
    assert run(data, "alerts", "list", "--since", "yesterday").exception is not None
    assert json.loads(run(data, "alerts", "deliveries", "--json").stdout) == {
        "counts": {"pending": 0},
        "messages": [],
    }
