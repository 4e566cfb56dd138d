"""Every standing rule has firing and silent cases over weeks of events, and they come out as promised."""

from __future__ import annotations

from pathlib import Path

import pytest

from sekisho.contract.discovery import cases_of, discover
from tests.content import standing_cases

RULES = discover().standing
FILES = {rule_id: cases_of(discover().files[f"rule/{rule_id}"]) for rule_id in RULES}
CASES = [
    pytest.param(rule_id, number, id=f"{rule_id}: {case['name']}")
    for rule_id, path in FILES.items()
    for number, case in enumerate(standing_cases.load(path)["cases"])
]


@pytest.mark.parametrize(("rule_id", "number"), CASES)
def test_case(rule_id: str, number: int, tmp_path: Path) -> None:
    file = standing_cases.load(FILES[rule_id])
    standing_cases.check(RULES[rule_id], file, file["cases"][number], tmp_path)


@pytest.mark.parametrize("rule_id", RULES)
def test_has_firing_and_silent_cases(rule_id: str) -> None:
    cases = standing_cases.load(FILES[rule_id])["cases"]
    assert any("fires" in case for case in cases)
    assert any(case.get("silent") for case in cases)
    assert all(("fires" in case) != bool(case.get("silent")) for case in cases)


@pytest.mark.parametrize("rule_id", RULES)
def test_says_what_a_person_needs(rule_id: str) -> None:
    rule = RULES[rule_id]
    assert len(rule.todo) >= 2
    assert "A10" in rule.advisory
    assert any("\u3041" <= letter <= "\u30ff" for letter in rule.title.ja + rule.why.ja), "not Japanese"
    if "R1" in rule.advisory:
        told = " ".join(step.en for step in rule.todo)
        assert told.index("R1") < told.index("R2") < told.index("R3")
