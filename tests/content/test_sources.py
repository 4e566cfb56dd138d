"""The content suite of sources: every file has its cases, and every case comes out as it was blessed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sekisho.contract import Source
from sekisho.ocsf import problems
from tests.content.cases import Case, cases, content, golden, run

SOURCES = sorted(content().sources)
CASES = list(cases())

#: Sources whose vendor records only what was done, never what was refused; or that know no outcome.
ONE_OUTCOME = {
    "google_admin": "Google logs administrative changes that were made",
}


def _golden(case: Case) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(case.golden.read_text(encoding="utf-8"))
    return value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_comes_out_as_blessed(case: Case) -> None:
    assert case.golden.exists(), f"no golden output; look at the event, then `make bless` ({case.golden})"
    assert case.body, f"{case.path} is empty: put one record of the vendor's documentation into it"
    result = run(case)
    assert golden(result) == _golden(case)
    if "reject" not in result:
        assert result["raw"] == case.body.decode("utf-8", "backslashreplace")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_is_sound_ocsf(case: Case) -> None:
    result = run(case)
    if "reject" not in result:
        assert problems(result) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_source_steals_a_record_of_another(case: Case) -> None:
    """Unlabelled, a record is recognised as its own source, or the doubt is said and expected."""
    labelled = run(case)
    result = run(case, "auto")
    if content().sources[case.source].internal:
        assert result.get("source") != case.source, "nobody who sends logs may forge the platform's own"
        return
    if case.unlabelled is not None:
        assert result.get("reject") == case.unlabelled
        return
    if "reject" in labelled:
        assert result.get("source") is None, f"taken by {result.get('source')}"
        return
    assert "reject" not in result, result.get("why")
    assert result["source"] == case.source
    assert golden(result) == golden(labelled)


@pytest.mark.parametrize("source_id", SOURCES)
def test_a_source_has_cases_of_both_outcomes(source_id: str) -> None:
    events = [_golden(case) for case in CASES if case.source == source_id]
    events = [event for event in events if "reject" not in event]
    assert events, "at least one case must become an event"
    outcomes = {event.get("status_id") for event in events} & {1, 2}
    if source_id in ONE_OUTCOME:
        assert len(outcomes) <= 1, "both outcomes occur: take the source out of ONE_OUTCOME"
    elif outcomes:
        assert outcomes == {1, 2}, (
            "a source that tells outcomes needs a success and a failure among its cases"
        )


@pytest.mark.parametrize("source_id", SOURCES)
def test_a_source_says_in_both_languages_what_it_is_and_how_to_switch_it_on(source_id: str) -> None:
    source: Source[Any] = content().sources[source_id]
    for told in (source.title, source.switch_on):
        assert told.ja.strip()
        assert told.en.strip()
        assert told.en.isascii(), "the English text holds letters of another script"


def test_there_are_no_goldens_without_their_input() -> None:
    for source_id in SOURCES:
        folder = content().files[f"source/{source_id}"].with_suffix(".cases")
        for path in folder.iterdir():
            stem = path.name.removesuffix(".in").removesuffix(".out.json").removesuffix(".meta.json")
            assert (folder / f"{stem}.in").exists(), f"{path.name} belongs to no case"
