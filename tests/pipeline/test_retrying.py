"""Rejects that are tried again: a crash at any step forgets, loses and doubles none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.db import DatabaseError

from sekisho.journal import JournalWriter
from sekisho.model import Records, Retry
from sekisho.pipeline import Stages
from tests.pipeline.world import CRASHES, CrashError, DeadError, Fault, World, poison

STEPS = ("begin_retry", "normalise", "fold", "context", "enrich", "detect", "alert", "plan")
LAST = ("commit_part", "carry_out", "offset")


class BusyError(CrashError, DatabaseError):
    """The surroundings' fault: the process ends, no record is to blame."""


ERRORS = [CrashError, DeadError, BusyError]


def journal(world: World, *records: Records) -> None:
    """Journal them, take them all the way, and ask for a retry of all rejects as ``door``."""
    writer = JournalWriter(world.folder / "journal")
    for batch in records:
        writer.append([batch])
    writer.close()
    runner = world.runner(world.open())
    while runner.step() is not None:
        pass
    world.rejects.ask_retry("", "", "door")


def as_gate(records: Records) -> Records:
    return msgspec.structs.replace(records, source="gate")


def fill(world: World) -> None:
    """Of three frames two came under the wrong label; one of these holds what is stored already."""
    journal(world, world.batch(0), as_gate(world.batch(1)), as_gate(world.batch(0)))


def retry(world: World, fault: Fault | None = None, bug: type[BaseException] = DeadError) -> int:
    """Until nothing is marked; gives how often the process died."""
    fault = fault or Fault(-1)
    for deaths in range(50):
        stages = fault.stages(poison(world.open(), b"poison", bug))
        fault.rejects(world.rejects)
        try:
            retrier = world.retrier(stages)
            while retrier.step(500):
                pass
        except (CrashError, DeadError):
            continue
        assert world.rejects.to_retry(10) == []
        world.close()
        return deaths
    raise AssertionError("it never came to an end")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    world = World(tmp_path_factory.mktemp("calm"))
    fill(world)
    assert world.counters() == {"door": {"events": 4, "rejects": 2}, "gate": {"rejects": 12}}
    assert retry(world) == 0
    outcome = world.outcome()
    assert outcome["counters"] == {"door": {"events": 8, "rejects": 6, "duplicates": 4}}
    assert len(outcome["rejects"]) == 6
    return outcome


def check(folder: Path, expected: dict[str, Any], fault: Fault) -> None:
    world = World(folder)
    fill(world)
    retry(world, fault)
    assert world.outcome() == expected


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", [*STEPS, *LAST])
def test_a_kill_forgets_and_doubles_nothing(
    tmp_path: Path, expected: dict[str, Any], name: str, after: bool
) -> None:
    world = World(tmp_path / "calm")
    fill(world)
    calm = Fault(-1)
    retry(world, calm)
    places = [at for at, call in enumerate(calm.calls, 1) if call == name]
    check(tmp_path / "data", expected, Fault(places[len(places) // 2], after=after))


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", ERRORS)
def test_a_crash_at_any_call(
    tmp_path: Path, expected: dict[str, Any], error: type[BaseException], after: bool
) -> None:
    """Each error takes every third call, beginning with another one; together they take each call."""
    world = World(tmp_path / "calm")
    fill(world)
    calm = Fault(-1)
    retry(world, calm)
    for at in range(1 + ERRORS.index(error), len(calm.calls) + 1, len(ERRORS)):
        check(tmp_path / f"{at}", expected, Fault(at, after=after, error=error))


@pytest.mark.parametrize("bug", [CrashError, DeadError])
def test_a_record_that_crashes_the_retry_stays_a_reject_and_holds_up_no_other(
    tmp_path: Path, bug: type[BaseException]
) -> None:
    world = World(tmp_path / "data")
    bad = world.batch(1)
    bodies = (*bad.bodies[:2], b'{"poison":1}', *bad.bodies[2:])
    journal(
        world,
        as_gate(msgspec.structs.replace(bad, bodies=bodies)),
        as_gate(world.batch(2)),
    )
    deaths = retry(world, bug=bug)
    assert deaths == (CRASHES + 1 if bug is DeadError else 0)
    outcome = world.outcome()
    assert [place for place, code in outcome["rejects"] if code == "crashes"] == ["0:2"]
    assert outcome["counters"] == {"door": {"events": 8, "rejects": 4}, "gate": {"rejects": 1}}
    world.open()
    row = world.rejects.rows(code="crashes")[0]
    assert "it was rejected before" in row.reject.why
    assert row.received_at == bad.received_at
    # others of its frame are tried without touching it
    world.rejects.ask_retry("door", "", "")
    assert retry(world) == 0
    assert world.outcome() == outcome


def test_faults_of_the_surroundings_cost_no_attempt(tmp_path: Path, expected: dict[str, Any]) -> None:
    world = World(tmp_path / "data")
    fill(world)

    def full(stages: Stages) -> Stages:
        def commit_part(*_: object) -> None:
            raise Retry(1, "the disk is full")

        return replace(stages, commit_part=commit_part)

    for _ in range(3 * CRASHES):
        retrier = world.retrier(full(world.open()))
        with pytest.raises(Retry):
            retrier.step(500)
    assert {row.tried for row in world.rejects.to_retry(100)} == {0}
    assert retry(world) == 0
    assert world.outcome() == expected


def test_a_frame_that_cannot_be_read_keeps_its_rejects(tmp_path: Path) -> None:
    world = World(tmp_path / "data")
    fill(world)
    stages = world.open()
    retrier = world.retrier(stages)
    retrier._frame = lambda _: None
    while retrier.step(500):
        pass
    assert {row.reject.code for row in world.rejects.rows()} == {"damaged"}
    assert {row.received_at > 0 for row in world.rejects.rows()} == {True}
    world.close()
    assert world.outcome()["counters"] == {"door": {"events": 4, "rejects": 2}, "gate": {"rejects": 12}}
