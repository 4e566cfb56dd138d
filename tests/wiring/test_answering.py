"""Somebody who cannot read the data folder asks the service, and tries to get at more than the role gives.

The asker is a process of another user (nobody), so the kernel decides who it is; only root can start one.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from django.db import connections

from sekisho import first_run, wiring
from sekisho.lake import Lake
from sekisho.model import Refused
from sekisho.modules import database
from sekisho.settings import load
from sekisho.wiring import answering
from sekisho.wiring import ask_frames as frames
from tests.lake import sample

NOBODY = 65534
NOW = datetime(2026, 5, 20, tzinfo=UTC)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.getuid() != 0, reason="only root can start a process of another user"),
]

TOML = """
[[access.roles]]
name = "analyst"
users = ["65534"]
sources = ["okta"]
sql = true
hunt = true
longest_days = {days}
export = {export}
"""


#: The interpreter itself may lie where only root reads, so all is loaded before the user is changed for good.
AS_ANOTHER = """
import importlib, io, os, sys
from pathlib import Path
from zoneinfo import ZoneInfo
for name in ("search", "sql", "tail", "hunt", "asked", "search_show", "search_chart", "search_export"):
    importlib.import_module(f"sekisho.cli.{name}")
for name in ("asking", "questioning", "answering", "clock", "handing"):
    importlib.import_module(f"sekisho.wiring.{name}")
import rich.console, rich.table
from sekisho.cli import search_show
from sekisho.cli.main import main
rich.console.Console(file=io.StringIO()).print(search_show.table([], ZoneInfo("Asia/Tokyo"), ["time"]))
"x".encode("idna")
uid = int(sys.argv.pop(1))
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
main()
"""


class World:
    def __init__(self, folder: Path, toml: str) -> None:
        self.data = folder / "data"
        first_run.prepare(self.data, 0)
        (self.data / "sekisho.toml").write_text(toml)
        (self.data / "sekisho.toml").chmod(0o600)
        self.settings = load(self.data)
        wiring.migrate(self.settings)
        with Lake(self.data / "lake", self.settings.lake, now=lambda: NOW) as lake:
            for number in range(3):
                lake.commit(sample.mixed(number, 400), number)
        _close(self.data)
        self.desk = answering.Desk(self.settings)
        self.thread = threading.Thread(target=self.desk.run, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.desk.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()

    def ask(self, *args: str, uid: int = NOBODY) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", AS_ANOTHER, str(uid), "--data", str(self.data), *args],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            cwd="/",
            env={
                "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
                "LOGNAME": "root",
                "USER": "root",
                "HOME": "/",
            },
        )

    def owed(self) -> list[dict[str, object]]:
        connections.close_all()
        database.start(self.data)
        from sekisho.modules.outbox.models import Owed

        return [json.loads(row.body) for row in Owed.objects.order_by("id")]


def _close(data: Path) -> None:
    """As the program leaves it, whatever the tests' umask is."""
    for path in (data, *data.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)


def _reachable(folder: Path) -> bool:
    return all(stat.S_IMODE(parent.stat().st_mode) & 0o001 for parent in folder.parents)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """pytest's own folders are closed to others."""
    with tempfile.TemporaryDirectory(prefix="sekisho-ask-") as name:
        path = Path(name)
        path.chmod(0o711)
        if not _reachable(path):
            pytest.skip(f"{path} cannot be reached by other users")
        yield path


@pytest.fixture(scope="module")
def world(folder: Path) -> Iterator[World]:
    held = World(folder / "a", TOML.format(days=0, export="false"))
    yield held
    held.close()


@pytest.fixture(scope="module")
def short(folder: Path) -> Iterator[World]:
    held = World(folder / "b", TOML.format(days=1, export="true"))
    yield held
    held.close()


