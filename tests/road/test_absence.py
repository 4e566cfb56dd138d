"""A hole in the records of a PC, through a running platform: sent over HTTP, seen in the list of alerts."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from bench.platform import Platform

pytestmark = pytest.mark.slow
SETTINGS = "[pipeline]\nabsence_every = 1\n"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("absence") / "data", extra=SETTINGS) as running:
        yield running


def record(number: int, at: datetime) -> bytes:
    """A logon as Winlogbeat's JSON writes it, with its record number."""
    return json.dumps(
        {
            "@timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "winlog": {
                "channel": "Security",
                "computer_name": "PC-0042.corp.example.jp",
                "event_id": 4624,
                "record_id": number,
                "provider_name": "Microsoft-Windows-Security-Auditing",
                "event_data": {"TargetUserName": "mamoru.seki", "LogonType": "2"},
            },
        }
    ).encode()


def send(platform: Platform, numbers: range, start: datetime) -> None:
    body = b"\n".join(record(number, start + timedelta(seconds=20 * number)) for number in numbers)
    connection = http.client.HTTPConnection("127.0.0.1", platform.http_port, timeout=30)
    connection.request("POST", "/v1/ingest/windows", body, {"Authorization": f"Bearer {platform.token}"})
    assert connection.getresponse().status == 200
    connection.close()


def listed(platform: Platform, state: str) -> list[dict[str, object]]:
    found = json.loads(platform.run("alerts", "list", "--state", state, "--json"))
    return [alert for alert in found if alert["rule"] == "sequence-gap"]


def test_missing_records_raise_an_alert_and_their_arrival_withdraws_it(platform: Platform) -> None:
    start = datetime.now(tz=UTC) - timedelta(hours=3)
    send(platform, range(1, 101), start)
    send(platform, range(141, 241), start)
    platform.until(lambda: listed(platform, "new"), 90, "the alert", 1.0)
    (alert,) = listed(platform, "new")
    shown = platform.run("alerts", "show", str(alert["uid"])[:8], "--lang", "en")
    assert "101 to 140, 40 records" in shown

    send(platform, range(101, 141), start)
    platform.until(lambda: listed(platform, "closed"), 90, "its withdrawal", 1.0)
    assert listed(platform, "closed")[0]["reason"] == "withdrawn"

    status = json.loads(platform.run("status", "--json", check=False))
    assert status["standing"]["trouble"] == ""
    rules = json.loads(platform.run("rules", "status", "--json"))
    assert "less than two weeks" in rules["source-silent"]["reason"]
    assert rules["sequence-gap"]["state"] == "working"
    replayed = platform.run("rules", "replay", "sequence-gap", "--since", "2d", "--dry-run")
    assert "0 alerts would be raised" in replayed
