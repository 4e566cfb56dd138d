"""What ARCHITECTURE.md promises: crash before or after any call, and nothing is lost or doubled.

The stages are the real ones; the content is made here, so that a new rule or source breaks no promise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet
import pytest
from django.db import DatabaseError

from sekisho import detect, enrich, lake, normalise, settings
from sekisho.contract import Context, Hints, Json, Match, Recognise, Rule, Source, Told
from sekisho.journal import JournalReader, JournalWriter, Rejects
from sekisho.model import Finding, Frame, Records, Retry, Severity, Text
from sekisho.modules import database
from sekisho.ocsf import Event
from sekisho.pipeline import Part, Stages, advance
from sekisho.quarantine import Attempts, Runner

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


class CrashError(Exception):
    pass


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
        self._open = [store, reader, rejects]
        context = Context()
        finder = detect.Detector([RULE])
        return Stages(
            read=reader.read,
            normalise=normalise.Normaliser({"door": SOURCE}).batch,
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
        outcome = {
            "events": sorted(
                zip(events["event_uid"].to_pylist(), events["user_name"].to_pylist(), strict=True)
            ),
            "rejects": sorted((str(r.reject.offset), r.reject.code) for r in rejects.rows(limit=10_000)),
            "alerts": sorted(Alert.objects.values_list("uid", "subject", "severity", "count", "state")),
            "evidence": sorted(AlertEvidence.objects.values_list("alert_id", "event_uid")),
        }
        rejects.close()
        return outcome


def crash_at(stages: Stages, name: str, nth: int, after: bool) -> Stages:
    """The same stages, but the ``nth`` call of one of them crashes, before or after it did its work."""
    inner: Callable[..., Any] = getattr(stages, name)
    calls = 0

    def call(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth and not after:
            raise CrashError(name)
        result = inner(*args)
        if calls == nth and after:
            raise CrashError(name)
        return result

    return replace(stages, **{name: call})


def run_through(world: World, size: int, crash: tuple[str, int, bool] | None = None) -> int:
    """Run to the end, restarting once after the crash; gives how often it crashed."""
    stages = world.open()
    if crash is not None:
        stages = crash_at(stages, *crash)
    crashes = 0
    while True:
        try:
            if advance(stages, size) is None:
                return crashes
        except CrashError:
            crashes += 1
            stages = world.open()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    world = World(tmp_path_factory.mktemp("calm"))
    world.fill(6)
    assert run_through(world, 10**6) == 0
    world.close()
    outcome = world.outcome()
    assert len(outcome["events"]) == 24
    assert len(outcome["rejects"]) == 16  # two frames came twice: their bad lines are in the journal twice
    assert len(outcome["alerts"]) == 2
    return outcome


#: ``commit_part`` is used only in parts; see below
STAGES = [field.name for field in fields(Stages) if field.name != "commit_part"]


@pytest.mark.parametrize("size", [1, 7, 20])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", STAGES)
def test_a_crash_loses_and_doubles_nothing(
    tmp_path: Path, expected: dict[str, Any], name: str, after: bool, size: int
) -> None:
    world = World(tmp_path / "data")
    world.fill(6)
    assert run_through(world, size, (name, 2 if size < 20 else 1, after)) == 1
    world.close()
    assert world.outcome() == expected


def asked(frames: Sequence[Frame], part: Part | None) -> list[bytes]:
    """The bodies that are to be normalised."""
    return [
        body for frame in frames for at, body in enumerate(frame.records.bodies) if part is None or at in part
    ]


def poison(stages: Stages, word: bytes) -> Stages:
    """A mapping with a bug: one record always crashes the batch that holds it."""

    def normalise_(frames: Sequence[Frame], part: Part | None) -> normalise.Normalised:
        if any(word in body for body in asked(frames, part)):
            raise CrashError("a bug")
        return stages.normalise(frames, part)

    return replace(stages, normalise=normalise_)


def test_the_one_record_that_crashes_is_found_and_rejected(tmp_path: Path) -> None:
    world = World(tmp_path / "data")
    world.fill(2)
    writer = JournalWriter(world.folder / "journal")
    bad = world.batch(40)
    bodies = (*bad.bodies[:3], b'{"poison":1}', *bad.bodies[3:])
    writer.append([msgspec.structs.replace(bad, bodies=bodies)])
    writer.append([world.batch(41)])
    writer.close()
    crashes = 0
    outcome: dict[str, Any] = {}
    for _ in range(10):
        runner = Runner(
            poison(world.open(), b"poison"), Attempts(tmp_path / "attempts.json"), max_records=1000, crashes=3
        )
        try:
            while runner.step() is not None:
                pass
            break
        except CrashError:
            crashes += 1
    assert crashes == 3
    world.close()
    outcome = world.outcome()
    assert [place for place, code in outcome["rejects"] if code == "crashes"] == ["2:3"]
    assert len(outcome["events"]) == 16


def test_a_record_that_kills_the_process_is_found_over_restarts(tmp_path: Path) -> None:
    """Each death of the process halves what is begun next; what went well is stored on the way."""
    world = World(tmp_path / "data")
    world.fill(3)

    class DeadError(BaseException):
        """As a kill: nothing in the process sees it."""

    def deadly(stages: Stages) -> Stages:
        def normalise_(frames: Sequence[Frame], part: Part | None) -> normalise.Normalised:
            if any(b"00:01:03" in body or b"02:01:03" in body for body in asked(frames, part)):
                raise DeadError
            return stages.normalise(frames, part)

        return replace(stages, normalise=normalise_)

    deaths = 0
    for _ in range(40):
        runner = Runner(
            deadly(world.open()), Attempts(tmp_path / "attempts.json"), max_records=1000, crashes=3
        )
        try:
            while runner.step() is not None:
                pass
            break
        except DeadError:
            deaths += 1
    assert 3 < deaths < 10
    world.close()
    outcome = world.outcome()
    assert [place for place, code in outcome["rejects"] if code == "crashes"] == ["1:3"]
    assert len(outcome["events"]) == 11


@pytest.mark.parametrize("error", [OSError("disk"), Retry(1, "full"), DatabaseError("locked")])
def test_the_surroundings_blame_no_record(tmp_path: Path, error: Exception) -> None:
    world = World(tmp_path / "data")
    world.fill(2)

    def failing(stages: Stages) -> Stages:
        def alert(_: object) -> None:
            raise error

        return replace(stages, alert=alert)

    attempts = Attempts(tmp_path / "attempts.json")
    for _ in range(8):
        runner = Runner(
            failing(world.open()), attempts, max_records=1000, crashes=3, blameless=(DatabaseError,)
        )
        with pytest.raises(type(error)):
            runner.step()
    runner = Runner(world.open(), attempts, max_records=1000, crashes=3)
    while runner.step() is not None:
        pass
    world.close()
    outcome = world.outcome()
    assert [code for _, code in outcome["rejects"] if code == "crashes"] == []
    assert len(outcome["events"]) == 8


def test_a_fault_that_even_an_empty_part_meets_blames_no_record(tmp_path: Path) -> None:
    world = World(tmp_path / "data")
    world.fill(1)

    def broken(stages: Stages) -> Stages:
        def detect_(*_: object) -> list[Finding]:
            raise CrashError("always")

        return replace(stages, detect=detect_)

    for _ in range(5):
        runner = Runner(
            broken(world.open()), Attempts(tmp_path / "attempts.json"), max_records=1000, crashes=3
        )
        with pytest.raises(CrashError):
            runner.step()
    runner = Runner(world.open(), Attempts(tmp_path / "attempts.json"), max_records=1000, crashes=3)
    while runner.step() is not None:
        pass
    world.close()
    assert [code for _, code in world.outcome()["rejects"] if code == "crashes"] == []


def test_a_batch_that_is_too_much_only_as_a_whole_goes_through_in_parts(tmp_path: Path) -> None:
    world = World(tmp_path / "data")
    world.fill(6)

    def greedy(stages: Stages) -> Stages:
        def normalise_(frames: Sequence[Frame], part: Part | None) -> normalise.Normalised:
            if len(asked(frames, part)) > 4:
                raise CrashError("no memory")
            return stages.normalise(frames, part)

        return replace(stages, normalise=normalise_)

    crashes = 0
    for _ in range(10):
        runner = Runner(
            greedy(world.open()), Attempts(tmp_path / "attempts.json"), max_records=1000, crashes=3
        )
        try:
            while runner.step() is not None:
                pass
            break
        except CrashError:
            crashes += 1
    assert crashes == 3
    world.close()
    outcome = world.outcome()
    assert [code for _, code in outcome["rejects"] if code == "crashes"] == []
    assert len(outcome["events"]) == 24


def test_a_damaged_frame_is_reported_the_rest_goes_through(tmp_path: Path) -> None:
    world = World(tmp_path / "data")
    world.fill(3)
    (segment,) = (world.folder / "journal").glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(bytes(data))
    run_through(world, 100)
    world.close()
    outcome = world.outcome()
    assert [code for _, code in outcome["rejects"] if code == "damaged"] == ["damaged"]
    assert len(outcome["events"]) >= 8
