"""The cases of a rule: rows of events and master data, through the real enrichment and detector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sekisho.contract import Rule
from sekisho.detect import Detector
from sekisho.enrich import Enricher
from sekisho.model import Finding
from sekisho.model.folding import keyed_hash
from sekisho.settings import Enrich
from tests.detect.events import context, normalised

KEY = b"the key of the cases, not a secret"


def load(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict), f"{path}: expected `tables`, `systems`, `cases`"
    assert set(found) <= {"tables", "systems", "cases"}, f"{path}: unknown keys {set(found)}"
    return found


def run(
    rule: Rule, file: Mapping[str, Any], case: Mapping[str, Any]
) -> tuple[list[Finding], dict[tuple[str, str], int]]:
    """Findings of one case, and what could not be judged."""
    tables: Any = {name: [dict(row) for row in rows] for name, rows in (file.get("tables") or {}).items()}
    for row in tables.get("decoys", []):
        row["identifier"] = keyed_hash(KEY, row["identifier"])
    systems = {source: tuple(names) for source, names in (file.get("systems") or {}).items()}
    master = context(**tables)
    events = Enricher(Enrich(), KEY, systems).batch(normalised(case["events"]), master)
    detector = Detector([rule], systems=systems, threads=1)
    return detector.run(events, master), dict(detector.unjudged)


def check(rule: Rule, file: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    """Assert what the case promises. A firing case gives exactly one finding over all its events."""
    findings, unjudged = run(rule, file, case)
    if "unjudged" in case:
        assert unjudged == {(rule.id, reason): count for reason, count in case["unjudged"].items()}
    if case.get("silent"):
        assert findings == [], f"should be silent: {findings[0].what.en if findings else ''}"
        return
    promised = case["fires"]
    assert len(findings) == 1, f"{len(findings)} findings: {[(f.subject, f.anchor) for f in findings]}"
    finding = findings[0]
    assert finding.count == len(case["events"])
    assert finding.severity.name.lower() == promised["severity"]
    for name in ("subject", "anchor"):
        if name in promised:
            assert getattr(finding, name) == promised[name]
    said = finding.what.ja + finding.what.en
    for part in promised.get("says", ()):
        assert part in said, f"{part!r} is not said: {said}"
    assert "{" not in said, f"a fact is missing: {said}"
