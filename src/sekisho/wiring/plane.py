"""The data plane of the one process that runs the pipeline."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from django.db import DatabaseError

from sekisho import detect, lake, normalise
from sekisho.contract import Context
from sekisho.journal import JournalReader, Rejects
from sekisho.model import Finding, Reject
from sekisho.modules import database
from sekisho.pipeline import Counts, Part, Stages, Step
from sekisho.quarantine import Attempts, Runner
from sekisho.settings import Settings
from sekisho.wiring.ahead import Ahead
from sekisho.wiring.clock import now
from sekisho.wiring.found import content
from sekisho.wiring.parts import Master, detector, open_enricher
from sekisho.wiring.retrying import Retrier


@dataclass
class Tally:
    """What the pipeline has counted since it started, for the status."""

    events: Counter[str] = field(default_factory=Counter)
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    #: seconds from receipt to searchable of the oldest event of the last batch, by source
    lags: dict[str, float] = field(default_factory=dict)

    def stored(self, events: pa.Table) -> None:
        at = now()
        grouped = events.group_by("source").aggregate([("ingested_at", "min"), ("ingested_at", "count")])
        for row in grouped.to_pylist():
            self.events[row["source"]] += row["ingested_at_count"]
            self.lags[row["source"]] = (at - row["ingested_at_min"]).total_seconds()

    def count(self, counts: Counts) -> None:
        for source, numbers in counts.items():
            self.duplicates[source] += numbers.get("duplicates", 0)

    def turned_away(self, rejects: Sequence[Reject]) -> None:
        self.rejects.update((reject.source, reject.code) for reject in rejects)

    def found(self, findings: Sequence[Finding]) -> None:
        self.findings.update(finding.rule for finding in findings)


@dataclass
class Plane:
    """The opened data plane of one process. ``step`` takes one batch all the way."""

    settings: Settings
    reader: JournalReader
    lake: lake.Lake
    rejects: Rejects
    normaliser: normalise.Normaliser
    ahead: Ahead
    stages: Stages
    runner: Runner
    retrier: Retrier
    detector: detect.Detector
    tally: Tally

    def backlog(self) -> int:
        """Frames that were journaled but not yet taken all the way."""
        done = self.lake.offset()
        return max(0, self.reader.end() - (0 if done is None else done + 1))

    def step(self) -> Step | None:
        return self.runner.step()

    def retry_rejects(self, limit: int = 500) -> int:
        """Try again rejects of one frame that a person marked; gives how many were tried.

        To be called when ``step`` has nothing to do.
        """
        return self.retrier.step(limit)

    def close(self) -> None:
        self.ahead.close()
        self.lake.close()
        self.reader.close()
        self.rejects.close()


def open_plane(settings: Settings, *, alert: Callable[[Sequence[Finding]], object] | None = None) -> Plane:
    """Everything from the journal to the alerts, for the one process that runs the pipeline.

    ``alert`` replaces the raising of alerts (tests). Raises ``Refused`` if another process has it open.
    """
    found = content()
    master = Master(settings.context_dir)
    tally = Tally()
    reader = JournalReader(settings.journal_dir)
    store = lake.Lake(settings.lake_dir, settings.lake, now=now)
    rejects = Rejects(settings.journal_dir)
    normaliser = normalise.Normaliser(found.sources, zone=settings.zone)
    enricher = open_enricher(settings, found)
    finder = detector(settings, found)
    if alert is None:
        database.start(settings.data)
        database.migrate()
        alert = raise_alerts(settings)

    def reject(
        values: Sequence[Reject], received_at: dict[int, int], first: int, last: int, part: Part
    ) -> None:
        rejects.settle(values, received_at, (first, last), (part.start, part.stop - 1))
        tally.turned_away(values)

    def found_some(findings: Sequence[Finding]) -> None:
        alert(findings)
        tally.found(findings)

    def judge(events: pa.Table, context: Context) -> list[Finding]:
        finder.unjudged.clear()  # of a batch that was judged but not stored, and now comes again
        return finder.run(events, context)

    def unjudged() -> Counts:
        """What the rules could not judge of the events to be stored; told once."""
        told = detect.unjudged.to_counters(finder.unjudged)
        finder.unjudged.clear()
        return told

    def commit(events: pa.Table, upto: int, counts: Counts) -> None:
        store.commit(events, upto, {**counts, **unjudged()})
        tally.stored(events)
        tally.count(counts)

    def commit_part(events: pa.Table, upto: int, counts: Counts) -> None:
        store.commit(events, upto, {**counts, **unjudged()}, late=True)
        tally.stored(events)
        tally.count(counts)

    ahead = Ahead(settings, reader, normaliser)
    stages = Stages(
        read=ahead.read,
        normalise=ahead.normalise,
        reject=reject,
        fold=store.fold,
        context=master,
        enrich=enricher.batch,
        detect=judge,
        alert=found_some,
        commit=commit,
        commit_part=commit_part,
        offset=store.offset,
    )
    runner = Runner(
        stages,
        Attempts(settings.run_dir / "attempts.json"),
        commits=store.commits,
        max_records=settings.pipeline.batch_records,
        crashes=settings.pipeline.crashes,
        blameless=(DatabaseError,),
    )
    retrier = Retrier(
        stages,
        rejects,
        reader.frame,
        commits=store.commits,
        crashes=settings.pipeline.crashes,
        blameless=(DatabaseError,),
    )
    return Plane(settings, reader, store, rejects, normaliser, ahead, stages, runner, retrier, finder, tally)


def raise_alerts(settings: Settings) -> Callable[[Sequence[Finding]], object]:
    from sekisho.modules.alerts import channels, flows  # Django must be configured before its models load

    to = channels.channels(settings.notify)

    def run(findings: Sequence[Finding]) -> object:
        return flows.raise_alerts(findings, now=now(), channels=to) if findings else None

    return run


def quiet_gc() -> None:
    """Batches make many short-lived values and no cycles: the collector is run between batches instead."""
    gc.collect()
    gc.freeze()
    gc.disable()


def usual_gc() -> None:
    """Undo ``quiet_gc``, so that the interpreter can take everything down in order."""
    gc.unfreeze()
    gc.enable()
