"""What rules cannot judge is counted with the events: it outlives the process; master data make it less."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from sekisho import first_run, wiring
from sekisho.cli.main import group
from sekisho.cli.status import gather
from sekisho.detect import unjudged
from sekisho.model import Records
from sekisho.modules import database
from sekisho.settings import Settings, load
from tests.pipeline.test_judging import ACCOUNTS, PEOPLE, login

START = wiring.now()
UNKNOWN = ("leaver-attempt", "the account is in no row of the table accounts")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    first_run.prepare(tmp_path / "data", 0)
    settings = load(tmp_path / "data")
    database.start(settings.data)
    database.migrate()
    return settings


def ingest(settings: Settings, hours: int, name: bytes = b"daiki.hayashi") -> None:
    with wiring.offline(settings) as append:
        body = login(START - timedelta(hours=hours)).replace(b"daiki.hayashi", name)
        append(Records("ocsf", "file", "none", "f", "", wiring.now_ns(), (body,)))


def take_in(settings: Settings, tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / f"{name}.csv"
    path.write_text(text)
    done = CliRunner().invoke(group, ["--data", str(settings.data), name, "import", str(path)])
    assert done.exit_code == 0, done.output


def told(settings: Settings) -> str:
    done = CliRunner().invoke(group, ["--data", str(settings.data), "rules", "status", "--json"])
    assert done.exit_code == 0, done.output
    return str(json.loads(done.stdout)["leaver-attempt"]["reason"])


def test_names_and_counters_are_one() -> None:
    counts = {("a-rule", "why: because"): 3, ("b", ""): 1}
    assert unjudged.of_counters(unjudged.to_counters(counts)) == counts
    assert unjudged.of_counters({"okta": {"unjudged:a:b": 1}, "": {"events": 2}}) == {}


def test_what_is_not_judged_is_kept_with_the_events(settings: Settings, tmp_path: Path) -> None:
    take_in(settings, tmp_path, "people", PEOPLE.format(end=""))
    other = ACCOUNTS.replace("daiki.hayashi", "somebody.else")
    take_in(settings, tmp_path, "accounts", other)
    ingest(settings, 30)
    ingest(settings, 30)  # the same once more: folded, not counted again
    ingest(settings, 29)
    ingest(settings, 28, b"somebody.else")
    assert wiring.counted(settings)[UNKNOWN] == 2
    assert "could not judge 2 events: the account is in no row" in told(settings)
    assert [*UNKNOWN, 2] in gather(settings)["unjudged"]
    assert "" not in gather(settings)["sources"]

    take_in(settings, tmp_path, "accounts", ACCOUNTS)
    assert told(settings) == "", "judged again: with these accounts nothing is left"
    assert wiring.counted(settings)[UNKNOWN] == 2, "the counters themselves only grow"
    take_in(settings, tmp_path, "accounts", other.replace("somebody.else", "third"))
    (settings.run_dir / "unjudged.json").write_text("{ torn")
    assert "could not judge 2 events" in told(settings), "without the file everything ever counted is told"


def test_a_batch_that_is_judged_twice_before_it_is_stored_counts_once(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in(settings, tmp_path, "people", PEOPLE.format(end=""))
    take_in(settings, tmp_path, "accounts", ACCOUNTS.replace("daiki.hayashi", "somebody.else"))
    with wiring.appending(settings) as append:
        append(Records("ocsf", "file", "none", "f", "", wiring.now_ns(), (login(wiring.now()),)))
    plane = wiring.open_plane(settings)
    try:
        commit, failing = plane.lake.commit, [OSError("disk"), OSError("disk")]

        def fails_twice(*args: object, **keys: object) -> None:
            if failing:
                raise failing.pop()
            commit(*args, **keys)  # type: ignore[arg-type]

        monkeypatch.setattr(plane.lake, "commit", fails_twice)
        for _ in range(2):
            with pytest.raises(OSError, match="disk"):
                plane.step()
        while plane.step() is not None:
            pass
    finally:
        plane.close()
    assert wiring.counted(settings)[UNKNOWN] == 1
