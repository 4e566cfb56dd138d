"""The one place that knows everybody: it opens things, hands them to each other and reads the clock."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from sekisho import console, detect, enrich, first_run, lake, normalise, pipeline
from sekisho.collect import local
from sekisho.contract import Context
from sekisho.contract.discovery import Content, discover
from sekisho.enrich import context_files
from sekisho.journal import JournalReader, JournalWriter, Rejects
from sekisho.model import Finding, Frame, Offset, Records, Reject
from sekisho.pipeline import Counts, Stages, Step
from sekisho.quarantine import Attempts, Runner
from sekisho.settings import Settings

TRIAL_SECONDS = 120.0


def now_ns() -> int:
    """The clock of the platform, in nanoseconds since 1970 UTC."""
    return time.time_ns()


def now() -> datetime:
    return datetime.now(tz=UTC)


# -- content and master data ---------------------------------------------------------------------


def content() -> Content:
    """All content of the platform; raises ``ContentError`` with every problem at once."""
    return discover()


def detector(settings: Settings, found: Content) -> detect.Detector:
    return detect.Detector(detect.rules(found), threads=settings.lake.duckdb_threads)


class Master:
    """The published master data; read again when a new version is there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._context = Context()

    def __call__(self) -> Context:
        version = context_files.current(self._folder)
        if version != self._context.version:
            self._context = context_files.read(self._folder)
        return self._context


# -- the data plane ------------------------------------------------------------------------------


@dataclass
class Tally:
    """What the pipeline has counted since it started, for the status."""

    events: Counter[str] = field(default_factory=Counter)
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)

    def stored(self, events: pa.Table) -> None:
        for entry in events.column("source").value_counts().to_pylist():
            self.events[entry["values"]] += entry["counts"]

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
    stages: Stages
    runner: Runner
    detector: detect.Detector
    tally: Tally

    def backlog(self) -> int:
        """Frames that were journaled but not yet taken all the way."""
        done = self.lake.offset()
        return max(0, self.reader.end() - (0 if done is None else done + 1))

    def step(self) -> Step | None:
        return self.runner.step()

    def retry_rejects(self, limit: int = 500) -> int:
        """Try again the rejects that a person marked; gives how many became events."""
        rows = self.rejects.to_retry(limit)
        if not rows:
            return 0
        wanted: dict[tuple[int, str], list[int]] = {}
        for row in rows:
            place = row.reject.offset
            wanted.setdefault((place.frame, row.retry_as or row.reject.source), []).append(place.index)
        done = 0
        for (number, source), indexes in wanted.items():
            done += self._retry_frame(number, source, indexes)
        return done

    def _retry_frame(self, number: int, source: str, indexes: list[int]) -> int:
        places = [Offset(number, index) for index in indexes]
        frame = self.reader.frame(number)
        if frame is None:
            still = [Reject(place, source, "damaged", "the journal frame cannot be read") for place in places]
            self.rejects.add(still, {})
            return 0
        frame = Frame(number, msgspec.structs.replace(frame.records, source=source))
        packed = pa.array([place.packed for place in places], pa.int64())
        result = self.normaliser.batch([frame])
        mine = result.events.filter(pc.is_in(result.events.column("journal_offset"), value_set=packed))
        folded = self.stages.fold(mine)
        context = self.stages.context()
        events = self.stages.enrich(folded.events, context)
        self.stages.alert(self.stages.detect(events, context))
        upto = self.lake.offset()
        assert upto is not None
        self.lake.commit(events, upto, pipeline.counts((), folded.duplicates), late=True)
        self.tally.stored(events)
        became = [Offset.unpack(value) for value in mine.column("journal_offset").to_pylist()]
        self.rejects.remove(became)
        left = [reject for reject in result.rejects if reject.offset in set(places)]
        self.rejects.add(left, {number: frame.records.received_at})
        return len(became)

    def close(self) -> None:
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
        console.start(settings.data)
        console.migrate()
        alert = raise_alerts(settings)

    def reject(values: Sequence[Reject], received_at: dict[int, int]) -> None:
        rejects.add(values, received_at)
        tally.turned_away(values)

    def found_some(findings: Sequence[Finding]) -> None:
        alert(findings)
        tally.found(findings)

    def commit(events: pa.Table, upto: int, counts: Counts) -> None:
        store.commit(events, upto, counts)
        tally.stored(events)
        tally.count(counts)

    stages = Stages(
        read=reader.read,
        normalise=normaliser.batch,
        reject=reject,
        fold=store.fold,
        context=master,
        enrich=enricher.batch,
        detect=finder.run,
        alert=found_some,
        commit=commit,
        offset=store.offset,
    )
    runner = Runner(
        stages,
        Attempts(settings.run_dir / "attempts.json"),
        lambda frame: trial(settings, frame),
        max_records=settings.pipeline.batch_records,
        crashes=settings.pipeline.crashes,
    )
    return Plane(settings, reader, store, rejects, normaliser, stages, runner, finder, tally)


