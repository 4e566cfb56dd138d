"""Matching events -> findings: one per subject and anchor, told by its gravest event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pyarrow as pa

from sekisho.contract import Rule, Told
from sekisho.detect.facts import Facts
from sekisho.model import Evidence, Finding
from sekisho.ocsf import EVENT_SCHEMA

#: Pieces of evidence that one finding of one batch carries; ``count`` says how many there were.
EVIDENCE_KEPT = 1000

#: Shown for each piece of evidence where the rule does not say.
_SHOWN = (
    "account",
    "src_endpoint_ip",
    "device_hostname",
    "activity_name",
    "metadata_event_code",
    "status",
    "process_cmd_line",
    "api_operation",
    "resource_name",
    "message",
)


class _Hit(NamedTuple):
    event: Mapping[str, Any]
    told: Told


def findings(rule: Rule, matched: pa.Table, facts: Facts) -> list[Finding]:
    """Group by what the rule says it is about. A row that a join doubled counts once."""
    groups: dict[tuple[str, str], dict[str, _Hit]] = defaultdict(dict)
    for row in _rows(matched):
        event = facts.add(row)
        told = rule.tell(event)
        hits = groups[told.subject, told.anchor]
        known = hits.get(event["event_uid"])
        if known is None or _weight(told) > _weight(known.told):
            hits[event["event_uid"]] = _Hit(event, told)
    return [_finding(rule, hits.values()) for hits in groups.values()]


def _rows(matched: pa.Table) -> Iterator[dict[str, Any]]:
    rows: list[dict[str, Any]] = matched.to_pylist()
    for row in rows:
        for name in ("time", "ingested_at"):
            if isinstance(row.get(name), datetime):
                row[name] = row[name].astimezone(UTC)
        yield row


def _weight(told: Told) -> tuple[int, str, str]:
    return told.severity, told.what.ja, told.what.en


def _finding(rule: Rule, hits: Iterable[_Hit]) -> Finding:
    """The gravest event speaks (the earliest of equals); all are evidence, and it always is."""
    ordered = sorted(hits, key=lambda hit: (hit.event["time"], hit.event["event_uid"]))
    gravest = max(hit.told.severity for hit in ordered)
    place, lead = next((n, hit) for n, hit in enumerate(ordered) if hit.told.severity == gravest)
    kept = ordered[:EVIDENCE_KEPT]
    if place >= EVIDENCE_KEPT:
        kept[-1] = lead
    shown = rule.shown or _SHOWN
    return Finding(
        rule=rule.id,
        subject=lead.told.subject,
        anchor=lead.told.anchor,
        severity=gravest,
        title=rule.title,
        what=lead.told.what,
        why=rule.why,
        todo=rule.todo,
        advisory=rule.advisory,
        attack=rule.attack,
        evidence=tuple(_evidence(hit.event, shown) for hit in kept),
        count=len(ordered),
        person=lead.event["about_person"],
        zone=lead.event["zone"] if lead.event["about_person"] else "",
        author=rule.author,
        lead=lead.event["event_uid"],
    )


def _evidence(event: Mapping[str, Any], shown: Sequence[str]) -> Evidence:
    facts = tuple((name, _text(event[name])) for name in shown if event.get(name) not in (None, ""))
    return Evidence(event["time"], event["event_uid"], event["source"], facts)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)[:2000]


assert set(_SHOWN) <= set(EVENT_SCHEMA.names)
