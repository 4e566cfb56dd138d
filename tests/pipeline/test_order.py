"""I2: imports and events in whatever order end in the same alerts: evidence, words, gravity."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sekisho import first_run, wiring
from sekisho.model import Records
from sekisho.modules import database
from sekisho.settings import Settings, load
from tests.pipeline.test_judging import ACCOUNTS, PEOPLE, login

pytestmark = pytest.mark.slow

#: noon of one day in Tokyo, some days ago, so that all logins are of one alert
NOON = datetime.now(tz=UTC).replace(hour=3, minute=0, second=0, microsecond=0) - timedelta(days=5)
LOGINS = [NOON, NOON + timedelta(hours=2), NOON + timedelta(hours=4)]

#: what is done: a login arrives, or a file is imported
Step = tuple[str, str]
EVENTS: list[Step] = [("login", str(number)) for number in range(len(LOGINS))]
#: in this order among themselves: an end date, its correction to between two logins, another name
IMPORTS: list[Step] = [
    ("people", PEOPLE.format(end=(NOON - timedelta(days=20)).isoformat())),
    ("accounts", ACCOUNTS),
    ("people", PEOPLE.format(end=(NOON + timedelta(hours=1)).isoformat()).replace("林 大樹", "林 太樹")),
]


def opened(folder: Path) -> Settings:
    first_run.prepare(folder, 0)
    settings = load(folder)
    database.start(settings.data)
    database.migrate()
    return settings


def do(settings: Settings, step: Step) -> None:
    what, value = step
    if what == "login":
        body = login(LOGINS[int(value)])
        with wiring.offline(settings) as append:
            append(Records("ocsf", "file", "none", "f", "", wiring.now_ns(), (body,)))
        return
    from sekisho.cli.master import registers
    from sekisho.modules.ledger import flows

    known = {"person_id": frozenset({"emp0001"}), "people": frozenset({"emp0001"})}
    upload = flows.Upload(value.encode(), f"{what}.csv", "tester", known)
    outcome = flows.import_file(registers(settings.data)[what], upload, now=wiring.now())
    assert not outcome.problems, outcome.problems
    wiring.judge_again(settings)


def said(settings: Settings) -> list[Any]:
    from sekisho.modules.alerts.models import Alert, State

    fields = [f.name for f in Alert._meta.concrete_fields if f.name not in ("created", "updated")]
    return [
        (
            [getattr(alert, name) for name in fields],
            list(alert.evidence.values_list("event_uid", "time", "source", "facts")),
        )
        for alert in Alert.objects.exclude(state=State.CLOSED).order_by("uid")
    ]


def after(folder: Path, steps: Sequence[Step]) -> list[Any]:
    settings = opened(folder)
    for step in steps:
        do(settings, step)
    return said(settings)


def orders(number: int) -> list[tuple[Step, ...]]:
    """Some interleavings: events in any order, imports in theirs."""
    found = set()
    for places in itertools.combinations(range(len(EVENTS) + len(IMPORTS)), len(IMPORTS)):
        for events in itertools.permutations(EVENTS):
            rest, files = iter(events), iter(IMPORTS)
            found.add(
                tuple(next(files) if n in places else next(rest) for n in range(len(EVENTS) + len(IMPORTS)))
            )
    every = sorted(found)
    return [(*EVENTS, *IMPORTS), *random.Random(2).sample(every, number)]


def test_any_order_of_imports_and_events_gives_the_same_alerts(tmp_path: Path) -> None:
    expected = after(tmp_path / "early", (*IMPORTS, *EVENTS))
    [(fields, evidence)] = expected
    assert len(evidence) == 2, "the login before the corrected end date is none"
    assert any("林 太樹" in str(value) for value in fields)
    for number, steps in enumerate(orders(3)):
        assert after(tmp_path / str(number), steps) == expected, [step[0] for step in steps]
