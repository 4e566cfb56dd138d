"""A record that crashes the pipeline is found and set aside; nothing else is lost, doubled or blamed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from django.db import DatabaseError

from sekisho import normalise
from sekisho.journal import JournalWriter
from sekisho.model import Finding, Frame, Retry
from sekisho.pipeline import Part, Stages
from sekisho.quarantine import Attempts, Runner
from tests.pipeline.world import CRASHES, CrashError, DeadError, Fault, World, asked, poison

Calls = Callable[[type[BaseException], int], list[str]]


def add_poison(world: World) -> None:
    """A good frame, one with a record that is poison, a shipper's retry of it, a good one."""
    writer = JournalWriter(world.folder / "journal")
    bad = world.batch(40)
    bodies = (*bad.bodies[:3], b'{"poison":1}', *bad.bodies[3:])
    for records in (world.batch(1), msgspec.structs.replace(bad, bodies=bodies), bad, world.batch(41)):
        writer.append([records])
    writer.close()


def to_the_end(runner: Runner) -> None:
    while runner.step() is not None:
        pass


def in_parts(
    world: World, error: type[BaseException], *, size: int = 1000, fault: Fault | None = None
) -> int:
    """Run to the end with a record that is poison; gives how often the process died."""
    fault = fault or Fault(-1)
    for deaths in range(100):
        stages = fault.stages(poison(world.open(), b"poison", error))
        runner = world.runner(stages, fault.attempts(world.folder / "attempts.json"), size=size)
        try:
            to_the_end(runner)
        except (CrashError, DeadError):
            continue
        world.close()
        return deaths
    raise AssertionError("it never came to an end")


