"""Alerts of standing rules: what is stated now replaces what was stated before.

An ordinary finding only adds. An absence may end ("again since …"), shrink or vanish when late records
arrive: the whole statement of a rule is handed in each time, and the alerts follow it.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from django.db import transaction

from sekisho.model import Finding, Refused
from sekisho.modules.alerts import flows
from sekisho.modules.alerts.channels import Channel
from sekisho.modules.alerts.gather import gather, rank, stored_words, words
from sekisho.modules.alerts.models import Alert, AlertHistory, Reason, State

_BY = "sekisho"
FILLED = "the missing records have arrived, or nothing of it is left after a correction"


class Followed(NamedTuple):
    """Alerts raised, whose words changed, and that were withdrawn (uids)."""

    new: int
    restated: tuple[str, ...]
    withdrawn: tuple[str, ...]


def follow(
    rule: str,
    findings: Sequence[Finding],
    *,
    since: str,
    unknown: Set[str],
    now: datetime,
    channels: Sequence[Channel] = (),
) -> Followed:
    """Make the alerts of ``rule`` say what it says. Repeating it changes nothing.

    ``since``    local day (ISO) from which on the rule has judged; older alerts are settled and stay
    ``unknown``  subjects that the rule cannot judge now: their alerts stay as they are
    """
    held = {alert.uid: alert for alert in Alert.objects.filter(uid__in=[finding.uid for finding in findings])}
    for alert in held.values():
        if alert.reason == Reason.WITHDRAWN:
            with suppress(Refused):  # somebody opened it meanwhile
                flows.reopen(alert.uid, _BY, "holds again", now=now)
    # what a person has closed stays closed while it is the same absence; its words still follow
    closed = {
        uid for uid, alert in held.items() if alert.state == State.CLOSED and alert.reason != Reason.WITHDRAWN
    }
    fresh = [
        finding for finding in findings if finding.uid not in closed or _graver(finding, held[finding.uid])
    ]
    raised = flows.raise_alerts(fresh, now=now, channels=channels)
    restated = tuple(uid for finding in findings if (uid := _restate(finding, now)))
    withdrawn = tuple(_withdraw(groundless(rule, findings, since=since, unknown=unknown), now))
    return Followed(raised.new, restated, withdrawn)


def groundless(rule: str, findings: Sequence[Finding], *, since: str, unknown: Set[str]) -> list[str]:
    """Open alerts of the judged days that the rule states no more (uids)."""
    stated = {finding.uid for finding in findings}
    rows = Alert.objects.filter(rule=rule, state__in=(State.NEW, State.ACKNOWLEDGED))
    return [
        alert.uid
        for alert in rows
        if alert.uid not in stated and alert.subject not in unknown and alert.anchor[-len(since) :] >= since
    ]


def _graver(finding: Finding, alert: Alert) -> bool:
    return finding.severity > alert.severity


def _restate(finding: Finding, now: datetime) -> str:
    """The words of the stored alert become those of the finding; returns its uid if that changed anything."""
    with transaction.atomic():
        alert = Alert.objects.filter(uid=finding.uid).first()
        if alert is None or stored_words(alert) == words(finding):
            return ""
        lead = gather([finding])[finding.uid].lead
        first = rank(finding)
        alert.title_ja, alert.title_en = lead.title.ja, lead.title.en
        alert.what_ja, alert.what_en = lead.what.ja, lead.what.en
        alert.why_ja, alert.why_en = lead.why.ja, lead.why.en
        alert.todo = [[step.ja, step.en] for step in lead.todo]
        alert.advisory, alert.attack, alert.author = list(lead.advisory), list(lead.attack), lead.author
        alert.lead_severity, alert.lead_time, alert.lead_uid = -first.severity, first.time, first.event_uid
        alert.updated = now
        alert.save()
        AlertHistory.objects.create(alert=alert, at=now, by=_BY, action="restated", note=lead.what.en)
    return finding.uid


def _withdraw(uids: Sequence[str], now: datetime) -> list[str]:
    done = []
    for uid in uids:
        with suppress(Refused):  # somebody closed it meanwhile
            flows.withdraw(uid, FILLED, now=now)
            done.append(uid)
    return done
