# ruff: noqa: E501 - rows of tables
"""The detector: grouping, independence of batches and order, what it cannot judge."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.contract import Context, Rule
from sekisho.contract.discovery import discover
from sekisho.detect import Detector, judge, rules
from tests.detect.events import context, enriched

PEOPLE = [
    {"person_id": "emp1", "name": "甲斐 渡", "country": "US", "zone": "America/New_York",
     "employment_start": "2024-04-01T00:00:00+00:00", "employment_end": "2026-03-31T00:00:00+00:00"},
]  # fmt: skip
ACCOUNTS = [{"system": "*", "account": "kai", "person_id": "emp1", "valid_from": "2024-04-01T00:00:00+00:00"}]


@cache
def shipped() -> dict[str, Rule]:
    return {rule.id: rule for rule in rules(discover())}


def event(minute: int, **more: Any) -> dict[str, Any]:
    return {
        "time": f"2026-05-{10 + minute // 1440:02}T{minute // 60 % 24:02}:{minute % 60:02}:00+00:00", "source": "openssh",
        "class_uid": 3002, "activity_id": 1, "status_id": 2, "account": "kai", "user_name": "kai", "person_uid": "emp1",
        "src_endpoint_ip": f"198.51.{minute % 3}.{minute % 200}", "event_uid": f"{minute:032x}", **more,
    }  # fmt: skip


def folded(found: list[Any]) -> dict[str, set[str]]:
    result: dict[str, set[str]] = defaultdict(set)
    for finding in found:
        result[finding.uid] |= {row.event_uid for row in finding.evidence}
    return dict(result)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 4000), min_size=1, max_size=30, unique=True), st.randoms(), st.integers(1, 7))
def test_split_and_order_change_nothing(minutes: list[int], random: Any, pieces: int) -> None:
    detector = _detector()
    master = context(people=PEOPLE, accounts=ACCOUNTS)
    rows = [event(minute, status_id=1 + minute % 2) for minute in minutes]
    whole = folded(detector.run(enriched(rows), master))
    random.shuffle(rows)
    parts: dict[str, set[str]] = defaultdict(set)
    for start in range(0, len(rows), pieces):
        for uid, seen in folded(detector.run(enriched(rows[start : start + pieces]), master)).items():
            parts[uid] |= seen
    assert dict(parts) == whole
    assert set().union(*whole.values()) == {row["event_uid"] for row in rows}


@cache
def _detector() -> Detector:
    return Detector([shipped()["leaver-attempt"], shipped()["log-cleared"]], threads=1)


def test_evidence_is_in_order_person_and_zone_are_filled() -> None:
    rows = [event(30), event(0), event(60, status_id=1)]
    (first, *_) = found = _detector().run(enriched(rows), context(people=PEOPLE, accounts=ACCOUNTS))
    assert [row.event_uid for row in first.evidence] == sorted(row.event_uid for row in first.evidence)
    assert {finding.zone for finding in found} == {"America/New_York"}
    assert {finding.person for finding in found} == {"emp1"}
    assert sum(finding.count for finding in found) == 3
    assert "2026-05-09" in first.anchor, "the day is the person's, not UTC's"


def test_evidence_is_capped_and_counted() -> None:
    rows = [event(n % 60, event_uid=f"{n:032x}", src_endpoint_ip="198.51.100.1") for n in range(1500)]
    (finding,) = _detector().run(enriched(rows), context(people=PEOPLE, accounts=ACCOUNTS))
    assert (finding.count, len(finding.evidence)) == (1500, 1000)


def test_the_lead_is_the_gravest_earliest_event_and_stays_in_the_evidence() -> None:
    rows = [event(n % 60, event_uid=f"{n:032x}", src_endpoint_ip="198.51.100.1") for n in range(1500)]
    rows += [
        event(59, event_uid=f"{n:032x}", src_endpoint_ip="198.51.100.1", status_id=1) for n in (9999, 9998)
    ]
    (finding,) = _detector().run(enriched(rows), context(people=PEOPLE, accounts=ACCOUNTS))
    assert finding.lead == f"{9998:032x}"
    assert finding.lead in {piece.event_uid for piece in finding.evidence}
    assert len(finding.evidence) == 1000


def test_what_is_not_known_is_left_out_and_times_are_japans_and_the_persons() -> None:
    row = event(0, src_endpoint_ip=None)
    (finding,) = _detector().run(enriched([row]), context(people=PEOPLE, accounts=ACCOUNTS))
    assert "2026-05-10 09:00:00 JST (2026-05-09 20:00:00 America/New_York)" in finding.what.ja
    assert "2026-03-31 09:00 JST (2026-03-30 20:00 America/New_York)" in finding.what.en
    assert "接続元" not in finding.what.ja
    assert "from" not in finding.what.en
    assert "?" not in finding.what.ja + finding.what.en


def test_an_empty_batch_and_an_empty_context() -> None:
    detector = Detector(list(shipped().values()), threads=1)
    assert detector.run(enriched([]), Context()) == []
    assert detector.run(enriched([event(1, person_uid=None)]), Context()) == []
    reasons = {reason for _, reason in detector.unjudged}
    assert "the account is in no row of the table accounts" in reasons


def test_judge_fails_closed_and_says_what_to_do() -> None:
    rule = shipped()["leaver-attempt"]
    verdict = judge(rule, Context())
    assert verdict.state == "blind"
    assert "table accounts is empty; remedy: sekisho accounts import" in verdict.reason
    master = context(people=PEOPLE, accounts=ACCOUNTS)
    assert judge(rule, master).state == "working"
    assert judge(rule, master, set(rule.columns)).state == "working"
    blind = judge(rule, master, set(rule.columns) - {"account"})
    assert blind.state == "blind"
    assert "no event fills account" in blind.reason


def test_a_query_that_fails_names_its_rule() -> None:
    broken = Rule(**{**shipped()["decoy"].__dict__, "id": "broken", "query": "SELECT nonsense FROM events"})
    with pytest.raises(Exception, match="nonsense") as caught:
        Detector([broken], threads=1).run(enriched([event(1)]), Context())
    assert "in the query of rule broken" in caught.value.__notes__


def test_the_schema_of_events_is_what_rules_see() -> None:
    assert isinstance(enriched([event(1)]), pa.Table)