@pytest.mark.parametrize("error", [CrashError, DeadError])
def test_the_one_record_that_crashes_is_found_and_rejected(
    tmp_path: Path, error: type[BaseException]
) -> None:
    """Each death of the process halves what is begun next; what went well is stored on the way."""
    world = World(tmp_path / "data")
    add_poison(world)
    deaths = in_parts(world, error)
    assert deaths == CRASHES if error is CrashError else 2 * CRASHES < deaths < 4 * CRASHES
    outcome = world.outcome()
    assert [place for place, code in outcome["rejects"] if code == "crashes"] == ["1:3"]
    assert len(outcome["events"]) == 12
    assert outcome["counters"] == {"door": {"events": 12, "rejects": 9, "duplicates": 4}}


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    world = World(tmp_path_factory.mktemp("poisoned"))
    add_poison(world)
    in_parts(world, CrashError)
    return world.outcome()


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Calls:
    """The names of all calls of a run, by what the poison does and the size of batches."""

    known: dict[tuple[type[BaseException], int], list[str]] = {}

    def run(error: type[BaseException], size: int) -> list[str]:
        if (error, size) in known:
            return known[error, size]
        world = World(tmp_path_factory.mktemp("calls"))
        add_poison(world)
        fault = Fault(-1)
        in_parts(world, error, size=size, fault=fault)
        return known.setdefault((error, size), fault.calls)

    return run


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", [*(field.name for field in fields(Stages)), "save"])
def test_a_kill_while_a_batch_is_taken_in_parts_loses_doubles_and_blames_nothing(
    tmp_path: Path, poisoned: dict[str, Any], calls: Calls, name: str, after: bool, size: int
) -> None:
    """Here behind the poison; ``slow``: at every call."""
    places = [at for at, call in enumerate(calls(CrashError, size), 1) if call == name]
    check_kills(tmp_path, poisoned, [places[2 * len(places) // 3]], after, size)


def check_kills(
    folder: Path,
    expected: dict[str, Any],
    places: Sequence[int],
    after: bool,
    size: int,
    *,
    bug: type[BaseException] = CrashError,
    fault: type[BaseException] = DeadError,
) -> None:
    for at in places:
        world = World(folder / f"{at}")
        add_poison(world)
        in_parts(world, bug, size=size, fault=Fault(at, after=after, error=fault))
        assert world.outcome() == expected, f"call {at}"


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("bug", [CrashError, DeadError], ids=["bug", "deadly"])
@pytest.mark.parametrize("fault", [CrashError, DeadError], ids=["exception", "kill"])
def test_a_crash_at_any_call_while_a_batch_is_taken_in_parts(
    tmp_path: Path,
    poisoned: dict[str, Any],
    calls: Calls,
    size: int,
    after: bool,
    bug: type[BaseException],
    fault: type[BaseException],
) -> None:
    """Each case takes every 24th call, beginning with another one: a place is tried in one of the cases."""
    cases = product([1, 7, 1000], [False, True], [CrashError, DeadError], [CrashError, DeadError])
    first = list(cases).index((size, after, bug, fault))
    places = range(1 + first, len(calls(bug, size)) + 1, 24)
    check_kills(tmp_path, poisoned, places, after, size, bug=bug, fault=fault)


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
        runner = world.runner(failing(world.open()), attempts)
        with pytest.raises(type(error)):
            runner.step()
    runner = world.runner(world.open(), attempts)
    to_the_end(runner)
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
        runner = world.runner(broken(world.open()))
        with pytest.raises(CrashError):
            to_the_end(runner)
    runner = world.runner(world.open())
    to_the_end(runner)
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
        runner = world.runner(greedy(world.open()))
        try:
            to_the_end(runner)
            break
        except CrashError:
            crashes += 1
    assert crashes == 3
    world.close()
    outcome = world.outcome()
    assert [code for _, code in outcome["rejects"] if code == "crashes"] == []
    assert len(outcome["events"]) == 24


@pytest.mark.parametrize("name", ["detect", "commit_part"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_good_record_outlives_kills_while_it_is_tried(tmp_path: Path, name: str, after: bool) -> None:
    """One kill fewer than a record may cost, each while that record is alone, convicts nobody."""
    world = World(tmp_path / "data")
    add_poison(world)
    kills = 0

    def unlucky(stages: Stages) -> Stages:
        inner = getattr(stages, name)

        def call(events: pa.Table, *rest: Any) -> Any:
            nonlocal kills
            alone = events.num_rows == 1 and kills < CRASHES - 1
            kills += alone
            if alone and not after:
                raise DeadError
            result = inner(events, *rest)
            if alone:
                raise DeadError
            return result

        changed: dict[str, Any] = {name: call}
        return replace(stages, **changed)

    for _ in range(30):
        runner = world.runner(unlucky(poison(world.open(), b"poison")))
        try:
            to_the_end(runner)
            break
        except (CrashError, DeadError):
            continue
    # what died after its commit is stored, so it is not tried again
    assert kills == (1 if after and name == "commit_part" else CRASHES - 1)
    world.close()
    outcome = world.outcome()
    assert [place for place, code in outcome["rejects"] if code == "crashes"] == ["1:3"]
    assert outcome["counters"] == {"door": {"events": 12, "rejects": 9, "duplicates": 4}}


def test_each_attempt_is_a_step_of_its_own(tmp_path: Path) -> None:
    """So the process tells how it is after each, and is not taken for hung."""
    world = World(tmp_path / "data")
    add_poison(world)
    for _ in range(CRASHES):
        with pytest.raises(CrashError):
            world.runner(poison(world.open(), b"poison")).step()
    fault = Fault(-1)
    runner = world.runner(fault.stages(poison(world.open(), b"poison")))
    steps = []
    while True:
        before = fault.calls.count("normalise")
        step = runner.step()
        assert fault.calls.count("normalise") - before <= 1
        if step is None:
            break
        assert step.records == step.events + step.rejects + step.duplicates
        assert step.oldest > 0
        steps.append(step)
    assert not runner.in_parts
    assert sum(step.records for step in steps) == 6 + 7 + 6 + 6
    assert sum(step.events for step in steps) == 12
    assert max(step.upto for step in steps) == 3
    world.close()


def test_a_lake_put_back_from_a_copy_gets_the_parts_it_lacks(tmp_path: Path) -> None:
    world = World(tmp_path / "data")
    add_poison(world)
    for _ in range(CRASHES):
        with pytest.raises(CrashError):
            world.runner(poison(world.open(), b"poison")).step()
    runner = world.runner(poison(world.open(), b"poison"))
    while world.store.commits() < 3:
        assert runner.step() is not None
    world.close()
    shutil.rmtree(world.folder / "lake")
    in_parts(world, CrashError)
    outcome = world.outcome()
    assert len(outcome["events"]) == 12
    assert outcome["counters"] == {"door": {"events": 12, "rejects": 9, "duplicates": 4}}
