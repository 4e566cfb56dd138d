"""Standing rules over the past -> findings, and what they cannot judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sekisho.contract.standing import Past, StandingRule, Stated, Unjudged
from sekisho.model import Finding


class Judgement(NamedTuple):
    """Of one rule: everything that it states about the time from ``since`` to ``upto`` (µs since 1970
    UTC)."""

    rule: str
    findings: list[Finding]
    unjudged: list[Unjudged]
    since: int
    upto: int


def judge_past(rules: Sequence[StandingRule], past: Past) -> list[Judgement]:
    """In order of the rules; findings in order of subject and anchor."""
    judged = []
    for rule in rules:
        stated, unjudged = rule.find(past)
        findings = [_finding(rule, each) for each in stated]
        findings.sort(key=lambda finding: (finding.subject, finding.anchor))
        judged.append(Judgement(rule.id, findings, list(unjudged), past.since, past.upto))
    return judged


def _finding(rule: StandingRule, stated: Stated) -> Finding:
    evidence = tuple(sorted(set(stated.evidence), key=lambda piece: (piece.time, piece.event_uid)))
    return Finding(
        rule=rule.id,
        subject=stated.subject,
        anchor=stated.anchor,
        severity=stated.severity,
        title=rule.title,
        what=stated.what,
        why=rule.why,
        todo=rule.todo,
        advisory=rule.advisory,
        attack=rule.attack,
        evidence=evidence,
        count=len(evidence),
        author=rule.author,
        lead=evidence[0].event_uid,
    )
