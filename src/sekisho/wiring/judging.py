"""The past judged again: stored events, with the master data of today (rules-of-detection.md, I4).

An employee's end date often arrives after the login that it makes wrong, and a late approval makes an
alert groundless. So after each import the rules that read master data are run over the recent past:
alerts are raised or extended, and those of which nothing is left are withdrawn with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import suppress
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
from sekisho.model import Finding, Refused
from sekisho.ocsf import EVENT_SCHEMA, NORMALISED_SCHEMA
from sekisho.settings import Settings
from sekisho.wiring.clock import now
from sekisho.wiring.found import content
from sekisho.wiring.owing import deliver_audit
from sekisho.wiring.parts import open_enricher, systems
from sekisho.wiring.plane import raise_alerts

#: Rules of this kind give the same answer whenever they are asked (rules-of-detection.md, I4).
HORIZON = timedelta(days=400)
WAIT_SECONDS = 15.0
_ROWS = 20_000


class Judged(NamedTuple):
    """``findings`` by uid; ``withdrawn``: uids of alerts of which nothing is left.

    ``events``  how many were judged; those of a file that was merged meanwhile count twice
    ``behind``  a running pipeline still judges by older tables: what it stores meanwhile must be judged
                once more
    ``unread``  files that cannot be read, and why; alerts with evidence in them are left as they are
    """

    events: int
    findings: dict[str, list[Finding]]
    withdrawn: list[str]
    behind: bool = False
    unread: tuple[str, ...] = ()


def judge_again(
    settings: Settings,
    rules: Sequence[Rule] | None = None,
    *,
    since: datetime | None = None,
    dry_run: bool = False,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Judged:
    """Run the rules (default: all that read master data) over events since then (default: 400 days).

    Django must be started. ``progress`` is told events done and events in all. Repeating it changes
    nothing. ``dry_run`` only says what would come of it. Called without ``rules`` and ``since`` it
    settles what changes of the master data owed (``wiring.judging_owed``).
    """
    if dry_run or rules is not None or since is not None:
        return _judge(settings, rules, since, progress, dry_run=dry_run)
    from sekisho.modules.outbox import flows
    from sekisho.modules.outbox.models import Kind

    owed = flows.pending(Kind.JUDGE)
    deliver_audit(settings)  # so that the data plane has the tables of these changes
    judged = _judge(settings, None, None, progress, dry_run=False)
    if not judged.behind:
        flows.settle(owed)
    return judged


def _judge(
    settings: Settings,
    rules: Sequence[Rule] | None,
    since: datetime | None,
    progress: Callable[[int, int], None],
    *,
    dry_run: bool,
) -> Judged:
    found = content()
    chosen = [rule for rule in rules or detect.rules(found) if rules is not None or rule.tables]
    low = int((since or now() - HORIZON).timestamp() * 1_000_000)
    if not (settings.lake_dir / manifest.FILE).exists() or not chosen:
        return Judged(0, {}, [])
    context = context_files.read(settings.context_dir)
    behind = not _pipeline_knows(settings, context.version)
    enricher = open_enricher(settings, found)
    detector = detect.Detector(chosen, systems=systems(found), memory=settings.lake.duckdb_memory)
    open_alerts = _open_alerts([rule.id for rule in chosen])
    evidence = pa.array(sorted(set().union(*open_alerts.values())), pa.string())
    findings: dict[str, list[Finding]] = {}
    seen: set[str] = set()
    done = 0
    past = _Past(settings.lake_dir, low)
    for events in past:
        for finding in detector.run(enricher.batch(events, context), context):
            findings.setdefault(finding.uid, []).append(finding)
        uids = events.column("event_uid")
        seen.update(pc.filter(uids, pc.is_in(uids, value_set=evidence)).to_pylist())
        done += events.num_rows
        progress(done, done + past.left)
    groundless = [
        uid for uid, grounds in open_alerts.items() if uid not in findings and grounds and grounds <= seen
    ]
    withdrawn = groundless if dry_run else _carry_out(settings, findings, groundless, seen)
    return Judged(done, findings, withdrawn, behind, tuple(past.unread))


def _pipeline_knows(settings: Settings, version: str) -> bool:
    """Wait until a running pipeline works with these tables: what it stores later it has judged by them.

    False if it does not within ``WAIT_SECONDS``.
    """
    end = now().timestamp() + WAIT_SECONDS
    while now().timestamp() < end:
        words = status.read(settings.run_dir, "pipeline")
        if not status.alive(words, now().timestamp()):
            return True
        if words is not None and words.texts.get("context_version") == version:
            return True
        time.sleep(0.2)
    return False


class _Past:
    """Stored events since ``low`` (µs since 1970 UTC), without what enrichment had added.

    A file that a merge has replaced and removed meanwhile is found again in what replaced it; some
    events then come twice, which changes no finding. Small files come first: they are merged soonest.

    ``left``    rows in files that are still to be read
    ``unread``  files that cannot be read, and why
    """

    def __init__(self, folder: Path, low: int) -> None:
        self.left = 0
        self.unread: list[str] = []
        self._folder = folder
        self._low = low
        self._over: set[str] = set()

    def __iter__(self) -> Iterator[pa.Table]:
        waiting = self._look()
        while waiting:
            file = waiting.pop()
            path = files.path_of(self._folder, file)
            try:
                yield from self._events(path)
            except FileNotFoundError:
                waiting = self._look()
                continue
            except (OSError, pa.ArrowException) as error:
                self.unread.append(f"{path}: {error}")
            self._over.add(file.name)
            self.left = sum(one.rows for one in waiting)

    def _look(self) -> list[manifest.Stored]:
        """What is to be read, the next one last."""
        now_there = reader.snapshot(self._folder)
        known = {str(damage) for damage in now_there.damaged}
        self.unread += sorted(known.difference(self.unread))
        waiting = [file for file in now_there.within(low=self._low) if file.name not in self._over]
        self.left = sum(file.rows for file in waiting)
        return sorted(waiting, key=lambda file: file.level, reverse=True)

    def _events(self, path: Path) -> Iterator[pa.Table]:
        with pq.ParquetFile(path) as file:
            names = [name for name in NORMALISED_SCHEMA.names if name in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=_ROWS, columns=names):
                events = files.shaped(pa.Table.from_batches([batch]), EVENT_SCHEMA)
                recent = pc.greater_equal(events.column("time").cast(pa.int64()), self._low)
                yield events.select(NORMALISED_SCHEMA.names).filter(recent)


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


def _carry_out(
    settings: Settings, findings: dict[str, list[Finding]], groundless: Sequence[str], judged: Set[str]
) -> list[str]:
    """Raise, reopen and withdraw; returns what was withdrawn. What others did meanwhile stays theirs."""
    from sekisho.modules.alerts import flows
    from sekisho.modules.alerts.models import Alert, Reason

    withdrawn = []
    back = Alert.objects.filter(uid__in=list(findings), reason=Reason.WITHDRAWN).values_list("uid", flat=True)
    try:
        for uid in list(back):
            with suppress(Refused):  # somebody opened it meanwhile
                flows.reopen(uid, "sekisho", "holds again with the present master data", now=now())
        raise_alerts(settings)([finding for group in findings.values() for finding in group])
        for uid in groundless:
            with suppress(Refused):  # somebody closed it meanwhile
                done = flows.withdraw(
                    uid, "no longer holds with the present master data", now=now(), judged=judged
                )
                withdrawn += [uid] if done else []
    finally:
        deliver_audit(settings)
    return withdrawn
