"""What a person does with the store: counts, export, saved searches, hunt, tail; all recorded."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from sekisho import first_run, wiring
from sekisho.cli.main import group
from sekisho.journal import JournalReader, Rejects
from sekisho.lake import Lake, reader
from sekisho.model import Refused
from sekisho.settings import load
from tests.lake import sample

NOW = datetime(2026, 5, 20, tzinfo=UTC)
UID = sample.uid("event 50")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    first_run.prepare(folder, 0)
    wiring.migrate(load(folder))
    with Lake(folder / "lake", load(folder).lake, now=lambda: NOW) as lake:
        for number in range(2):
            lake.commit(sample.batch(number * 100, 100, src_endpoint_ip="203.0.113.7"), number)
    return folder


def call(data: Path, *args: str, code: int = 0) -> Result:
    done = CliRunner().invoke(group, ["--data", str(data), *args])
    assert done.exit_code == code, (done.output, done.exception)
    return done


def told(data: Path) -> list[dict[str, Any]]:
    frames = JournalReader(load(data).journal_dir).read(0, 10_000).frames
    bodies = [body for frame in frames if frame.records.source == "sekisho" for body in frame.records.bodies]
    return [json.loads(body) for body in bodies]


# -- recorded ----------------------------------------------------------------------------------------------


def test_each_question_is_recorded_before_and_after(data: Path) -> None:
    call(
        data,
        "search",
        "user:emp0007",
        "--since",
        "2026-05-14",
        "--purpose",
        "drill",
        "--case",
        "C-7",
        "--json",
    )
    call(data, "sql", "SELECT count(*) FROM events")
    first, last, sql, _ = told(data)
    assert [first["metadata"]["event_code"], last["metadata"]["event_code"]] == [
        "search.asked",
        "search.answered",
    ]
    assert first["metadata"]["correlation_uid"] == last["metadata"]["correlation_uid"]
    assert first["actor"]["user"] == {
        "name": "root" if os.getuid() == 0 else wiring.me().name,
        "uid": str(os.getuid()),
    }
    assert first["query_info"]["query_string"] == "user:emp0007"
    assert first["unmapped"]["question"]["since"] == "2026-05-14"
    assert (first["unmapped"]["purpose"], first["unmapped"]["case"]) == ("drill", "C-7")
    assert last["count"] == 5
    assert sql["query_info"]["query_string"] == "SELECT count(*) FROM events"


def test_the_record_is_sound_ocsf_and_searchable(data: Path) -> None:
    call(data, "search", "user:emp0007", "--count")
    (data / "lake").rename(data / "lake.before")  # its offsets were made up
    wiring.drain(load(data))
    rejects = [row.reject.source for row in Rejects(load(data).journal_dir).rows()]
    assert rejects == ["journal"], "the frames before, which the lake made up; no event of ours"
    found = call(data, "search", "source:sekisho code:search.answered", "--json").stdout.splitlines()
    event = json.loads(found[0])
    assert event["class_uid"] == 6005
    assert event["actor_user_uid"] == str(os.getuid())
    assert "user:emp0007" in event["raw"]


def test_what_cannot_be_recorded_is_not_answered(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither journal nor outbox take it: no row is shown."""
    journal = data / "journal"
    for path in journal.iterdir():
        path.unlink()
    journal.rmdir()
    journal.write_text("in the way")
    done = CliRunner().invoke(group, ["--data", str(data), "search", "user:emp0007", "--json"])
    assert done.exit_code == 0, "the journal cannot take it: it is owed in the database"
    assert len(done.stdout.splitlines()) == 5
    database = data / "console.sqlite3"
    from django.db import connections

    connections.close_all()
    for path in data.glob("console.sqlite3*"):
        path.unlink()
    database.mkdir()
    done = CliRunner().invoke(group, ["--data", str(data), "search", "user:emp0007", "--json"])
    connections.close_all()
    assert isinstance(done.exception, Refused)
    assert "cannot be recorded" in str(done.exception)
    assert done.stdout == ""


