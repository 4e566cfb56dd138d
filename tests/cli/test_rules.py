"""`sekisho rules` as a person calls it, on a small real data folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result
from django.db import connections

from sekisho import settings, wiring
from sekisho.cli.main import group
from sekisho.cli.rules import _since
from sekisho.enrich import Enricher, context_files
from sekisho.lake import Lake
from sekisho.model import Refused
from tests.detect.events import context, normalised

NOW = datetime(2026, 5, 20, tzinfo=UTC)
PEOPLE = [
    {"person_id": "emp7", "name": "甲斐 渡", "country": "JP", "zone": "Asia/Tokyo",
     "employment_start": "2024-04-01T00:00:00+09:00", "employment_end": "2026-03-31T18:00:00+09:00"},
]  # fmt: skip
ACCOUNTS = [
    {
        "system": "*",
        "account": "kai@example.jp",
        "person_id": "emp7",
        "valid_from": "2024-04-01T00:00:00+09:00",
    }
]
#: three tries, in two files of the lake
TRIES = [
    {"time": f"2026-05-1{day}T01:00:00+00:00", "source": "okta", "class_uid": 3002, "activity_id": 1,
     "status_id": status, "user_email_addr": "kai@example.jp", "src_endpoint_ip": "203.0.113.9",
     "ingested_at": "2026-05-19T00:00:00+00:00", "journal_offset": day, "event_uid": f"{n:032x}"}
    for n, (day, status) in enumerate([(8, 2), (9, 2), (9, 1)])
]  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    folder.mkdir()
    wiring.migrate(settings.load(folder))
    master = context(people=PEOPLE, accounts=ACCOUNTS)
    context_files.write(folder / "context", dict(master.tables), NOW)
    enricher = Enricher(settings.Enrich(), b"key", {})
    with Lake(folder / "lake", settings.Lake(), now=lambda: NOW) as lake:
        for upto, rows in enumerate((TRIES[:2], TRIES[2:])):
            lake.commit(enricher.batch(normalised(rows), master), upto)
    yield folder
    connections.close_all()


def call(data: Path, *args: str) -> Result:
    done = CliRunner().invoke(group, ["--data", str(data), "rules", *args], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def test_list_and_show(data: Path) -> None:
    listed = {row["id"]: row for row in json.loads(call(data, "list", "--json").stdout)}
    assert listed["leaver-attempt"]["advisory"] == ["A8"]
    shown = call(data, "show", "leaver-attempt").stdout
    assert "認証試行" in shown
    assert "1. " in shown


def test_an_unknown_rule_is_refused_with_the_known_ones(data: Path) -> None:
    with pytest.raises(Refused, match="no rule 'nonsense'") as caught:
        call(data, "show", "nonsense")
    assert "leaver-attempt" in str(caught.value.remedy)


def test_status_says_what_is_blind_and_the_remedy(data: Path) -> None:
    found = json.loads(call(data, "status", "--json").stdout)
    assert found["leaver-attempt"] == {"state": "working", "reason": ""}
    assert found["assignment-outside"]["state"] == "blind"
    assert (
        "table assignments is empty; remedy: sekisho assignments import"
        in (found["assignment-outside"]["reason"])
    )
    assert found["lsass-access"]["state"] == "blind"
    assert "no event of its log source" in found["lsass-access"]["reason"]
    assert "no event fills is_mfa" in found["mfa-missing"]["reason"]


def test_replay_joins_what_batches_parted_and_raises_once(data: Path) -> None:
    dry = call(data, "replay", "leaver-attempt", "--since", "2026-05-01", "--dry-run").stdout
    assert "3 events; 2 alerts would be raised" in dry
    assert "CRITICAL" in dry
    assert "2 events\n" in dry, "the tries of one day, from two files of the lake, are one alert"
    from sekisho.modules.alerts.models import Alert

    assert Alert.objects.count() == 0
    for _ in range(2):
        call(data, "replay", "leaver-attempt", "--since", "2026-05-01")
    assert sorted(Alert.objects.values_list("severity", flat=True)) == [3, 5]


def test_replay_looks_no_further_back_than_told(data: Path) -> None:
    out = call(data, "replay", "leaver-attempt", "--since", "2026-05-19T09:00:00+09:00", "--dry-run").stdout
    assert "2 events; 1 alerts would be raised" in out
    with pytest.raises(Refused, match="--since: someday: not a time"):
        call(data, "replay", "leaver-attempt", "--since", "someday")


def test_since_is_read_as_search_reads_it() -> None:
    zone = ZoneInfo("Asia/Tokyo")
    assert _since("36h", zone, NOW) == NOW - timedelta(hours=36)
    assert _since("now-2w", zone, NOW) == NOW - timedelta(days=14)
    assert _since("2026-05-01", zone, NOW) == datetime(2026, 5, 1, tzinfo=zone), (
        "a day of the platform's zone"
    )


OKTA = {
    "published": "2026-05-18T01:00:00.000Z", "eventType": "user.session.start", "uuid": "1", "version": "0",
    "severity": "INFO", "displayMessage": "User login to Okta", "outcome": {"result": "SUCCESS"},
    "actor": {"id": "00u1", "type": "User", "alternateId": "kai@example.jp", "displayName": "K"},
    "client": {"ipAddress": "203.0.113.9"}, "legacyEventType": "core.user_auth.login_success",
}  # fmt: skip


@pytest.fixture
def file(data: Path) -> Path:
    path = data / "some.ndjson"
    path.write_text(json.dumps(OKTA) + "\n", encoding="utf-8")
    (data / "secrets").mkdir(mode=0o700, exist_ok=True)
    key = data / "secrets" / "decoy.key"
    key.write_text("00" * 32)
    key.chmod(0o600)
    return path


def test_try_shows_what_a_rule_finds_in_a_file(data: Path, file: Path) -> None:
    out = call(data, "try", "leaver-attempt", str(file), "--source", "okta").stdout
    assert "1 records, 1 events, 0 rejected" in out
    assert "CRITICAL" in out
    assert "甲斐 渡" in out
    assert "2026-03-31 18:00 JST" in out


def test_try_says_why_a_rule_stays_silent(data: Path, file: Path) -> None:
    out = call(data, "try", "lsass-access", str(file), "--source", "okta").stdout
    assert "none of the 1 events is of the kind it looks at" in out
    out = call(data, "try", "okta-api-token-created", str(file), "--source", "okta").stdout
    assert "it had all it needs, and no event fulfils its condition" in out
    out = call(data, "try", "assignment-outside", str(file), "--source", "okta").stdout
    assert "table assignments is empty" in out


def test_try_takes_a_sigma_file(data: Path, file: Path) -> None:
    rule = data / "my.yml"
    rule.write_text(
        "title: t\nid: 6f0d7a11-5c0e-4f6b-9a55-0b5b3c1f0aff\nstatus: test\nauthor: A\nlevel: low\n"
        "logsource: {product: okta, service: okta}\n"
        "detection: {s: {eventType: user.session.start}, condition: s}\n"
    )
    assert "LOW" in call(data, "try", str(rule), str(file), "--source", "okta").stdout
    rule.write_text("title: [")
    with pytest.raises(Refused, match="is not YAML"):
        call(data, "try", str(rule), str(file))
