"""The past judged again: stored events, with the master data of today (rules-of-detection.md, I4).

An employee's end date often arrives after the login that it makes wrong, and a late approval makes an
alert groundless. So after each import the rules are run over the recent past: alerts are raised, and those
that stand already come to say what was found now, no more (evidence, gravity, words); those of which nothing
is left are withdrawn with the reason. The end is the same whether events or master data came first (I2).
"""

from __future__ import annotations

import fcntl
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sekisho import detect, status
from sekisho.contract import Context, Rule
from sekisho.detect.sigma import SigmaRule
from sekisho.enrich import context_files
from sekisho.lake import files, manifest, reader
from sekisho.model import Finding, Refused
from sekisho.ocsf import EVENT_SCHEMA, NORMALISED_SCHEMA
from sekisho.settings import Settings
from sekisho.wiring.clock import now
from sekisho.wiring.found import content
from sekisho.wiring.owing import deliver_audit, judging_owed
from sekisho.wiring.parts import open_enricher, systems
from sekisho.wiring.unjudged import Unjudged, counted, remember

#: Rules of this kind give the same answer whenever they are asked (rules-of-detection.md, I4).
HORIZON = timedelta(days=400)
WAIT_SECONDS = 15.0
#: Times that what came meanwhile is read before the rest is left for the next pass.
ROUNDS = 5
_ROWS = 20_000


class Judged(NamedTuple):
    """``findings`` by uid; ``withdrawn``: uids of alerts of which nothing is left.

    ``events``     how many were judged; those of a file that was merged meanwhile count twice
    ``corrected``  uids of alerts that lost evidence or gravity, or whose words changed
    ``behind``     a running pipeline still judges by older tables, or an alert that must be corrected got
                   other evidence again and again: the past must be judged once more
    ``unread``     files that cannot be read, and why; alerts with evidence in them are left as they are
    """

    events: int
    findings: dict[str, list[Finding]]
    withdrawn: list[str]
    corrected: tuple[str, ...] = ()
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
    """Run the rules (default: all but Sigma rules) over events since then (default: 400 days).

    Django must be started. ``progress`` is told events done and events in all. Repeating it changes
    nothing. ``dry_run`` only says what would come of it. Called without ``rules`` and ``since`` it
    settles what changes of the master data owed (``wiring.judging_owed``). Waits while another process
    does it.
    """
    if dry_run:
        return _Pass(settings, rules, since, progress).run(dry_run=True)
    with one_judge(settings):
        if rules is not None or since is not None:
            return _Pass(settings, rules, since, progress).run()
        return _settle(settings, progress)


def settle_judging(settings: Settings) -> Judged | None:
    """What a service does for a command that was cut off: judge if it is owed and can be settled now.

    None: nothing is owed, or a running pipeline has not taken the tables yet (it stays owed).
    """
    with one_judge(settings):
        if not judging_owed(settings):
            return None
        deliver_audit(settings, alone=False)
        if not _pipeline_knows(settings, context_files.current(settings.context_dir)):
            return None
        return _settle(settings, lambda done, of: None, alone=False)


def _settle(settings: Settings, progress: Callable[[int, int], None], *, alone: bool = True) -> Judged:
    from sekisho.modules.outbox import flows
    from sekisho.modules.outbox.models import Kind

    owed = flows.pending(Kind.JUDGE)
    deliver_audit(settings, alone=alone)  # so that the data plane has the tables of these changes
    this = _Pass(settings, None, None, progress, alone=alone)
    before = counted(settings)
    judged = this.run()
    if not judged.behind:
        flows.settle(owed)
        if not judged.unread:
            remember(settings, before, this.unjudged)
    return judged