def test_a_purpose_may_be_required(data: Path) -> None:
    with (data / "sekisho.toml").open("a") as out:
        out.write("require_purpose = true\n")
    text = (data / "sekisho.toml").read_text()
    (data / "sekisho.toml").write_text(
        text.replace("[access]\n", "").replace("require", "[access]\nrequire", 1)
    )
    (data / "sekisho.toml").write_text("[access]\nrequire_purpose = true\n")
    done = CliRunner().invoke(group, ["--data", str(data), "search", "user:emp0007"])
    assert "must say what it is for" in str(done.exception)
    call(data, "search", "user:emp0007", "--case", "C-1")


# -- counts, around, in full -------------------------------------------------------------------------------


def test_histogram_and_top(data: Path) -> None:
    out = call(data, "search", "", "--histogram", "1m").stdout
    assert "2026-05-14 09:00:00 JST" in out
    assert "█" in out
    rows = [json.loads(line) for line in call(data, "search", "--histogram", "--json").stdout.splitlines()]
    assert sum(row["n"] for row in rows) == 200
    held = call(data, "search", "--histogram", "1m", "--by", "user_name", "--csv").stdout.splitlines()
    assert held[0] == "time,n,by"
    top = call(data, "search", "--top", "user,src_endpoint_ip", "--limit", "3").stdout
    assert "emp00" in top
    assert "203.0.113.7" in top
    with pytest.raises(Refused, match="did you mean"):
        CliRunner().invoke(group, ["--data", str(data), "search", "--top", "usr"], catch_exceptions=False)


def test_around_an_event(data: Path) -> None:
    near = call(data, "search", "--around", UID, "--minutes", "1", "--json").stdout.splitlines()
    assert len(near) == 111, "50 before, itself, 60 after"
    same = call(
        data, "search", "--around", UID, "--minutes", "1", "--same", "user", "--json"
    ).stdout.splitlines()
    assert {json.loads(line)["user_name"] for line in same} == {"emp0010"}
    for args, why in (
        (["--around", "nope"], "no event nope"),
        (["--around", UID, "--same", "session"], "names no"),
    ):
        with pytest.raises(Refused, match=why):
            CliRunner().invoke(group, ["--data", str(data), "search", *args], catch_exceptions=False)


def test_the_event_in_full_names_its_evidence(data: Path) -> None:
    out = call(data, "search", f"event_uid:{UID}").stdout
    assert "raw (the record as received)" in out
    assert "evidence: journal frame 0, record 50" in out


# -- export ------------------------------------------------------------------------------------------------