def test_the_folder_stays_closed(world: World) -> None:
    for path in (
        "sekisho.toml",
        "lake/manifest.sqlite3",
        "console.sqlite3",
        "secrets",
        "journal",
        "run/ask/x",
        "",
    ):
        seen = subprocess.run(
            ["ls", "-la", str(world.data / path)],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            capture_output=True,
        )
        assert path == "sekisho.toml" or path == "console.sqlite3" or seen.returncode, path
        read = subprocess.run(
            ["cat", str(world.data / path)],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            capture_output=True,
            check=False,
        )
        assert read.returncode, path


def test_only_the_sources_of_the_role(world: World) -> None:
    done = world.ask("search", "", "--json", "--limit", "900")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["source"] for row in rows} == {"okta"}, done.stderr
    assert not any({"raw", "unmapped"} & row.keys() for row in rows)
    assert "does not see raw and unmapped" in done.stderr
    assert world.ask("search", "source:squid OR source:sshd OR -source:okta", "--count").stdout == "0\n"
    top = world.ask("search", "--top", "source,raw", "--json").stdout.splitlines()
    assert [json.loads(line)["value"] for line in top] == ["okta", None]


@pytest.mark.parametrize("query", ["raw:/emp/", "raw:*", "unmapped:*", "emp0007", "raw:*Evil*"])
def test_what_is_hidden_cannot_be_guessed_by_searching(world: World, query: str) -> None:
    assert world.ask("search", query, "--count").stdout == "0\n"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT raw FROM events",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_parquet('{lake}/hot/*.parquet')",
        "SELECT * FROM '{file}'",
        "SELECT (SELECT max(raw) FROM '{file}')",
        "SELECT * FROM duckdb_views()",
    ],
)
def test_sql_gets_no_further(world: World, sql: str) -> None:
    lake = world.data / "lake"
    first = next((lake / "hot").iterdir())
    done = world.ask("sql", sql.replace("{lake}", str(lake)).replace("{file}", str(first)))
    assert done.returncode
    assert done.stdout == ""
    assert "not allowed" in done.stderr or '"raw" not found' in done.stderr


def test_sql_sees_the_sources_of_the_role(world: World) -> None:
    done = world.ask("sql", "SELECT DISTINCT source FROM events WHERE source <> 'okta' OR true", "--csv")
    assert done.stdout.split() == ["source", "okta"], done.stderr


def test_without_export_there_are_no_files_and_at_most_a_thousand_rows(world: World) -> None:
    done = world.ask("search", "", "--export", "/tmp/never.csv")
    assert "may not use: export" in done.stderr
    assert not Path("/tmp/never.csv").exists()
    many = world.ask("sql", "SELECT range FROM range(5000)", "--rows", "5000", "--csv")
    assert len(many.stdout.splitlines()) == 1001
    assert len(world.ask("search", "", "--limit", "0", "--json").stdout.splitlines()) <= 1000


def test_a_longest_time(short: World) -> None:
    wide = short.ask("search", "", "--since", "2026-05-14", "--until", "2026-05-16", "--count")
    assert "may ask for 1 days at once" in wide.stderr
    one = short.ask("search", "", "--since", "2026-05-14", "--until", "2026-05-14", "--count")
    assert int(one.stdout) > 0
    assert short.ask("search", "", "--count").stdout == "0\n", "the last day, and nothing of the past"
    assert short.ask("sql", "SELECT count(*) AS n FROM events", "--csv").stdout.split() == ["n", "0"]


def test_the_kernel_says_who_asks(world: World) -> None:
    """LOGNAME=root in its environment: the record names the user that the kernel tells."""
    world.ask("search", "user:emp0001", "--count", "--purpose", "drill")
    asked = [event for event in world.owed() if "user:emp0001" in str(event["message"])]
    assert len(asked) == 2
    for event in asked:
        assert event["actor"]["user"]["uid"] == str(NOBODY)  # type: ignore[index]
        assert event["unmapped"]["role"] == "analyst"  # type: ignore[index]
        assert event["unmapped"]["purpose"] == "drill"  # type: ignore[index]


