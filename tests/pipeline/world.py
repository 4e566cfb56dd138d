"""A data folder with the real stages, and crashes at any call of them.

The content is made here, so that a new rule or source breaks no promise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet
from django.db import DatabaseError

from sekisho import detect, enrich, lake, normalise, settings
from sekisho.contract import Context, Hints, Json, Match, Recognise, Rule, Source, Told
from sekisho.journal import JournalReader, JournalWriter, Rejects
from sekisho.lake.manifest import Manifest
from sekisho.model import Frame, Offset, Records, Severity, Text
from sekisho.modules import database
from sekisho.ocsf import Event
from sekisho.pipeline import Part, Stages
from sekisho.quarantine import Attempts, Runner
from sekisho.wiring.retrying import Retrier

COUNTED = ("events", "rejects", "duplicates")
CRASHES = 3
NOW = datetime(2026, 5, 14, 3, 0, tzinfo=UTC)
BOTH = Text(ja="試験", en="test")


class Line(msgspec.Struct):
    at: datetime
    user: str
    ok: bool


def to_event(line: Line, hints: Hints) -> Event:
    return Event(
        time=line.at, class_uid=3002, activity_id=1, user_name=line.user, status_id=1 if line.ok else 2
    )


SOURCE = Source(
    id="door",
    title=BOTH,
    vendor="Example",
    product="Door",
    decode=Json(Line),
    map=to_event,
    recognise=Recognise(marks=(b'"user"',)),
    reference="https://door.example/log",
    switch_on=BOTH,
    advisory=("A8",),
)


class Pass(msgspec.Struct):
    at: datetime
    gate: str


def to_pass(line: Pass, hints: Hints) -> Event:
    return Event(time=line.at, class_uid=3002, activity_id=1, user_name=line.gate, status_id=1)


#: Another source, for records that come under the wrong label.
GATE = Source(
    id="gate",
    title=BOTH,
    vendor="Example",
    product="Gate",
    decode=Json(Pass),
    map=to_pass,
    recognise=Recognise(marks=(b'"gate"',)),
    reference="https://gate.example/log",
    switch_on=BOTH,
    advisory=("A8",),
)


def tell(match: Match) -> Told:
    return Told(f"user:{match['user_name']}", "day", Severity.HIGH, Text(ja="失敗", en="failed"))


RULE = Rule(
    id="door_failed",
    title=BOTH,
    advisory=("A8",),
    attack=("T1078",),
    query="SELECT e.* FROM events e WHERE e.status_id = 2",
    tell=tell,
    why=BOTH,
    todo=(BOTH,),
    columns=("status_id",),
)


P = ParamSpec("P")
T = TypeVar("T")


class CrashError(Exception):
    """A bug."""


class DeadError(BaseException):
    """As a kill: nothing in the process sees it."""


class World:
    """One data folder; ``open`` gives fresh stages as after a restart of the process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: list[Any] = []
        database.start(folder)
        database.migrate()

    def fill(self, frames: int) -> None:
        writer = JournalWriter(self.folder / "journal")
        for i in range(frames):
            writer.append([self.batch(i)])
            if i % 3 == 2:
                writer.append([self.batch(i)])  # a shipper's retry after a lost acknowledgement
        writer.close()

    @staticmethod
    def batch(i: int) -> Records:
        def line(j: int) -> bytes:
            at = f"2026-05-14T02:{i:02d}:{j:02d}Z"
            return json.dumps({"at": at, "user": f"u{j % 2}", "ok": (i + j) % 4 != 0}).encode()

        bodies = (*(line(j) for j in range(4)), b"{ this is no JSON", b'{"at":"2026-05-14T02:00:00Z"}')
        return Records("door", "ndjson", "none", "192.0.2.9", "t", int(NOW.timestamp() * 1e9) + i, bodies)

    def open(self) -> Stages:
        from sekisho.modules.alerts import flows

        self.close()
        reader = JournalReader(self.folder / "journal")
        store = lake.Lake(self.folder / "lake", settings.Lake(), now=lambda: NOW)
        rejects = Rejects(self.folder / "journal")
        self.store, self.reader, self.rejects = store, reader, rejects
        self._open = [store, reader, rejects]
        context = Context()
        finder = detect.Detector([RULE])
        return Stages(
            read=reader.read,
            normalise=normalise.Normaliser({"door": SOURCE, "gate": GATE}).batch,
            reject=lambda found, at, first, last, part: rejects.settle(
                found, at, (first, last), (part.start, part.stop - 1)
            ),
            fold=store.fold,
            context=lambda: context,
            enrich=enrich.Enricher(settings.Enrich(), b"k" * 32, {}).batch,
            detect=finder.run,
            alert=lambda found: flows.raise_alerts(found, now=NOW),
            commit=store.commit,
            commit_part=lambda events, upto, counts: store.commit(events, upto, counts, late=True),
            offset=store.offset,
        )

    def runner(self, stages: Stages, attempts: Attempts | None = None, *, size: int = 1000) -> Runner:
        """As a fresh process has it: what it knows of attempts is what stands in the file."""
        return Runner(
            stages,
            attempts or Attempts(self.folder / "attempts.json"),
            commits=self.store.commits,
            max_records=size,
            crashes=CRASHES,
            blameless=(DatabaseError,),
        )

    def retrier(self, stages: Stages) -> Retrier:
        return Retrier(
            stages,
            self.rejects,
            self.reader.frame,
            commits=self.store.commits,
            crashes=CRASHES,
            blameless=(DatabaseError,),
        )

    def close(self) -> None:
        for thing in self._open:
            thing.close()
        self._open = []

    def outcome(self) -> dict[str, Any]:
        """What a user sees in the end: events, rejects, alerts with their evidence, counters."""
        from sekisho.modules.alerts.models import Alert, AlertEvidence

        files = sorted((self.folder / "lake" / "hot").glob("*.parquet"))
        events = pa.concat_tables(
            [pa.parquet.read_table(path) for path in files], promote_options="permissive"
        )
        rejects = Rejects(self.folder / "journal")
        outcome: dict[str, Any] = {
            "events": sorted(
                zip(events["event_uid"].to_pylist(), events["user_name"].to_pylist(), strict=True)
            ),
            "rejects": sorted((str(r.reject.offset), r.reject.code) for r in rejects.rows(limit=10_000)),
            "alerts": sorted(Alert.objects.values_list("uid", "subject", "severity", "count", "state")),
            "evidence": sorted(AlertEvidence.objects.values_list("alert_id", "event_uid")),
            "counters": self.counters(),
        }
        assert len({uid for uid, _ in outcome["events"]}) == len(outcome["events"])
        told = {"events": len(outcome["events"]), "rejects": rejects.total()}
        rejects.close()
        assert {name: sum(by.get(name, 0) for by in outcome["counters"].values()) for name in told} == told
        places = {str(Offset.unpack(place)) for place in events["journal_offset"].to_pylist()}
        places &= {place for place, _ in outcome["rejects"]}
        assert not places, "both event and reject"
        return outcome

    def counters(self) -> dict[str, dict[str, int]]:
        """Those that count records, by source; what was counted down to nothing is left out."""
        held = Manifest(self.folder / "lake", read_only=True)
        counted = {
            source: {name: n for name, n in by.items() if name in COUNTED and n}
            for source, by in held.counters().items()
        }
        held.close()
        assert all(n > 0 for by in counted.values() for n in by.values())
        return {source: by for source, by in counted.items() if by}


