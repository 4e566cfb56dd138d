"""What can be done with alerts. The clock and the name of the person are handed in."""

from __future__ import annotations

from collections.abc import Sequence, Set
from datetime import datetime
from typing import Any

from django.db import transaction

from sekisho.model import Finding, Refused
from sekisho.modules.alerts import emit, store
from sekisho.modules.alerts.channels import Channel
from sekisho.modules.alerts.gather import gather
from sekisho.modules.alerts.models import Alert, AlertEvidence, AlertHistory, Reason, State
from sekisho.modules.alerts.store import Corrected, RaisedSummary
from sekisho.modules.outbox import flows as outbox

#: Alerts that are corrected in one transaction; the pipeline waits for it.
_TOGETHER = 200

#: The reasons that a person may give.
REASONS = tuple(reason.value for reason in Reason if reason is not Reason.WITHDRAWN)


def raise_alerts(
    findings: Sequence[Finding], *, now: datetime, channels: Sequence[Channel] = ()
) -> RaisedSummary:
    """Make alerts of findings, or add to those that exist. The one seam between the two planes.

    One transaction; repeating it changes nothing; the result depends on the set of findings only, not on
    their order or batches (rules-of-detection.md, I2, I5, I8). Severity may rise, never fall
    (``correct`` may lower it). A closed alert that gets evidence it did not have is opened again as new;
    of one that was withdrawn only the new evidence counts. For every channel whose threshold is met a duty
    to notify is written in the same transaction.
    """
    gathered = gather(findings)
    if not gathered:
        return RaisedSummary(0, 0, 0)
    with transaction.atomic():
        return store.store(gathered, now, channels)


def correct(
    findings: Sequence[Finding], judged: Set[str], *, now: datetime, channels: Sequence[Channel] = ()
) -> Corrected:
    """Make alerts of findings over the judged past: what they hold of it is replaced by what was found.

    ``findings``  all that the rules find in the events that were looked at, by the master data of now
    ``judged``    of the stored evidence, the events that were looked at
    Evidence that no longer counts goes, words become those of the leading evidence that is left, and severity
    may fall (I4, I6); the history and the audit say so. An alert that also has evidence that was not judged
    (it came meanwhile, or cannot be read) only gains, and is named in ``left`` if something of it is stale.
    One transaction for some hundred alerts; repeating it changes nothing.
    """
    gathered = gather(findings)
    uids = sorted(gathered)
    new, updated, reopened = 0, 0, 0
    notes: list[tuple[Alert, str]] = []
    left: dict[str, set[str]] = {}
    for start in range(0, len(uids), _TOGETHER):
        part = {uid: gathered[uid] for uid in uids[start : start + _TOGETHER]}
        with transaction.atomic():
            done = store.correct(part, judged, now, channels)
            for alert, note in done.notes:
                events = emit.events(alert, action="corrected", by="sekisho", note=note, now=now)
                outbox.owe_audit(events, now=now)
        new, updated, reopened = (
            new + done.summary.new,
            updated + done.summary.updated,
            reopened + done.summary.reopened,
        )
        notes += done.notes
        left |= done.left
    return Corrected(RaisedSummary(new, updated, reopened), notes, left)


def find(prefix: str) -> Alert:
    """The alert whose uid starts with ``prefix``. Raises ``Refused`` if none or several do."""
    found = list(Alert.objects.filter(uid__startswith=prefix.strip().lower())[:2]) if prefix.strip() else []
    if not found:
        raise Refused(f"no alert has an id that starts with '{prefix}'", "see: sekisho alerts list")
    if len(found) > 1:
        raise Refused(f"several alerts have an id that starts with '{prefix}'", "give more of its digits")
    return found[0]


def acknowledge(uid: str, by: str, note: str, *, now: datetime) -> list[dict[str, Any]]:
    """Somebody looks after it. Returns the audit events; they are owed (``outbox``)."""
    return _change(uid, by, note, now, "acknowledged", (State.NEW,), {"state": State.ACKNOWLEDGED})


def close(uid: str, by: str, reason: str, note: str, *, now: datetime) -> list[dict[str, Any]]:
    """A person has judged it. Returns the audit events; they are owed (``outbox``)."""
    if reason not in REASONS:
        raise Refused(f"'{reason}' is not a reason to close an alert", f"give one of: {', '.join(REASONS)}")
    changes = {"state": State.CLOSED, "reason": reason, "closed_by": by, "closed_at": now}
    return _change(uid, by, note, now, "closed", (State.NEW, State.ACKNOWLEDGED), changes)


def reopen(uid: str, by: str, note: str, *, now: datetime) -> list[dict[str, Any]]:
    """A judgement is taken back. Returns the audit events; they are owed (``outbox``)."""
    changes = {"state": State.NEW, "reason": "", "closed_by": "", "closed_at": None}
    return _change(uid, by, note, now, "reopened", (State.CLOSED, State.ACKNOWLEDGED), changes)


def withdraw(uid: str, reason: str, *, now: datetime, judged: Set[str] | None = None) -> list[dict[str, Any]]:
    """The platform takes an alert back (late data, corrected master data); the history keeps it.

    ``judged``: the events that were looked at. An alert with other evidence, which came meanwhile, is
    left as it is, and nothing is returned.
    """
    by = "sekisho"
    changes = {"state": State.CLOSED, "reason": Reason.WITHDRAWN, "closed_by": by, "closed_at": now}
    with transaction.atomic():  # takes the write lock at once: nobody adds evidence in between
        evidence = AlertEvidence.objects.filter(alert_id=uid).values_list("event_uid", flat=True)
        if judged is not None and not judged >= set(evidence):
            return []
        return _change(uid, by, reason, now, "withdrawn", (State.NEW, State.ACKNOWLEDGED), changes)


def _change(
    uid: str,
    by: str,
    note: str,
    now: datetime,
    action: str,
    allowed: tuple[State, ...],
    changes: dict[str, Any],
) -> list[dict[str, Any]]:
    with transaction.atomic():
        done = Alert.objects.filter(uid=uid, state__in=allowed).update(updated=now, **changes)
        alert = Alert.objects.filter(uid=uid).first()
        if alert is None:
            raise Refused(f"there is no alert {uid}", "see: sekisho alerts list")
        if not done:
            raise Refused(
                f"alert {uid[:8]} is {alert.state}, so it cannot be {action}",
                f"only alerts that are {' or '.join(allowed)} can",
            )
        AlertHistory.objects.create(alert=alert, at=now, by=by, action=action, note=note)
        events = emit.events(alert, action=action, by=by, note=note, now=now)
        outbox.owe_audit(events, now=now)
    return events