def _rows_of(path: Path) -> int:
    if path.suffix == ".parquet":
        return int(pq.read_table(path).num_rows)
    if path.suffix == ".csv":
        return len(list(csv.DictReader(path.open())))
    return len([json.loads(line) for line in path.open()])


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_export(data: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"found.{kind}"
    out = call(data, "search", "user:emp00*", "--export", str(path), "--case", "C-9").stdout
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"200 rows in {path}  SHA-256 {digest}" in out
    assert _rows_of(path) == 200
    beside = json.loads((tmp_path / f"found.{kind}.manifest.json").read_text())
    assert (beside["rows"], beside["sha256"], beside["complete"]) == (200, digest, True)
    assert beside["question"]["query"] == "user:emp00*"
    assert beside["snapshot_offset"] == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert told(data)[0]["unmapped"]["exported"] == path.name
    again = CliRunner().invoke(group, ["--data", str(data), "search", "", "--export", str(path)])
    assert "is there already" in str(again.exception)
    assert not list(tmp_path.glob(".found*")), "no draft is left"


def test_an_export_that_fails_leaves_nothing(data: Path, tmp_path: Path) -> None:
    for name in ("x.txt", "nowhere/x.csv"):
        done = CliRunner().invoke(
            group, ["--data", str(data), "search", "", "--export", str(tmp_path / name)]
        )
        assert isinstance(done.exception, Refused)
    assert told(data) == []


# -- saved -------------------------------------------------------------------------------------------------


def test_saved_searches(data: Path) -> None:
    call(
        data,
        "saved",
        "add",
        "logins",
        "user:{user}",
        "--since",
        "2026-05-14",
        "--en",
        "Logins",
        "--ja",
        "ログイン",
    )
    assert "ログイン" in call(data, "saved", "list").stdout
    assert json.loads(call(data, "saved", "show", "logins").stdout)["parameters"] == ["user"]
    assert len(call(data, "saved", "run", "logins", "user=emp0007", "--json").stdout.splitlines()) == 5
    assert call(data, "saved", "run", "logins", "user=emp0007 OR user:emp0008", "--count").stdout == "0\n"
    call(data, "saved", "add", "n", "SELECT count(*) AS n FROM events WHERE user_name = {user}", "--sql")
    assert call(data, "saved", "run", "n", "user=x' OR 'a'='a", "--csv").stdout.split() == ["n", "0"]
    for args, why in (
        (["add", "logins", "x"], "already"),
        (["add", "Bad Name", "x"], "is no name"),
        (["add", "wrong", "usr:x"], "did you mean"),
        (["run", "logins"], "user is missing"),
        (["run", "nope"], "there is no saved search"),
    ):
        done = CliRunner().invoke(group, ["--data", str(data), "saved", *args])
        assert why in str(done.exception)
    call(data, "saved", "remove", "logins")
    codes = [event["metadata"]["event_code"] for event in told(data)]
    assert codes[0] == "search.saved"
    assert codes[-1] == "search.removed"


# -- hunt --------------------------------------------------------------------------------------------------


def test_hunt(data: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("203.0.113[.]7\n198.51.100.1\nno indicator\n")
    done = call(data, "hunt", str(listed), "--json", code=10)
    assert [json.loads(line)["n"] for line in done.stdout.splitlines()] == [200]
    assert "line 3: no indicator" in done.stderr
    call(data, "hunt", str(listed), "--export", str(tmp_path / "hits.csv"), code=10)
    assert len(list(csv.DictReader((tmp_path / "hits.csv").open()))) == 1
    assert told(data)[0]["query_info"]["query_string"].startswith("2 indicators, SHA-256 ")
    listed.write_text("198.51.100.1\n")
    call(data, "hunt", str(listed), code=0)


# -- live --------------------------------------------------------------------------------------------------


@pytest.fixture
def live(data: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    child = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "sekisho.cli.main",
            "--data",
            str(data),
            "tail",
            "-n",
            "2",
            "--json",
            "user:emp00*",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield data, child
    child.kill()
    child.communicate()


@pytest.mark.slow
def test_tail_shows_what_is_stored_within_two_seconds_and_ends_cleanly(
    live: tuple[Path, subprocess.Popen[str]],
) -> None:
    data, child = live
    assert child.stdout is not None
    got: list[tuple[float, str]] = []

    def collect() -> None:
        assert child.stdout is not None
        for line in child.stdout:
            got.append((time.monotonic(), json.loads(line)["event_uid"]))  # noqa: PERF401

    threading.Thread(target=collect, daemon=True).start()
    _until(lambda: len(got) == 2)
    assert [uid for _, uid in got] == [sample.uid("event 198"), sample.uid("event 199")]
    with Lake(data / "lake", load(data).lake, now=lambda: NOW) as lake:
        for number in range(2, 6):
            stored = time.monotonic()
            lake.commit(sample.batch(number * 100, 3), number)
            _until(lambda number=number: len(got) == 2 + 3 * (number - 1))
            assert got[-1][0] - stored < 2
    child.send_signal(signal.SIGINT)
    assert child.wait(10) == 130
    assert [event["metadata"]["event_code"] for event in told(data)] == ["search.asked", "search.answered"]
    assert told(data)[1]["count"] == 14


def _until(true: Any) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_found(data: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "sekisho.cli.main", "--data", str(data), "sql", "--json", "--rows", "10000000",
         "SELECT range AS n FROM range(100000000000)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert child.stdout is not None
    assert json.loads(child.stdout.readline()) == {"n": 0}
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert json.loads(out.splitlines()[-1])["n"] > 0
    assert "stopped:" in err
    assert told(data)[-1]["status_detail"] == "it was ended early"
    assert reader.snapshot(data / "lake").rows == 200
