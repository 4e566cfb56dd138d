"""Compares the alerts with the ledger: what was found, what was missed, what spoke without reason. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sekisho.range import Act, Ledger

#: Sources cut a time to milliseconds or seconds; a record and its event are the same moment within this.
SAME = timedelta(seconds=1)


class Row(NamedTuple):
    """One event behind an alert."""

    time: datetime
    source: str
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Shown:
    """An alert as ``sekisho alerts export`` gives it, as far as the demo needs it."""

    uid: str
    rule: str
    severity: int
    title: str
    what: str
    why: str
    todo: tuple[str, ...]
    advisory: tuple[str, ...]
    attack: tuple[str, ...]
    person: str
    zone: str
    evidence: tuple[Row, ...]


@dataclass(frozen=True)
class Verdict:
    """``found``: alerts of the expected rules per act id. ``also``: further alerts on its records.
    ``wrongly``: alerts on a look-alike. ``strays``: alerts that touch no planted record."""

    found: dict[str, list[Shown]]
    also: dict[str, list[Shown]]
    wrongly: dict[str, list[Shown]]
    strays: list[Shown]
    missed: list[Act]

    @property
    def complete(self) -> bool:
        """Every planted act that shipped rules can see was found."""
        return not self.missed

    @property
    def false_alarms(self) -> int:
        return len({alert.uid for alerts in self.wrongly.values() for alert in alerts}) + len(self.strays)


def touches(alert: Shown, records: Sequence[tuple[str, datetime]]) -> bool:
    """Whether the alert's evidence is of these records, by time."""
    return any(abs(row.time - moment) <= SAME for row in alert.evidence for _, moment in records)


def judge(ledger: Ledger, alerts: Sequence[Shown]) -> Verdict:
    """An act counts as found if an alert of an expected rule rests on at least one of its records."""
    found: dict[str, list[Shown]] = {act.id: [] for act in ledger.planted}
    also: dict[str, list[Shown]] = {act.id: [] for act in ledger.planted}
    wrongly: dict[str, list[Shown]] = {act.id: [] for act in ledger.look_alikes}
    strays = []
    for alert in alerts:
        acts = [act for act in ledger.planted if touches(alert, ledger.records[act.id])]
        for act in acts:
            (found if alert.rule in act.rules else also)[act.id].append(alert)
        alike = [] if acts else [a for a in ledger.look_alikes if touches(alert, ledger.records[a.id])]
        for act in alike:
            wrongly[act.id].append(alert)
        if not acts and not alike:
            strays.append(alert)
    missed = [act for act in ledger.planted if act.required and not found[act.id]]
    return Verdict(found, also, wrongly, strays, missed)