class _Pass:
    """Once over the past, by the master data of one moment. ``unjudged``: what could not be judged."""

    def __init__(
        self,
        settings: Settings,
        rules: Sequence[Rule] | None,
        since: datetime | None,
        progress: Callable[[int, int], None],
        *,
        alone: bool = True,
    ) -> None:
        self.unjudged: Unjudged = Counter()
        self._settings = settings
        self._content = content()
        # A Sigma rule reads one event and no master data: what it found stands.
        self._rules = [
            rule
            for rule in rules or detect.rules(self._content)
            if rules is not None or not isinstance(rule, SigmaRule)
        ]
        self._low = since or now() - HORIZON
        self._progress = progress
        self._alone = alone
        self._findings: dict[str, list[Finding]] = {}
        self._seen: set[str] = set()
        self._done = 0

    def run(self, *, dry_run: bool = False) -> Judged:
        if not (self._settings.lake_dir / manifest.FILE).exists() or not self._rules:
            return Judged(0, {}, [])
        context = context_files.read(self._settings.context_dir)
        behind = not _pipeline_knows(self._settings, context.version)
        past = _Past(self._settings.lake_dir, int(self._low.timestamp() * 1_000_000))
        judge = self._judge(context)
        withdrawn: list[str] = []
        corrected: list[str] = []
        for _ in range(ROUNDS):
            known = _evidence([rule.id for rule in self._rules], self._low)
            self._read(past, judge, set().union(*known.values()))
            if dry_run:
                return Judged(self._done, self._findings, self._groundless(), unread=tuple(past.unread))
            came_meanwhile = self._carry_out(known, withdrawn, corrected)
            if not came_meanwhile:
                break
        behind = behind or came_meanwhile
        return Judged(
            self._done, self._findings, withdrawn, tuple(sorted({*corrected})), behind, tuple(past.unread)
        )

    def _judge(self, context: Context) -> Callable[[pa.Table], list[Finding]]:
        enricher = open_enricher(self._settings, self._content)
        memory = self._settings.lake.duckdb_memory
        detector = detect.Detector(self._rules, systems=systems(self._content), memory=memory)
        self.unjudged = detector.unjudged
        return lambda events: detector.run(enricher.batch(events, context), context)

    def _read(self, past: _Past, judge: Callable[[pa.Table], list[Finding]], evidence: Set[str]) -> None:
        """Judge what is not judged yet, and note which evidence of alerts is in it."""
        wanted = pa.array(sorted(evidence), pa.string())
        for events in past:
            for finding in judge(events):
                self._findings.setdefault(finding.uid, []).append(finding)
            uids = events.column("event_uid")
            self._seen.update(pc.filter(uids, pc.is_in(uids, value_set=wanted)).to_pylist())
            self._done += events.num_rows
            self._progress(self._done, self._done + past.left)

    def _groundless(self) -> list[str]:
        """Open alerts all of whose evidence was judged and none of which was found again."""
        open_alerts = _evidence([rule.id for rule in self._rules], self._low, only_open=True)
        return [
            uid
            for uid, grounds in open_alerts.items()
            if uid not in self._findings and grounds and grounds <= self._seen
        ]

    def _carry_out(self, known: dict[str, set[str]], withdrawn: list[str], corrected: list[str]) -> bool:
        """Raise, reopen, correct and withdraw. What others did meanwhile stays theirs.

        True if an alert could not be put right because it got evidence after ``known`` was read.
        """
        from sekisho.modules.alerts import channels, flows
        from sekisho.modules.alerts.models import Alert, Reason

        left: dict[str, set[str]] = {}
        back = Alert.objects.filter(uid__in=list(self._findings), reason=Reason.WITHDRAWN)
        try:
            for uid in list(back.values_list("uid", flat=True)):
                with suppress(Refused):  # somebody opened it meanwhile
                    flows.reopen(uid, "sekisho", "holds again with the present master data", now=now())
            every = [finding for group in self._findings.values() for finding in group]
            to = channels.channels(self._settings.notify)
            done = flows.correct(every, self._seen, now=now(), channels=to)
            corrected += [alert.uid for alert, _ in done.notes]
            left |= done.left
            why = "no longer holds with the present master data"
            open_alerts = _evidence([rule.id for rule in self._rules], self._low, only_open=True)
            for uid, grounds in open_alerts.items():
                if uid in self._findings or not grounds & self._seen:
                    continue
                if grounds - self._seen:
                    left[uid] = grounds - self._seen
                    continue
                with suppress(Refused):  # somebody closed it meanwhile
                    withdrawn += [uid] if flows.withdraw(uid, why, now=now(), judged=self._seen) else []
        finally:
            deliver_audit(self._settings, alone=self._alone)
        return any(others - known.get(uid, set()) for uid, others in left.items())


@contextmanager
def one_judge(settings: Settings) -> Iterator[None]:
    """Held over a pass: one that began with older master data never writes after one with newer ones."""
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    with (settings.run_dir / "judging.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _pipeline_knows(settings: Settings, version: str) -> bool:
    """Wait until a running pipeline works with these tables: what it stores later it has judged by them.

    False if it does not within ``WAIT_SECONDS``. A pipeline that is long in one step says nothing for a
    while, but its process is there.
    """
    end = now().timestamp() + WAIT_SECONDS
    while now().timestamp() < end:
        words = status.read(settings.run_dir, "pipeline")
        if words is None or not status.process_lives(words):
            return True
        if words.texts.get("context_version") == version:
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


def _evidence(rules: Sequence[str], since: datetime, *, only_open: bool = False) -> dict[str, set[str]]:
    """Evidence of the alerts of these rules that reach past ``since``, by alert."""
    from sekisho.modules.alerts.models import AlertEvidence, State

    found: dict[str, set[str]] = {}
    rows = AlertEvidence.objects.filter(alert__rule__in=rules, alert__last_time__gte=since)
    if only_open:
        rows = rows.filter(alert__state__in=(State.NEW, State.ACKNOWLEDGED))
    for alert, event in rows.values_list("alert_id", "event_uid").iterator():
        found.setdefault(alert, set()).add(event)
    return found
