"""Writing gathered findings into the database, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import datetime
from typing import NamedTuple

from sekisho.model import Evidence
from sekisho.modules.alerts.channels import Channel
from sekisho.modules.alerts.gather import Gathered, Rank, stored_words
from sekisho.modules.alerts.models import (
    EVIDENCE_KEPT,
    Alert,
    AlertEvidence,
    AlertHistory,
    Delivery,
    Reason,
    State,
)

_BY = "sekisho"
_FIXED = ("uid", "created")
_PAIRS = 400  # SQLite takes at most so many parameters without complaint in every build


class RaisedSummary(NamedTuple):
    """``updated`` counts alerts that changed, reopened ones among them."""

    new: int
    updated: int
    reopened: int


class Corrected(NamedTuple):
    """``notes``: what was corrected, in words, by alert. ``left``: alerts in which something no longer holds
    but that have other evidence, which was not judged: by alert, the ids of that evidence."""

    summary: RaisedSummary
    notes: list[tuple[Alert, str]]
    left: dict[str, set[str]]


class _Work:
    """What one call writes, collected first and written in bulk."""

    def __init__(self, now: datetime, channels: Sequence[Channel]) -> None:
        self.now = now
        self.channels = channels
        self.new: list[Alert] = []
        self.changed: list[Alert] = []
        self.evidence: list[AlertEvidence] = []
        self.history: list[AlertHistory] = []
        self.deliveries: list[Delivery] = []
        self.overfull: list[str] = []
        self.emptied: list[str] = []  # their evidence is written anew
        self.notes: list[tuple[Alert, str]] = []
        self.reopened = 0

    def note(self, alert: Alert, action: str, note: str = "") -> None:
        self.history.append(AlertHistory(alert=alert, at=self.now, by=_BY, action=action, note=note))

    def tell(self, alert: Alert, cause: str) -> None:
        for channel in self.channels:
            if alert.severity >= channel.min_severity:
                self.deliveries.append(
                    Delivery(alert=alert, channel=channel.name, cause=cause, created=self.now)
                )

    def write(self) -> RaisedSummary:
        fields = [f.name for f in Alert._meta.concrete_fields if f.name not in _FIXED]  # noqa: SLF001 - Django documents _meta
        Alert.objects.bulk_create(self.new)
        Alert.objects.bulk_create(
            self.changed, update_conflicts=True, unique_fields=["uid"], update_fields=fields
        )
        AlertEvidence.objects.filter(alert_id__in=self.emptied).delete()
        AlertEvidence.objects.bulk_create(self.evidence)
        for uid in self.overfull:
            kept = AlertEvidence.objects.filter(alert_id=uid)
            beyond = kept.order_by("time", "event_uid").values_list("pk", flat=True)[EVIDENCE_KEPT:]
            AlertEvidence.objects.filter(pk__in=list(beyond)).delete()
        AlertHistory.objects.bulk_create(self.history)
        Delivery.objects.bulk_create(self.deliveries, ignore_conflicts=True)
        return RaisedSummary(len(self.new), len(self.changed), self.reopened)


def store(gathered: Mapping[str, Gathered], now: datetime, channels: Sequence[Channel]) -> RaisedSummary:
    work = _Work(now, channels)
    stored = Alert.objects.in_bulk(list(gathered))
    seen = _seen((uid, gathered[uid].evidence) for uid in stored)
    for uid, found in sorted(gathered.items()):
        alert = stored.get(uid)
        if alert is None:
            _create(work, uid, found)
            continue
        fresh = [piece for piece in found.evidence.values() if (uid, piece.event_uid) not in seen]
        if fresh and alert.reason == Reason.WITHDRAWN:
            _replace(work, alert, found, _kept([uid])[uid])  # of what it had, nothing held
        else:
            _extend(work, alert, found, fresh)
    return work.write()


def correct(
    gathered: Mapping[str, Gathered], judged: Set[str], now: datetime, channels: Sequence[Channel]
) -> Corrected:
    """Make these alerts say what was found, no more: ``judged`` are the events that were looked at."""
    work = _Work(now, channels)
    stored = Alert.objects.in_bulk(list(gathered))
    kept = _kept(list(stored))
    left: dict[str, set[str]] = {}
    for uid, found in sorted(gathered.items()):
        alert = stored.get(uid)
        if alert is None:
            _create(work, uid, found)
            continue
        had = kept[uid]
        others = had.keys() - judged - found.evidence.keys()
        if not others:
            _replace(work, alert, found, had)
            continue
        gone = (had.keys() & judged) - found.evidence.keys()
        if gone or (alert.lead_uid not in others and found.rank > _rank(alert)):
            left[uid] = others
        _extend(work, alert, found, [piece for uid, piece in found.evidence.items() if uid not in had])
    return Corrected(work.write(), work.notes, left)


def _kept(uids: Sequence[str]) -> dict[str, dict[str, AlertEvidence]]:
    """All stored evidence by alert and event."""
    found: dict[str, dict[str, AlertEvidence]] = {uid: {} for uid in uids}
    for row in AlertEvidence.objects.filter(alert_id__in=uids):
        found[row.alert_id][row.event_uid] = row
    return found


def _seen(wanted: Iterable[tuple[str, Mapping[str, Evidence]]]) -> set[tuple[str, str]]:
    """Which (alert, event_uid) are stored already."""
    pairs = [(uid, event) for uid, evidence in wanted for event in evidence]
    seen: set[tuple[str, str]] = set()
    for part in _parts(pairs):
        alerts, events = {uid for uid, _ in part}, {event for _, event in part}
        seen.update(
            AlertEvidence.objects.filter(alert_id__in=alerts, event_uid__in=events).values_list(
                "alert_id", "event_uid"
            )
        )
    return seen


def _parts(pairs: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    for start in range(0, len(pairs), _PAIRS):
        yield pairs[start : start + _PAIRS]


def _order(piece: Evidence) -> tuple[datetime, str]:
    return piece.time, piece.event_uid


def _create(work: _Work, uid: str, found: Gathered) -> None:
    pieces = sorted(found.evidence.values(), key=_order)
    kept = pieces[:EVIDENCE_KEPT]
    alert = Alert(
        uid=uid,
        rule=found.lead.rule,
        subject=found.lead.subject,
        anchor=found.lead.anchor,
        severity=found.severity,
        first_time=pieces[0].time,
        last_time=pieces[-1].time,
        count=len(kept),
        more=found.cut or len(pieces) > EVIDENCE_KEPT,
        created=work.now,
        updated=work.now,
    )
    _lead(alert, found)
    work.new.append(alert)
    work.evidence.extend(_row(alert, piece) for piece in kept)
    work.note(alert, "raised")
    work.tell(alert, "new")


def _extend(work: _Work, alert: Alert, found: Gathered, fresh: list[Evidence]) -> None:
    before = alert.severity
    added, is_new = _admit(alert, fresh)
    over = alert.count + len(added) > EVIDENCE_KEPT
    pieces = found.evidence.values()
    wanted = {
        "severity": max(alert.severity, found.severity),
        "first_time": min(alert.first_time, *(piece.time for piece in pieces)),
        "last_time": max(alert.last_time, *(piece.time for piece in pieces)),
        "count": min(alert.count + len(added), EVIDENCE_KEPT),
        "more": alert.more or found.cut or over,
    }
    leads = found.rank < _rank(alert)
    reopened = is_new and alert.state == State.CLOSED
    if not (added or leads or reopened) and all(getattr(alert, k) == v for k, v in wanted.items()):
        return
    for name, value in wanted.items():
        setattr(alert, name, value)
    if leads:
        _lead(alert, found)
    if over:
        work.overfull.append(alert.uid)
    work.evidence.extend(_row(alert, piece) for piece in added)
    _announce(work, alert, before, reopened)
    alert.updated = work.now
    work.changed.append(alert)


def _replace(work: _Work, alert: Alert, found: Gathered, had: Mapping[str, AlertEvidence]) -> None:
    """All evidence was judged again: the alert becomes what was found, gravity and words included."""
    pieces = sorted(found.evidence.values(), key=_order)
    rows = [_row(alert, piece) for piece in pieces[:EVIDENCE_KEPT]]
    _, is_new = _admit(alert, [piece for piece in pieces if piece.event_uid not in had])
    reopened = is_new and alert.state == State.CLOSED
    before, was = _stated(alert), alert.severity
    count, lead, words = alert.count, _rank(alert), stored_words(alert)
    last = max(alert.last_time, pieces[-1].time) if found.cut else pieces[-1].time
    alert.severity, alert.first_time, alert.last_time = found.severity, pieces[0].time, last
    alert.count, alert.more = len(rows), found.cut or len(pieces) > EVIDENCE_KEPT
    _lead(alert, found)
    same = {_facts(row) for row in rows} == {_facts(row) for row in had.values()}
    if same and not reopened and _stated(alert) == before:
        return
    if not same:
        work.emptied.append(alert.uid)
        work.evidence.extend(rows)
    corrections = []
    if had.keys() - {row.event_uid for row in rows}:
        corrections.append(f"evidence {count} to {alert.count}")
    if alert.severity < was:
        corrections.append(f"severity {was} to {alert.severity}")
    if stored_words(alert) != words and (found.rank > lead or alert.lead_uid in had):
        corrections.append("text")
    if corrections:
        note = f"judged again: {', '.join(corrections)}"
        work.note(alert, "corrected", note)
        work.notes.append((alert, note))
    _announce(work, alert, was, reopened)
    alert.updated = work.now
    work.changed.append(alert)


def _stated(alert: Alert) -> list[object]:
    """Everything of an alert that findings decide, to see whether it changed."""
    numbers = [alert.severity, alert.first_time, alert.last_time, alert.count, alert.more]
    return [*numbers, alert.lead_severity, alert.lead_time, alert.lead_uid, stored_words(alert)]


def _facts(row: AlertEvidence) -> tuple[object, ...]:
    return row.event_uid, row.time, row.source, tuple((name, value) for name, value in row.facts)


def _admit(alert: Alert, fresh: list[Evidence]) -> tuple[list[Evidence], bool]:
    """The evidence to store, and whether any of it is surely new.

    A full alert keeps its earliest evidence. What is later than all of it may have been seen and
    dropped before: it is surely new only if it is later than everything that was ever seen.
    """
    if not alert.more or alert.count < EVIDENCE_KEPT:
        return fresh, bool(fresh)
    last = alert.evidence.order_by("-time", "-event_uid").values_list("time", "event_uid")[0]
    added = [piece for piece in fresh if _order(piece) < last]
    return added, bool(added) or any(piece.time > alert.last_time for piece in fresh)


def _announce(work: _Work, alert: Alert, before: int, reopened: bool) -> None:
    if reopened:
        was = f"was closed as {alert.reason} by {alert.closed_by}"
        alert.state, alert.reason, alert.closed_by, alert.closed_at = State.NEW, "", "", None
        work.note(alert, "reopened", f"new evidence after closing; {was}")
        work.reopened += 1
        work.tell(alert, f"reopened-{work.now.isoformat()}")
    if alert.severity > before:
        work.note(alert, "severity-risen", f"{before} to {alert.severity}")
        if not reopened:
            work.tell(alert, f"severity-{alert.severity}")


def _lead(alert: Alert, found: Gathered) -> None:
    lead = found.lead
    alert.title_ja, alert.title_en = lead.title.ja, lead.title.en
    alert.what_ja, alert.what_en = lead.what.ja, lead.what.en
    alert.why_ja, alert.why_en = lead.why.ja, lead.why.en
    alert.todo = [[step.ja, step.en] for step in lead.todo]
    alert.advisory, alert.attack = list(lead.advisory), list(lead.attack)
    alert.author, alert.person, alert.zone = lead.author, lead.person, lead.zone
    alert.lead_severity, alert.lead_time = found.severity, found.rank.time
    alert.lead_uid = found.rank.event_uid


def _rank(alert: Alert) -> Rank:
    return Rank(-alert.lead_severity, alert.lead_time, alert.lead_uid, stored_words(alert))


def _row(alert: Alert, piece: Evidence) -> AlertEvidence:
    facts = [[name, value] for name, value in piece.facts]
    return AlertEvidence(
        alert=alert, event_uid=piece.event_uid, time=piece.time, source=piece.source, facts=facts
    )