def test_somebody_without_a_role_is_refused(world: World) -> None:
    done = world.ask("search", "", uid=65533)
    assert done.returncode
    assert "has no role here" in done.stderr


def _connect(world: World) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(str(answering.socket_path(world.settings)))
    return sock


def test_a_request_that_is_too_large_or_nonsense_is_refused(world: World) -> None:
    for head, body, why in (
        (b"Q" + (2**31).to_bytes(4, "big"), b"", "at most"),
        (b"X" + (3).to_bytes(4, "big"), b"abc", "not a question"),
        (b"Q" + (3).to_bytes(4, "big"), b"abc", "not a question"),
        (b"Q" + (9).to_bytes(4, "big"), b"\x91" * 9, "not a question"),
    ):
        with _connect(world) as sock:
            sock.sendall(head + body)
            frame = frames.receive(sock, 1 << 20)
            assert frame.kind == b"E"
            assert why in msgspec.msgpack.decode(frame.body, type=frames.Refusal).why


def test_a_flood_does_not_keep_others_out(world: World) -> None:
    """Connections that say nothing: so many of one user are held, the others are turned away at once."""
    held: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            held.append(stack.enter_context(_connect(world)))  # noqa: PERF401
        time.sleep(0.3)
        assert world.ask("search", "", "--count").returncode == 0, "another user is answered meanwhile"
        turned = [sock for sock in held if _first(sock) == b"E"]
        assert len(turned) >= 60 - answering.EACH
    end = time.monotonic() + 15
    while time.monotonic() < end:
        with _connect(world) as sock:
            if _first(sock) != b"E":
                return
        time.sleep(0.2)
    raise AssertionError("places are not given back")


def _first(sock: socket.socket) -> bytes:
    sock.settimeout(0.3)
    try:
        return sock.recv(1)
    except (TimeoutError, ConnectionError):
        return b""


def test_two_at_once_and_one_that_goes_away(world: World) -> None:
    answers: list[subprocess.CompletedProcess[str]] = []

    def run(query: str) -> None:
        answers.append(world.ask("search", query, "--count"))

    threads = [threading.Thread(target=run, args=(query,)) for query in ("source:okta", "status:success")]
    for thread in threads:
        thread.start()
    with _connect(world) as sock:
        from sekisho.lake.questions import Tail

        frames.send(sock, b"Q", msgspec.msgpack.encode(frames.Request(Tail())))
        assert frames.receive(sock, 1 << 28).kind in {b"T", b"P"}
    for thread in threads:
        thread.join()
    assert [done.returncode for done in answers] == [0, 0]
    end = time.monotonic() + 10
    while world.desk.busy() and time.monotonic() < end:
        time.sleep(0.1)
    assert world.desk.busy() == 0, "whoever went away is let go"


def test_a_folder_that_others_could_open_is_not_served(folder: Path) -> None:
    with pytest.raises(Refused, match=r"others could open: .*notes.txt"):
        _open(folder)


def _open(folder: Path) -> None:
    data = folder / "c" / "data"
    first_run.prepare(data, 0)
    _close(data)
    (data / "notes.txt").write_text("x")
    (data / "notes.txt").chmod(0o644)
    answering.Desk(load(data))


def test_a_link_in_place_of_the_socket_is_replaced_not_followed(folder: Path) -> None:
    data = folder / "d" / "data"
    first_run.prepare(data, 0)
    _close(data)
    (data / "run" / "ask").mkdir(mode=0o711)
    victim = folder / "victim"
    victim.write_text("kept")
    victim.chmod(0o600)
    (data / "run" / "ask" / "ask.sock").symlink_to(victim)
    desk = answering.Desk(load(data))
    assert (data / "run" / "ask" / "ask.sock").is_socket()
    assert victim.read_text() == "kept"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o600
    desk.stop()
    desk.run()
