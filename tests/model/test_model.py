"""The nouns keep what they promise."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.model import (
    RECORDS_PER_FRAME,
    ContentError,
    ContentProblem,
    Evidence,
    Finding,
    Offset,
    Refused,
    Retry,
    Severity,
    Text,
)


@given(
    st.integers(0, 1 << 40),
    st.integers(0, RECORDS_PER_FRAME - 1),
    st.integers(0, 1 << 40),
    st.integers(0, RECORDS_PER_FRAME - 1),
)
def test_packed_offsets_come_back_and_sort_like_the_journal(a: int, i: int, b: int, j: int) -> None:
    one, two = Offset(a, i), Offset(b, j)
    assert Offset.unpack(one.packed) == one
    assert (one.packed < two.packed) == (one < two)
    assert str(one) == f"{a}:{i}"


@pytest.mark.parametrize(("ja", "en"), [("", "x"), ("x", ""), ("  ", "x"), ("x", "\n")])
def test_a_text_needs_both_languages(ja: str, en: str) -> None:
    with pytest.raises(ValueError, match="both ja and en"):
        Text(ja=ja, en=en)


def test_a_text_is_filled_by_plain_names_only() -> None:
    text = Text(ja="{who} が {what}", en="{who} did {what}; {who.__class__} {0} {} {who!r} {unknown} {who")
    filled = text.fill({"who": "{what}", "what": "x"})
    assert filled.ja == "{what} が x"
    assert filled.en == "{what} did x; {who.__class__} {0} {} {who!r} {unknown} {who"
    assert filled.get("ja") == filled.ja
    assert filled.get("en") == filled.en


@given(st.text(), st.dictionaries(st.text(min_size=1), st.text()))
def test_filling_never_fails_whatever_the_template(template: str, facts: dict[str, str]) -> None:
    Text(ja="x" + template, en="x" + template).fill(facts)


def finding(**changes: str) -> Finding:
    words = {"rule": "r", "subject": "s", "anchor": "a"} | changes
    text = Text(ja="文", en="text")
    evidence = (Evidence(datetime(2026, 5, 1, tzinfo=UTC), "uid", "okta"),)
    return Finding(
        rule=words["rule"],
        subject=words["subject"],
        anchor=words["anchor"],
        severity=Severity.HIGH,
        title=text,
        what=text,
        why=text,
        todo=(text,),
        advisory=("A8",),
        attack=("T1078",),
        evidence=evidence,
        count=1,
    )


def test_a_findings_id_is_made_of_facts_and_unambiguous() -> None:
    assert finding().uid == finding().uid
    others = {finding(rule="x").uid, finding(subject="x").uid, finding(anchor="x").uid}
    assert len(others | {finding().uid}) == 4
    assert finding(subject="a", anchor="bc").uid != finding(subject="ab", anchor="c").uid
    assert len(finding().uid) == 32


def test_errors_say_all_at_once_and_the_remedy() -> None:
    problems = [ContentProblem("a.py:1", "why", "do this"), ContentProblem("b.py:2", "why too", "do that")]
    said = str(ContentError(problems))
    assert said.startswith("2 problems")
    assert "a.py:1: why\n    remedy: do this" in said
    assert "b.py:2" in said
    assert str(ContentError(problems[:1])).startswith("1 problem in")
    assert str(Refused("no")) == "no"
    assert "remedy: yes" in str(Refused("no", "yes"))
    assert str(Retry(5, "full")) == "full; retry after 5 s"
