"""Pure: what a set of findings says about each alert, whatever their order and batches."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sekisho.model import Evidence, Finding
from sekisho.modules.alerts.models import Alert


class Rank(NamedTuple):
    """Orders words by how well they lead: highest severity, earliest time, smallest event_uid. The
    words themselves come last, so that even findings that contradict each other have one order."""

    severity: int  # negated
    time: datetime
    event_uid: str
    words: str


class Gathered(NamedTuple):
    """All findings of one uid: the leading one, its rank and the distinct evidence by event_uid."""

    lead: Finding
    rank: Rank
    evidence: dict[str, Evidence]
    cut: bool

    @property
    def severity(self) -> int:
        return -self.rank.severity


def words(finding: Finding) -> str:
    """Everything that is taken over from the leading finding, as one comparable text."""
    texts = (finding.title, finding.what, finding.why)
    return _words(
        [[t.ja, t.en] for t in texts],
        [[t.ja, t.en] for t in finding.todo],
        [list(finding.advisory), list(finding.attack), finding.author, finding.person, finding.zone],
    )


def stored_words(alert: Alert) -> str:
    """The same of a stored alert."""
    return _words(
        [[alert.title_ja, alert.title_en], [alert.what_ja, alert.what_en], [alert.why_ja, alert.why_en]],
        alert.todo,
        [alert.advisory, alert.attack, alert.author, alert.person, alert.zone],
    )


def _words(*parts: list[Any]) -> str:
    return json.dumps(parts, ensure_ascii=False)


def rank(finding: Finding) -> Rank:
    lead = finding.evidence[0]
    if finding.lead:
        lead = next((e for e in finding.evidence if e.event_uid == finding.lead), lead)
    return Rank(-int(finding.severity), lead.time, lead.event_uid, words(finding))


def gather(findings: Iterable[Finding]) -> dict[str, Gathered]:
    """Findings joined by uid. Raises ``ValueError`` for a finding without evidence (a bug of a rule)."""
    joined: dict[str, Gathered] = {}
    for finding in findings:
        if not finding.evidence:
            raise ValueError(f"finding of rule {finding.rule} has no evidence")
        uid, this = finding.uid, rank(finding)
        before = joined.get(uid)
        evidence = before.evidence if before else {}
        for piece in finding.evidence:
            kept = evidence.get(piece.event_uid)
            evidence[piece.event_uid] = piece if kept is None else min(kept, piece)
        cut = finding.count > len(finding.evidence) or (before is not None and before.cut)
        if before is None or this < before.rank:
            joined[uid] = Gathered(finding, this, evidence, cut)
        else:
            joined[uid] = before._replace(cut=cut)
    return joined