class Fault:
    """The process is killed, or an exception raised, once: before or after the ``at``-th call of anything."""

    def __init__(self, at: int, *, after: bool = False, error: type[BaseException] = DeadError) -> None:
        self._at, self._after, self._error = at, after, error
        self.calls: list[str] = []

    def around(self, name: str, inner: Callable[P, T]) -> Callable[P, T]:
        def call(*args: P.args, **named: P.kwargs) -> T:
            self.calls.append(name)
            now = len(self.calls) == self._at
            if now and not self._after:
                raise self._error(name)
            result = inner(*args, **named)
            if now:
                raise self._error(name)
            return result

        return call

    def stages(self, stages: Stages) -> Stages:
        names = [field.name for field in fields(Stages)]
        return replace(stages, **{name: self.around(name, getattr(stages, name)) for name in names})

    def rejects(self, rejects: Rejects) -> None:
        for name in ("begin_retry", "take_back", "plan", "carry_out", "end_retry"):
            rejects.__dict__[name] = self.around(name, getattr(rejects, name))

    def attempts(self, path: Path) -> Attempts:
        attempts = Attempts(path)
        attempts.__dict__["save"] = self.around("save", attempts.save)
        return attempts


def asked(frames: Sequence[Frame], part: Part | None) -> list[bytes]:
    """The bodies that are to be normalised."""
    return [
        body for frame in frames for at, body in enumerate(frame.records.bodies) if part is None or at in part
    ]


def poison(stages: Stages, word: bytes, error: type[BaseException] = CrashError) -> Stages:
    """A mapping with a bug: one record always crashes (or kills) whatever holds it."""

    def normalise_(frames: Sequence[Frame], part: Part | None) -> normalise.Normalised:
        if any(word in body for body in asked(frames, part)):
            raise error("a bug")
        return stages.normalise(frames, part)

    return replace(stages, normalise=normalise_)
