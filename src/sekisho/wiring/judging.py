"""The past judged again: a rule over stored events with the master data of today (detection.md, I4).

An employee's end date often arrives after the login that it makes wrong, and a late approval makes an
alert groundless. So after each import the rules that read master data are run over the recent past:
alerts are raised or extended, and those of which nothing is left are withdrawn with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sekisho import detect, status
from sekisho.contract import Rule
from sekisho.enrich import context_files
from sekisho.lake import files, manifest, reader
from sekisho.model import Finding
from sekisho.ocsf import EVENT_SCHEMA, NORMALISED_SCHEMA
from sekisho.settings import Settings
from sekisho.wiring.clock import now
from sekisho.wiring.found import content
from sekisho.wiring.handing import audit
from sekisho.wiring.parts import open_enricher, systems
from sekisho.wiring.plane import raise_alerts

HORIZON = timedelta(days=35)
WAIT_SECONDS = 15.0
_ROWS = 20_000


class Judged(NamedTuple):
    """``findings`` by uid; ``withdrawn``: uids of alerts of which nothing is left."""

    events: int
    findings: dict[str, list[Finding]]
    withdrawn: list[str]


def judge_again(
    settings: Settings,
    rules: Sequence[Rule] | None = None,
    *,
    since: datetime | None = None,
    dry_run: bool = False,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Judged:
    """Run the rules (default: all that read master data) over events since then (default: 35 days).

    Django must be started. ``progress`` is told events done and events in all. Repeating it changes
    nothing. ``dry_run`` only says what would come of it.
    """
    found = content()
    chosen = [rule for rule in rules or detect.rules(found) if rules is not None or rule.tables]
    low = int((since or now() - HORIZON).timestamp() * 1_000_000)
    if not (settings.lake_dir / manifest.FILE).exists() or not chosen:
        return Judged(0, {}, [])
    context = context_files.read(settings.context_dir)
    _pipeline_knows(settings, context.version)
    enricher = open_enricher(settings, found)
    detector = detect.Detector(chosen, systems=systems(found), memory=settings.lake.duckdb_memory)
    open_alerts = _open_alerts([rule.id for rule in chosen])
    evidence = pa.array(sorted(set().union(*open_alerts.values())), pa.string())
    findings: dict[str, list[Finding]] = {}
    seen: set[str] = set()
    done = 0
    snapshot = reader.snapshot(settings.lake_dir)
    stored = snapshot.within(low=low)
    of = sum(file.rows for file in stored)
    for events in _past(snapshot.paths(stored), low):
        for finding in detector.run(enricher.batch(events, context), context):
            findings.setdefault(finding.uid, []).append(finding)
        uids = events.column("event_uid")
        seen.update(pc.filter(uids, pc.is_in(uids, value_set=evidence)).to_pylist())
        done += events.num_rows
        progress(min(done, of), of)
    withdrawn = [
        uid for uid, behind in open_alerts.items() if uid not in findings and behind and behind <= seen
    ]
    if not dry_run:
        _carry_out(settings, findings, withdrawn)
    return Judged(done, findings, withdrawn)


def _pipeline_knows(settings: Settings, version: str) -> None:
    """Wait until a running pipeline works with these tables: what it stores later it has judged by them."""
    end = now().timestamp() + WAIT_SECONDS
    while now().timestamp() < end:
        words = status.read(settings.run_dir, "pipeline")
        if not status.alive(words, now().timestamp()):
            return
        if words is not None and words.texts.get("context_version") == version:
            return
        time.sleep(0.2)


def _past(paths: Sequence[Path], low: int) -> Iterator[pa.Table]:
    """Stored events since ``low`` (µs since 1970 UTC), without what enrichment had added."""
    for path in paths:
        file = pq.ParquetFile(path)
        names = [name for name in NORMALISED_SCHEMA.names if name in file.schema_arrow.names]
        for batch in file.iter_batches(batch_size=_ROWS, columns=names):
            events = files.shaped(pa.Table.from_batches([batch]), EVENT_SCHEMA).select(
                NORMALISED_SCHEMA.names
            )
            recent = pc.greater_equal(events.column("time").cast(pa.int64()), low)
            yield events.filter(recent)


def _open_alerts(rules: Sequence[str]) -> dict[str, set[str]]:
    """Evidence of the alerts of these rules that nobody has closed, by alert."""
    from sekisho.modules.alerts.models import AlertEvidence, State

    found: dict[str, set[str]] = {}
    rows = AlertEvidence.objects.filter(
        alert__rule__in=rules, alert__state__in=(State.NEW, State.ACKNOWLEDGED)
    ).values_list("alert_id", "event_uid")
    for alert, event in rows.iterator():
        found.setdefault(alert, set()).add(event)
    return found


def _carry_out(settings: Settings, findings: dict[str, list[Finding]], withdrawn: Sequence[str]) -> None:
    from sekisho.modules.alerts import flows
    from sekisho.modules.alerts.models import Alert, Reason

    told = []
    back = Alert.objects.filter(uid__in=list(findings), reason=Reason.WITHDRAWN).values_list("uid", flat=True)
    for uid in list(back):
        told += flows.reopen(uid, "sekisho", "holds again with the present master data", now=now())
    raise_alerts(settings)([finding for group in findings.values() for finding in group])
    for uid in withdrawn:
        told += flows.withdraw(uid, "no longer holds with the present master data", now=now())
    audit(settings, told)
