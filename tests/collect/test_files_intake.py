"""`sekisho ingest`: stored once, resumed after a kill, grown and changed files, the command itself."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from sekisho.cli.main import group
from sekisho.collect import local
from sekisho.collect.intake import Intake, Order, Outcome, walk
from sekisho.collect.ledger import Ledger
from sekisho.collect.unpack import Limits
from sekisho.model import Records, Refused, Retry

LIMITS = Limits(chunk_bodies=10)


class Journal:
    """Keeps what is appended; may fail after so many batches."""

    def __init__(self, fail_after: int | None = None) -> None:
        self.records: list[Records] = []
        self.fail_after = fail_after

    def append(self, records: Records) -> int:
        if self.fail_after is not None and len(self.records) >= self.fail_after:
            raise KeyboardInterrupt
        self.records.append(records)
        return len(self.records) - 1

    @property
    def bodies(self) -> list[bytes]:
        return [body for records in self.records for body in records.bodies]


def lines(start: int, end: int) -> bytes:
    return b"".join(b'{"n":%d}\n' % n for n in range(start, end))


def ingest(path: Path, ledger: Path, journal: Journal, **keys: object) -> Outcome:
    order = Order(limits=LIMITS, **keys)  # type: ignore[arg-type]
    with Ledger(ledger) as book:
        intake = Intake(book, journal.append, now=lambda: 7, wait=lambda s: None, order=order)
        return intake.path(path)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ingest.sqlite3"


def test_records_say_where_they_come_from(tmp_path: Path, ledger: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("in.ndjson", lines(0, 25))
    journal = Journal()
    outcome = ingest(path, ledger, journal, source="okta", zone="Asia/Tokyo")
    assert (outcome.records, outcome.already, outcome.formats) == (25, 0, {"ndjson"})
    records = journal.records[1]
    assert (records.source, records.receiver, records.peer) == ("okta", "file", str(path))
    assert records.attributes["member"] == "in.ndjson"
    assert records.attributes["zone"] == "Asia/Tokyo"
    assert records.attributes["first_line"] == "11"
    assert len(records.attributes["sha256"]) == 64


def test_same_content_under_other_names_and_packings_is_stored_once(tmp_path: Path, ledger: Path) -> None:
    journal = Journal()
    one, two, three = tmp_path / "one.log", tmp_path / "two.log", tmp_path / "three.gz"
    one.write_bytes(lines(0, 25))
    two.write_bytes(lines(0, 25))
    three.write_bytes(gzip.compress(lines(0, 25)))
    assert ingest(one, ledger, journal).records == 25
    for path in (one, two, three):
        outcome = ingest(path, ledger, journal)
        assert (outcome.records, outcome.already, outcome.same_as) == (0, 25, str(one))
    assert len(journal.bodies) == 25
    assert ingest(two, ledger, journal, again=True).records == 25


def test_interrupted_run_goes_on_after_the_last_acknowledged_chunk(tmp_path: Path, ledger: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(lines(0, 95))
    first = Journal(fail_after=4)
    with pytest.raises(KeyboardInterrupt):
        ingest(path, ledger, first)
    second = Journal()
    outcome = ingest(path, ledger, second)
    assert (outcome.already, outcome.records) == (40, 55)
    assert first.bodies + second.bodies == lines(0, 95).split(b"\n")[:-1]


def test_grown_file_is_read_from_where_it_ended(tmp_path: Path, ledger: Path) -> None:
    path = tmp_path / "a.ndjson"
    journal = Journal()
    for end in (25, 40, 41):
        path.write_bytes(lines(0, end))
        ingest(path, ledger, journal)
    assert journal.bodies == lines(0, 41).split(b"\n")[:-1]


def test_last_line_that_was_incomplete_is_read_again(tmp_path: Path, ledger: Path) -> None:
    path = tmp_path / "a.log"
    journal = Journal()
    path.write_bytes(b"n=1 first\nn=2 sec")
    ingest(path, ledger, journal)
    path.write_bytes(b"n=1 first\nn=2 second\nn=3\n")
    outcome = ingest(path, ledger, journal)
    assert journal.bodies == [b"n=1 first", b"n=2 sec", b"n=2 second", b"n=3"]
    assert outcome.already == 1


def test_changed_file_is_read_anew(tmp_path: Path, ledger: Path) -> None:
    path = tmp_path / "a.ndjson"
    journal = Journal()
    path.write_bytes(lines(0, 25))
    ingest(path, ledger, journal)
    path.write_bytes(lines(1, 30))
    assert ingest(path, ledger, journal).records == 29


def test_dry_run_stores_nothing(tmp_path: Path, ledger: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(lines(0, 25))
    journal = Journal()
    assert ingest(path, ledger, journal, dry_run=True).records == 25
    assert journal.records == []
    assert ingest(path, ledger, journal).records == 25


def test_full_journal_is_waited_for(tmp_path: Path, ledger: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(lines(0, 5))
    waits: list[float] = []
    kept: list[Records] = []

    def append(records: Records) -> int:
        if len(waits) < 3:
            raise Retry(0.5, "disk full")
        kept.append(records)
        return 0

    with Ledger(ledger) as book:
        intake = Intake(book, append, now=lambda: 7, wait=waits.append, order=Order())
        assert intake.path(path).records == 5
    assert waits == [0.5] * 3
    assert len(kept) == 1


def test_bomb_and_missing_file_are_troubles(tmp_path: Path, ledger: Path) -> None:
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(b"0" * (80 << 20)))
    journal = Journal()
    with Ledger(ledger) as book:
        order = Order(limits=Limits(ratio=100, ratio_from=1 << 20))
        intake = Intake(book, journal.append, now=lambda: 7, wait=lambda s: None, order=order)
        assert [t.code for t in intake.path(bomb).troubles] == ["ratio"]
        assert [t.code for t in intake.path(tmp_path / "none").troubles] == ["unreadable"]
    assert journal.records == []


def test_stream_is_known_by_content_too(ledger: Path) -> None:
    journal = Journal()

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with Ledger(ledger) as book:
        intake = Intake(book, journal.append, now=lambda: 7, wait=lambda s: None, order=Order())
        assert intake.stream(Pipe(lines(0, 9))).records == 9
        assert intake.stream(Pipe(lines(0, 9))).already == 9
        assert intake.stream(Pipe((b"x" * 999 + b"\n") * 80_000)).records == 80_000


def test_prose_is_listed_and_read_only_when_its_source_is_named(tmp_path: Path, ledger: Path) -> None:
    path = tmp_path / "LICENSE"
    path.write_bytes(b"Permission is hereby granted\nto deal in the software\n")
    journal = Journal()
    outcome = ingest(path, ledger, journal)
    assert ([t.code for t in outcome.troubles], outcome.records, journal.bodies) == (
        ["not-recognised"],
        0,
        [],
    )
    assert "--source" in outcome.troubles[0].text.en
    assert ingest(path, ledger, journal, source="okta").records == 2


def test_walk_is_sorted_and_follows_no_links(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    for name in ("z", "b/y", "b/c/x"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    names = [str(p.relative_to(tmp_path)) for p in walk([tmp_path]) if isinstance(p, Path)]
    assert names == ["b/c/x", "b/y", "z"]
    ((path, trouble),) = [item for item in walk([tmp_path]) if isinstance(item, tuple)]
    assert (path.name, trouble.code) == ("loop", "link")
    ((path, trouble),) = [item for item in walk([tmp_path / "none"]) if isinstance(item, tuple)]
    assert (path.name, trouble.code) == ("none", "missing")


def test_a_link_to_a_file_is_read_only_if_it_is_named(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, target in (("link.log", secret), ("broken.log", tmp_path / "none")):
        (folder / name).symlink_to(target)
    told = [(item[0].name, item[1].code) for item in walk([folder]) if isinstance(item, tuple)]
    assert told == [("broken.log", "link"), ("link.log", "link")]
    assert len(told) == len(list(walk([folder])))
    assert list(walk([folder / "link.log"])) == [folder / "link.log"]
    (tmp_path / "linked").symlink_to(folder)
    assert len(list(walk([tmp_path / "linked"]))) == 2, "a folder that is named may be a link as well"


# -- the Unix socket: a real server, the real client ------------------------------------------------

SERVER = """
import asyncio, os, sys, time
from pathlib import Path
import msgspec
from aiohttp import web
from sekisho.collect.local import PATH, local_records
from sekisho.model import Retry

