"""What ARCHITECTURE.md promises: crash before or after any call, and nothing is lost or doubled.

The stages are the real ones. What happens in parts: ``test_quarantine``; to rejects: ``test_retrying``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from sekisho import normalise
from sekisho.model import Frame
from sekisho.pipeline import Part, Stages, advance
from tests.pipeline.world import CrashError, World


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


def test_a_stage_that_loses_a_record_ends_the_process(tmp_path: Path) -> None:
    """Else the record would be passed over for ever: the offset goes on."""
    world = World(tmp_path / "data")
    world.fill(2)
    stages = world.open()

    def normalise_(frames: Sequence[Frame], part: Part | None) -> normalise.Normalised:
        whole = stages.normalise(frames, part)
        return whole._replace(events=whole.events.slice(1))

    with pytest.raises(RuntimeError, match="12 records came"):
        advance(replace(stages, normalise=normalise_), 1000)
    assert stages.offset() is None
    world.close()