def open_enricher(settings: Settings, found: Content) -> enrich.Enricher:
    systems = {source.id: source.systems for source in found.sources.values()}
    decoy_key = first_run.key(settings.secrets_dir / "decoy.key")
    return enrich.Enricher(settings.enrich, decoy_key, systems)


def raise_alerts(settings: Settings) -> Callable[[Sequence[Finding]], object]:
    from sekisho.modules.alerts import channels, flows  # Django must be configured before its models load

    to = channels.channels(settings.notify)

    def run(findings: Sequence[Finding]) -> object:
        return flows.raise_alerts(findings, now=now(), channels=to) if findings else None

    return run


def trial(settings: Settings, frame: Frame) -> str | None:
    """Run records through the pure stages in a process of its own; None if it ended well."""
    command = [sys.executable, "-m", "sekisho.cli.main", "--data", str(settings.data), "serve", "trial"]
    try:
        done = subprocess.run(
            command,
            input=msgspec.msgpack.encode((frame.number, frame.records)),
            capture_output=True,
            timeout=TRIAL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"does not end within {TRIAL_SECONDS:g} s"
    if done.returncode == 0:
        return None
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return said[-1][:500] if said else f"ends the process with status {done.returncode}"


def run_trial(settings: Settings, data: bytes) -> None:
    """The other end of ``trial``: pure stages only, nothing is stored; raises what they raise."""
    number, records = msgspec.msgpack.decode(data, type=tuple[int, Records])
    found = content()
    context = Master(settings.context_dir)()
    events = normalise.Normaliser(found.sources, zone=settings.zone).batch([Frame(number, records)]).events
    detector(settings, found).run(open_enricher(settings, found).batch(events, context), context)


# -- the control plane hands over ----------------------------------------------------------------


def publish(settings: Settings) -> str:
    """Publish the master data as a new version for the data plane; gives the version."""
    console.start(settings.data)
    from sekisho.modules.decoys import emit as decoys
    from sekisho.modules.grants import emit as grants
    from sekisho.modules.people import emit as people

    tables: dict[str, pa.Table] = {}
    for module in (people, grants, decoys):
        tables.update(module.tables())
    return context_files.write(settings.context_dir, tables, now())


def audit(settings: Settings, events: Sequence[Mapping[str, Any]]) -> None:
    """Write the platform's own events (OCSF) into the journal: what was done, by whom."""
    if not events:
        return
    bodies = tuple(msgspec.json.encode(event) for event in events)
    records = Records("sekisho", "internal", "none", f"pid {os.getpid()}", _user(), now_ns(), bodies)
    with appending(settings) as append:
        append(records)


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


# -- without a running platform ------------------------------------------------------------------


@contextmanager
def appending(settings: Settings) -> Iterator[Callable[[Records], int]]:
    """Journal records: through the running collector, else as the journal's only writer."""
    socket = settings.run_dir / "collect.sock"
    if local.answers(socket):
        with local.client(socket) as append:
            yield append
        return
    first_run.prepare(settings.data, now().timestamp())
    collect = settings.collect
    writer = JournalWriter(
        settings.journal_dir, segment_bytes=collect.segment_bytes, min_free=collect.min_free
    )
    try:
        yield lambda records: writer.append([records])[0]
    finally:
        writer.close()


@contextmanager
def offline(
    settings: Settings, progress: Callable[[int], None] | None = None
) -> Iterator[Callable[[Records], int]]:
    """As ``appending`` without a collector; at the end runs the pipeline until everything is searchable.

    ``progress`` is told the number of frames that are still to do.
    """
    with appending(settings) as append:
        yield append
    drain(settings, progress)


def drain(settings: Settings, progress: Callable[[int], None] | None = None) -> None:
    """Run the pipeline in this process until nothing is left to do."""
    plane = open_plane(settings)
    try:
        while plane.step() is not None:
            if progress is not None:
                progress(plane.backlog())
    finally:
        plane.close()


def quiet_gc() -> None:
    """Batches make many short-lived values and no cycles: the collector is run between batches instead."""
    gc.collect()
    gc.freeze()
    gc.disable()


def migrate(settings: Settings) -> None:
    """Bring the control plane's database up to this version."""
    console.start(settings.data)
    console.migrate()
