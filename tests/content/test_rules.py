"""Every rule has firing and silent cases, and they come out as promised."""

from __future__ import annotations

from pathlib import Path

import pytest

from sekisho.contract.discovery import CONTENT, cases_of, discover, stem_of
from sekisho.detect import rules
from tests.content import rule_cases

RULES = {rule.id: rule for rule in rules(discover())}
STANDING = {stem_of(rule_id) for rule_id in discover().standing}  # test_standing.py
FILES = {
    stem: path
    for path in sorted((CONTENT / "rules").glob("*/*.cases.yml"))
    if (stem := path.stem.removesuffix(".cases")) not in STANDING
}
CASES = [
    pytest.param(stem, number, id=f"{stem}: {case['name']}")
    for stem, path in FILES.items()
    for number, case in enumerate(rule_cases.load(path)["cases"])
]


@pytest.mark.parametrize(("stem", "number"), CASES)
def test_case(stem: str, number: int) -> None:
    file = rule_cases.load(FILES[stem])
    rule_cases.check(RULES[stem.replace("_", "-")], file, file["cases"][number])


@pytest.mark.parametrize("rule_id", RULES)
def test_has_firing_and_silent_cases(rule_id: str) -> None:
    cases = rule_cases.load(FILES[rule_id.replace("-", "_")])["cases"]
    assert any("fires" in case for case in cases)
    assert any(case.get("silent") for case in cases)
    assert all(("fires" in case) != bool(case.get("silent")) for case in cases)


@pytest.mark.parametrize("rule_id", RULES)
def test_says_what_a_person_needs(rule_id: str) -> None:
    rule = RULES[rule_id]
    assert len(rule.todo) >= 2
    assert rule.author
    assert any("\u3041" <= letter <= "\u30ff" for letter in rule.title.ja + rule.why.ja), "not Japanese"
    if "R1" in rule.advisory:
        told = " ".join(step.en for step in rule.todo)
        assert told.index("R1") < told.index("R2") < told.index("R3"), (
            "power on, isolate, preserve: in this order"
        )


def test_shipped_rules_lie_where_expected() -> None:
    assert all(cases_of(path).exists() for path in (Path(p) for p in discover().sigma.values()))
