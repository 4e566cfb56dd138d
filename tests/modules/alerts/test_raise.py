"""raise_alerts: the same set of findings gives the same alerts, whatever the order, batches and crashes."""

from __future__ import annotations

import multiprocessing
import random
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sekisho.model import Evidence, Finding, Refused, Severity
from tests.modules.alerts.findings import START, finding, piece

pytestmark = pytest.mark.usefixtures("data")
NOW = START + timedelta(days=1)

#: what one event says by itself: subject, severity, event number
Fact = tuple[str, Severity, int]
facts = st.lists(
    st.tuples(
        st.sampled_from(["emp1", "emp2"]),
        st.sampled_from([Severity.LOW, Severity.MEDIUM, Severity.CRITICAL]),
        st.integers(0, 12),
    ),
    max_size=14,
    unique_by=lambda fact: (fact[0], fact[2]),
)


def detect(batch: list[Fact]) -> list[Finding]:
    """As the detector does: one finding per subject and batch, in the words of its leading event."""
    found = []
    for subject in sorted({fact[0] for fact in batch}):
        mine = {number: severity for who, severity, number in batch if who == subject}
        lead = min(mine, key=lambda n: (-mine[n], piece(n).time, piece(n).event_uid))
        found.append(
            finding(
                *(piece(number) for number in mine),
                subject=subject,
                severity=mine[lead],
                what=str(lead),
                lead=piece(lead).event_uid,
            )
        )
    return found


def everything() -> list[Any]:
    from sekisho.modules.alerts.models import Alert

    return [
        [
            {k: v for k, v in vars(alert).items() if k not in ("_state", "created", "updated")},
            list(alert.evidence.values_list("event_uid", "time", "source", "facts")),
            sorted(alert.deliveries.values_list("channel", "cause").filter(cause="new")),
        ]
        for alert in Alert.objects.order_by("uid")
    ]


def clear() -> None:
    from sekisho.modules.alerts.models import Alert

    Alert.objects.all().delete()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts, st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_batches_and_repetition_change_nothing(
    given_facts: list[Fact], chance: random.Random, size: int
) -> None:
    from sekisho.modules.alerts.flows import raise_alerts

    clear()
    raise_alerts(detect(given_facts), now=NOW)
    expected = everything()
    clear()
    shuffled = given_facts * 2
    chance.shuffle(shuffled)
    for start in range(0, len(shuffled), size):
        batch = detect(shuffled[start : start + size])
        chance.shuffle(batch)
        raise_alerts(batch, now=NOW)
    assert everything() == expected


def test_repeating_a_batch_changes_nothing_at_all() -> None:
    from sekisho.modules.alerts.flows import raise_alerts
    from sekisho.modules.alerts.models import Alert, AlertHistory
    from sekisho.modules.alerts.store import RaisedSummary

    batch = [finding(piece(1), piece(2)), finding(piece(3), subject="emp0001")]
    assert raise_alerts(batch, now=NOW) == RaisedSummary(2, 0, 0)
    before = (list(Alert.objects.values()), list(AlertHistory.objects.values()))
    assert raise_alerts(batch, now=NOW + timedelta(hours=1)) == RaisedSummary(0, 0, 0)
    assert (list(Alert.objects.values()), list(AlertHistory.objects.values())) == before


def test_severity_rises_and_never_falls() -> None:
    from sekisho.modules.alerts.flows import find, raise_alerts

    raise_alerts([finding(piece(5), severity=Severity.LOW, what="low")], now=NOW)
    raise_alerts([finding(piece(9), severity=Severity.CRITICAL, what="critical")], now=NOW)
    raise_alerts([finding(piece(1), severity=Severity.MEDIUM, what="medium")], now=NOW)
    alert = find(finding(piece(1)).uid)
    assert (alert.severity, alert.what_en, alert.count) == (5, "what critical", 3)
    assert (alert.first_time, alert.last_time) == (piece(1).time, piece(9).time)
    assert [entry.action for entry in alert.history.all()] == ["raised", "severity-risen"]


def test_at_most_a_thousand_rows_are_kept_and_always_the_earliest() -> None:
    from sekisho.modules.alerts.flows import find, raise_alerts
    from sekisho.modules.alerts.models import EVIDENCE_KEPT

    numbers = list(range(1500))
    random.Random(7).shuffle(numbers)
    for start in range(0, 1500, 400):
        raise_alerts([finding(*(piece(n) for n in numbers[start : start + 400]))], now=NOW)
    alert = find(finding(piece(0)).uid)
    kept = list(alert.evidence.values_list("event_uid", flat=True))
    assert kept == [piece(n).event_uid for n in range(EVIDENCE_KEPT)]
    assert (alert.count, alert.more, alert.last_time) == (EVIDENCE_KEPT, True, piece(1499).time)
    again = raise_alerts([finding(*(piece(n) for n in numbers))], now=NOW)
    assert (again.new, again.updated) == (0, 0)