out = open(sys.argv[2], "ab")
state = {"frames": 0, "full": Path(sys.argv[3])}

async def append(records):
    if state["full"].exists():
        raise Retry(0.05, "disk full")
    await asyncio.sleep(0.01)
    data = msgspec.msgpack.encode(records)
    out.write(len(data).to_bytes(4, "big") + data)
    out.flush()
    state["frames"] += 1
    return state["frames"] - 1

app = web.Application()
app.router.add_post(PATH, local_records(append))
web.run_app(app, path=sys.argv[1], print=None)
"""


@contextmanager
def collector(folder: Path) -> Iterator[tuple[Path, Path, Path]]:
    """Socket, file with what was received, file whose existence means a full disk."""
    sock, out, full = folder / "run" / "collect.sock", folder / "received", folder / "full"
    sock.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(sock), str(out), str(full)])
    try:
        deadline = time.monotonic() + 20
        while not local.answers(sock):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield sock, out, full
    finally:
        process.terminate()
        process.wait(10)


def received(out: Path) -> list[Records]:
    data = out.read_bytes() if out.exists() else b""
    found: list[Records] = []
    while data:
        size = int.from_bytes(data[:4], "big")
        found.append(msgspec.msgpack.decode(data[4 : 4 + size], type=Records))
        data = data[4 + size :]
    return found


def test_client_and_handler(tmp_path: Path) -> None:
    records = Records("auto", "file", "none", "/x", "", 7, (b"\x00\xff",), {"a": "b"})
    assert not local.answers(tmp_path / "run" / "collect.sock")
    with collector(tmp_path) as (sock, out, full), local.client(sock) as append:
        assert [append(records), append(records)] == [0, 1]
        full.touch()
        with pytest.raises(Retry, match="disk full") as caught:
            append(records)
        assert caught.value.after == 0.05
        full.unlink()
        with pytest.raises(Refused, match="receiver"):
            append(msgspec.structs.replace(records, receiver="hec"))
        with pytest.raises(Refused, match="at most"):
            append(msgspec.structs.replace(records, bodies=(b"x" * (local.LIMIT + 1),)))
        assert append(records) == 2
        assert received(out) == [records] * 3
    with local.client(tmp_path / "none") as append, pytest.raises(Retry, match="does not answer"):
        append(records)


async def test_handler_refuses_what_is_no_batch(tmp_path: Path) -> None:
    from aiohttp.test_utils import TestClient, TestServer

    async def append(records: Records) -> int:
        raise AssertionError("must not be reached")

    app = web.Application()
    app.router.add_post(local.PATH, local.local_records(append))
    async with TestClient(TestServer(app)) as http:
        answer = await http.post(local.PATH, data=b"\xc1")
        assert answer.status == 400
        assert "MessagePack" in (await answer.json())["error"]


async def test_handler_says_what_the_journal_refuses(tmp_path: Path) -> None:
    from aiohttp.test_utils import TestClient, TestServer

    async def append(records: Records) -> int:
        raise Refused("larger than a frame may be", "send less at once")

    app = web.Application()
    app.router.add_post(local.PATH, local.local_records(append))
    body = msgspec.msgpack.encode(Records("auto", "file", "none", "/x", "", 7, (b"x",), {}))
    async with TestClient(TestServer(app)) as http:
        answer = await http.post(local.PATH, data=body)
        assert answer.status == 400
        assert "larger than a frame may be" in (await answer.json())["error"]


# -- the command ------------------------------------------------------------------------------------


def run(data: Path, *args: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(group, ["--data", str(data), "ingest", *args], input=stdin)


def test_command_with_a_running_collector(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.ndjson").write_bytes(lines(0, 25))
    (folder / "b.gz").write_bytes(gzip.compress(lines(0, 25)))
    (folder / "c.csv").write_bytes(b"time,user,ip\n1,a,192.0.2.1\n")
    data = tmp_path / "data"
    with collector(data) as (_, out, _full):
        result = run(data, "--json", str(folder), "-", stdin=b"plain line\n")
        assert result.exit_code == 0, result.output
        said = json.loads(result.stdout)
        assert (said["records"], said["already_stored"]) == (27, 25)
        assert [f["formats"] for f in said["files"]] == [["ndjson"], [], ["csv"], ["lines"]]
        assert sum(len(r.bodies) for r in received(out)) == 27
        again = run(data, str(folder))
        assert again.exit_code == 0
        assert "already stored" in again.stdout
        assert sum(len(r.bodies) for r in received(out)) == 27


def test_command_dry_run_and_problems(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\x7fELF")
    result = run(tmp_path / "data", "--dry-run", str(tmp_path / "a.bin"))
    assert result.exit_code == 1
    assert "ログとして読めません" in result.stdout
    assert not (tmp_path / "data").exists()


def test_command_takes_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    """Names of Shift_JIS days: bytes to Linux. The name is told with its bytes, and the content is stored."""
    folder = tmp_path / "logs"
    folder.mkdir()
    try:
        (folder / os.fsdecode(b"\x8a\xd6.ndjson")).write_bytes(lines(0, 3))
    except OSError as error:
        pytest.skip(f"this file system takes UTF-8 names only: {error}")
    data = tmp_path / "data"
    with collector(data) as (_, out, _full):
        result = run(data, "--json", str(folder), os.fsdecode(os.fsencode(tmp_path) + b"/\x8a.none"))
        assert not isinstance(result.exception, UnicodeError), result.exception
        said = json.loads(result.stdout)
        stored = received(out)
    told, missing = f"{folder}/\\x8a\\xd6.ndjson", f"{tmp_path}/\\x8a.none"
    assert [file["file"] for file in said["files"]] == [told, missing]
    assert [trouble["code"] for trouble in said["files"][1]["problems"]] == ["missing"]
    assert [(records.peer, records.attributes["file"]) for records in stored] == [(told, told)]
    again = run(data, "--dry-run", str(folder))
    assert "\\x8a\\xd6.ndjson" in again.stdout


@pytest.mark.parametrize(
    ("args", "message"), [(("--source", "nonsense"), "auto, "), (("--zone", "Mars/Base"), "Asia/Tokyo")]
)
def test_command_names_what_is_possible(tmp_path: Path, args: tuple[str, str], message: str) -> None:
    (tmp_path / "a").write_bytes(b"x\n")
    result = run(tmp_path / "data", *args, str(tmp_path / "a"))
    assert isinstance(result.exception, Refused)
    assert message in str(result.exception)


@pytest.mark.slow
def test_killed_and_started_again_nothing_is_lost(tmp_path: Path) -> None:
    """kill -9 at several moments; afterwards every record is there, and no chunk more than twice."""
    path = tmp_path / "a.ndjson"
    path.write_bytes(lines(0, 300_000))
    data = tmp_path / "data"
    command = [sys.executable, "-m", "sekisho.cli.main", "--data", str(data), "ingest", str(path)]
    kills = 0
    with collector(data) as (_, out, _full):
        for _ in range(4):
            size = out.stat().st_size if out.exists() else 0
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            deadline = time.monotonic() + 20
            while process.poll() is None and time.monotonic() < deadline:
                if out.exists() and out.stat().st_size > size + 500_000:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
                    break
                time.sleep(0.005)
            process.wait(20)
        assert kills >= 2
        done = subprocess.run(command, capture_output=True, check=True)
        assert b"already stored" in done.stdout
        time.sleep(0.2)
        batches = [records.bodies for records in received(out)]
    assert sorted({body for bodies in batches for body in bodies}) == sorted(set(lines(0, 300_000).split()))
    assert len(batches) - len(set(batches)) <= kills
