"""correct: an alert says what was found in the judged past, no more, whatever it said before."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sekisho.model import Evidence, Finding, Severity
from tests.modules.alerts.findings import START, finding, piece
from tests.modules.alerts.test_raise import Fact, clear, detect, everything, facts

pytestmark = pytest.mark.usefixtures("data")
NOW = START + timedelta(days=1)


def stated() -> list[Any]:
    """What a person reads of the alerts that stand."""
    return [row for row in everything() if row[0]["state"] != "closed"]


def without_deliveries(rows: list[Any]) -> list[Any]:
    return [[row[0], row[1]] for row in rows]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts, facts, st.randoms(use_true_random=False), st.integers(1, 5))
def test_whatever_was_raised_before_it_ends_as_if_only_this_had_been_found(
    old: list[Fact], new: list[Fact], chance: random.Random, size: int
) -> None:
    """``old`` by earlier tables, in any batches; then all is judged again and withdrawn as judging does."""
    from sekisho.modules.alerts import flows
    from sekisho.modules.alerts.models import Alert

    clear()
    flows.correct(detect(new), set(), now=NOW)
    expected = without_deliveries(stated())
    clear()
    chance.shuffle(old)
    for start in range(0, len(old), size):
        flows.raise_alerts(detect(old[start : start + size]), now=NOW)
    judged = {piece(number).event_uid for number in range(13)}
    found = detect(new)
    done = flows.correct(found, judged, now=NOW)
    assert done.left == {}
    holding = {one.uid for one in found}
    for uid in Alert.objects.exclude(uid__in=holding).values_list("uid", flat=True):
        assert flows.withdraw(uid, "no longer", now=NOW, judged=judged)
    assert without_deliveries(stated()) == expected
    before = everything()
    again = flows.correct(found, judged, now=NOW + timedelta(hours=1))
    assert (again.summary.new, again.summary.updated, again.notes) == (0, 0, [])
    assert everything() == before


def test_what_fell_is_in_the_history_and_in_the_audit() -> None:
    from sekisho.modules.alerts import flows
    from sekisho.modules.outbox import flows as outbox
    from sekisho.modules.outbox.models import Kind

    flows.raise_alerts([finding(piece(1), piece(2), severity=Severity.CRITICAL, what="held by A")], now=NOW)
    found = [finding(piece(2), severity=Severity.MEDIUM, what="held by B")]
    flows.correct(found, {piece(1).event_uid, piece(2).event_uid}, now=NOW)
    alert = flows.find(found[0].uid)
    assert (alert.severity, alert.what_en, alert.count) == (3, "what held by B", 1)
    assert [row.event_uid for row in alert.evidence.all()] == [piece(2).event_uid]
    last = alert.history.last()
    assert last is not None
    assert (last.by, last.action) == ("sekisho", "corrected")
    assert last.note == "judged again: evidence 2 to 1, severity 5 to 3, text"
    [audit] = outbox.pending(Kind.AUDIT)
    assert b'"alert.corrected"' in audit.body
    flows.raise_alerts([finding(piece(3), severity=Severity.LOW, what="low")], now=NOW)
    assert flows.find(found[0].uid).what_en == "what held by B", "from here on it grows as always"


def test_evidence_that_was_not_judged_stays_and_the_alert_is_named() -> None:
    from sekisho.modules.alerts import flows

    flows.raise_alerts([finding(piece(1), severity=Severity.CRITICAL), finding(piece(5))], now=NOW)
    found = [finding(piece(2), severity=Severity.LOW)]
    done = flows.correct(found, {piece(1).event_uid}, now=NOW)
    assert done.left == {found[0].uid: {piece(5).event_uid}}
    alert = flows.find(found[0].uid)
    assert (alert.severity, alert.count) == (5, 3), "as grave as it was: it only gains"


def test_a_judgement_of_a_person_stays_though_the_words_are_corrected() -> None:
    from sekisho.modules.alerts import flows

    flows.raise_alerts([finding(piece(1), piece(2), what="old")], now=NOW)
    uid = finding(piece(1)).uid
    flows.close(uid, "sato", "benign", "", now=NOW)
    judged = {piece(1).event_uid, piece(2).event_uid}
    flows.correct([finding(piece(1), what="new")], judged, now=NOW)
    alert = flows.find(uid)
    assert (alert.state, alert.closed_by, alert.what_en, alert.count) == ("closed", "sato", "what new", 1)


def test_of_a_withdrawn_alert_only_what_is_new_counts() -> None:
    from sekisho.modules.alerts import flows

    flows.raise_alerts([finding(piece(1), severity=Severity.CRITICAL, what="groundless")], now=NOW)
    uid = finding(piece(1)).uid
    flows.withdraw(uid, "no longer holds", now=NOW)
    flows.raise_alerts([finding(piece(2), severity=Severity.LOW, what="holds")], now=NOW)
    alert = flows.find(uid)
    assert (alert.state, alert.severity, alert.what_en, alert.count) == ("new", 2, "what holds", 1)


def test_facts_of_evidence_are_corrected_too() -> None:
    from sekisho.modules.alerts import flows

    first = piece(1)
    now_known: Finding = finding(
        Evidence(first.time, first.event_uid, first.source, (("src_net_class", "own"),))
    )
    flows.raise_alerts([finding(first)], now=NOW)
    flows.correct([now_known], {first.event_uid}, now=NOW)
    assert flows.find(now_known.uid).evidence.get().facts == [["src_net_class", "own"]]