def test_a_closed_alert_opens_again_only_for_evidence_it_did_not_have() -> None:
    from sekisho.modules.alerts import flows
    from sekisho.modules.alerts.store import RaisedSummary

    uid = finding(piece(1)).uid
    flows.raise_alerts([finding(piece(1), piece(2))], now=NOW)
    flows.close(uid, "sato", "benign", "own test", now=NOW)
    assert flows.raise_alerts([finding(piece(2))], now=NOW) == RaisedSummary(0, 0, 0)
    assert flows.find(uid).state == "closed"
    assert flows.raise_alerts([finding(piece(3))], now=NOW) == RaisedSummary(0, 1, 1)
    alert = flows.find(uid)
    assert (alert.state, alert.reason, alert.closed_by) == ("new", "", "")
    last = alert.history.last()
    assert last is not None
    assert last.note == "new evidence after closing; was closed as benign by sato"


def test_the_states_and_who_may_not_go_where() -> None:
    from sekisho.modules.alerts import flows

    flows.raise_alerts([finding(piece(1))], now=NOW)
    uid = finding(piece(1)).uid
    [event] = flows.acknowledge(uid, "sato", "looking", now=NOW)
    assert (event["class_uid"], event["activity_id"], event["status"]) == (2005, 2, "In Progress")
    with pytest.raises(Refused, match="cannot be acknowledged"):
        flows.acknowledge(uid, "sato", "", now=NOW)
    with pytest.raises(Refused, match="not a reason"):
        flows.close(uid, "sato", "boring", "", now=NOW)
    [event] = flows.close(uid, "sato", "true-positive", "", now=NOW)
    assert (event["activity_id"], event["verdict_id"], event["status_id"]) == (3, 2, 5)
    with pytest.raises(Refused, match="cannot be closed"):
        flows.close(uid, "sato", "test", "", now=NOW)
    flows.reopen(uid, "suzuki", "second thoughts", now=NOW)
    flows.withdraw(uid, "the assignment was filed late", now=NOW)
    assert [(h.by, h.action) for h in flows.find(uid).history.all()] == [
        ("sekisho", "raised"),
        ("sato", "acknowledged"),
        ("sato", "closed"),
        ("suzuki", "reopened"),
        ("sekisho", "withdrawn"),
    ]
    with pytest.raises(Refused, match="no alert"):
        flows.find("ffff")
    with pytest.raises(Refused, match="no alert"):
        flows.find("")


class Crash(Exception):  # noqa: N818 - it plays the power cut, it is not an error of ours
    pass


@pytest.mark.parametrize("after", range(1, 8))
def test_a_crash_in_the_middle_leaves_nothing_and_repeating_completes(after: int) -> None:
    """The database itself fails at the n-th statement that writes."""
    from django.db import connection

    from sekisho.modules.alerts.flows import raise_alerts

    raise_alerts([finding(piece(1), severity=Severity.LOW)], now=NOW)
    before = everything()
    batch = [finding(piece(2), severity=Severity.HIGH), finding(piece(3), subject="emp0001")]
    seen = 0

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == after:
            raise Crash
        return execute(sql, params, many, context)

    crashed = False
    with connection.execute_wrapper(fail):
        try:
            raise_alerts(batch, now=NOW)
        except Crash:
            crashed = True
    assert crashed
    assert everything() == before
    raise_alerts(batch, now=NOW)
    once = everything()
    clear()
    raise_alerts([*batch, finding(piece(1), severity=Severity.LOW)], now=NOW)
    assert everything() == once


def _raise_in_another_process(folder: str, numbers: list[int]) -> None:
    from sekisho.modules import database

    database.start(Path(folder))
    from sekisho.modules.alerts.flows import raise_alerts

    for number in numbers:
        raise_alerts([finding(piece(number), piece(number + 1))], now=NOW)
    sys.exit(0)


def test_two_processes_at_once(data: Path) -> None:
    from sekisho.modules.alerts.flows import find

    spawn = multiprocessing.get_context("spawn")
    workers = [
        spawn.Process(target=_raise_in_another_process, args=(str(data), numbers))
        for numbers in (list(range(0, 60, 2)), list(range(59, 0, -2)))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    alert = find(finding(piece(0)).uid)
    assert (alert.count, alert.evidence.count()) == (61, 61)
    assert [entry.action for entry in alert.history.all()] == ["raised"]


def test_many_findings_are_raised_in_few_statements() -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from sekisho.modules.alerts.flows import raise_alerts

    def batch(at: int) -> list[Finding]:
        return [finding(piece(at), subject=f"emp{n:05d}") for n in range(2000)]

    with CaptureQueriesContext(connection) as queries:
        assert raise_alerts(batch(0), now=NOW).new == 2000
        assert raise_alerts(batch(1), now=NOW).updated == 2000
    assert len(queries) < 2 * 2000 / 20


def test_a_finding_without_evidence_is_a_bug() -> None:
    from sekisho.modules.alerts.flows import raise_alerts

    bare = finding(Evidence(START, "0" * 32, "okta"))
    with pytest.raises(ValueError, match="no evidence"):
        raise_alerts([type(bare)(**{**bare_dict(bare), "evidence": ()})], now=NOW)


def bare_dict(value: Finding) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}
