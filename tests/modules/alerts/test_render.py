"""An alert reads the same in both languages, word for word; nothing hostile reaches the terminal."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from sekisho.contract.advisory import ADVISORY
from sekisho.model import Evidence, Severity, Text
from tests.modules.alerts.findings import START, finding, piece

pytestmark = pytest.mark.usefixtures("data")
NOW = START + timedelta(days=1)
GOLDEN = Path(__file__).parent / "rendered"


@pytest.mark.parametrize("language", ["ja", "en"])
def test_golden(language: str) -> None:
    from sekisho.modules.alerts import flows, render

    abroad = msgspec.structs.replace(finding(*(piece(n) for n in range(25))), zone="America/New_York")
    flows.raise_alerts([abroad], now=NOW)
    flows.acknowledge(abroad.uid, "sato", "calling", now=NOW)
    text = render.text(
        flows.find(abroad.uid),
        "ja" if language == "ja" else "en",
        "https://sekisho.example.jp/",
        history=True,
    )
    assert text == (GOLDEN / f"alert.{language}.txt").read_text(encoding="utf-8")


def test_control_characters_from_logs_are_shown_not_obeyed() -> None:
    from sekisho.modules.alerts import flows, render

    nasty = Evidence(START, "f" * 32, "okta", (("user_name", "a\x1b]0;b\x07\u202ec\nd"),))
    hostile = msgspec.structs.replace(
        finding(nasty, subject="x\x1b[31m\n■ fake"), what=Text(ja="x\x9b31m", en="x\ry"), person="a' ; rm"
    )
    flows.raise_alerts([hostile], now=NOW)
    text = render.text(flows.find(hostile.uid), "en")
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "\n■ fake" not in text
    assert "rm'" not in text  # no command to copy is made of it


def test_reading_order_is_worst_first_then_oldest() -> None:
    from sekisho.modules.alerts import flows
    from sekisho.modules.alerts.models import Alert

    batch = [
        finding(piece(1), subject="old-medium", severity=Severity.MEDIUM),
        finding(piece(9), subject="new-critical", severity=Severity.CRITICAL),
        finding(piece(3), subject="old-critical", severity=Severity.CRITICAL),
    ]
    flows.raise_alerts(batch, now=NOW)
    assert [alert.subject for alert in Alert.objects.all()] == ["old-critical", "new-critical", "old-medium"]


def test_the_advisory_is_whole() -> None:
    assert {f"A{n}" for n in range(1, 11)} | {f"E{n}" for n in range(1, 7)} <= set(ADVISORY)
    assert {"R1", "R2", "R3", "N1", "L1", "L2", "T3.1"} <= set(ADVISORY)
    assert ADVISORY["A2"].ja == "多要素認証を導入する。"


def test_the_advisory_is_the_original_wording(shared_data: Path) -> None:
    original = (shared_data.parent / "mission" / "advisory.md").read_text(encoding="utf-8")
    for key, text in ADVISORY.items():
        assert f"| **{key}** | {text.ja} |" in original
