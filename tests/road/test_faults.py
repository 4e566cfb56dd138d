"""Bad input and faults against a running platform: refused with words, survived, nothing lost or doubled."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bench.platform import Platform, free_port
from bench.shapes import record, records

pytestmark = pytest.mark.slow
LIMITS = "max_body = 2000000\nmax_record = 100000\n"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("faults") / "data", collect=LIMITS) as running:
        yield running


class Answer:
    def __init__(self, status: int, headers: http.client.HTTPMessage, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def post(
    platform: Platform,
    source: str,
    body: bytes,
    *,
    token: str | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", platform.http_port, timeout=30)
    try:
        said = {"Authorization": f"Bearer {token or platform.token}", **(headers or {})}
        connection.request("POST", f"/v1/ingest/{source}", body, said)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def ndjson(source: str, count: int, start: int = 0, at: datetime | None = None) -> bytes:
    return b"\n".join(records(source, count, start=start, at=at))


def refused(platform: Platform) -> dict[str, int]:
    """Refusals by reason, as the collecting process last said (once a second)."""
    rows = platform.said("collect")["counts"]
    assert isinstance(rows, dict)
    found: dict[str, int] = {}
    for row in rows["refused"]:
        found[row["second"]] = found.get(row["second"], 0) + row["value"]
    return found


def settled(platform: Platform, seconds: float = 240) -> None:
    """Nothing waits any more."""

    def nothing() -> bool:
        numbers = platform.said("pipeline")["numbers"]
        collect = platform.said("collect")["numbers"]
        assert isinstance(numbers, dict)
        assert isinstance(collect, dict)
        return bool(numbers["offset"] + 1 == collect["next_frame"])

    time.sleep(1.2)  # both speak once a second
    platform.until(nothing, seconds, "all frames done")


def count(platform: Platform, where: str) -> int:
    (row,) = platform.sql(
        f"SELECT count(*) AS n, count(DISTINCT event_uid) AS uids FROM events WHERE {where}"
    )
    assert row["n"] == row["uids"]
    return int(row["n"])


def resident(platform: Platform, name: str) -> int:
    return int(Path(f"/proc/{platform.pid(name)}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# -- turned away at the door ---------------------------------------------------------------------------


def test_wrong_token_is_refused_counted_and_its_body_not_read(platform: Platform) -> None:
    with socket.create_connection(("127.0.0.1", platform.http_port), timeout=10) as raw:
        # the body is announced and never sent: whoever waited for it would not answer
        raw.sendall(
            b"POST /v1/ingest/okta HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\n"
            b"Content-Length: 1000000\r\n\r\n"
        )
        began = time.monotonic()
        answer = raw.recv(4096)
        assert time.monotonic() - began < 5
    assert answer.startswith(b"HTTP/1.1 401")
    refusal = post(platform, "okta", ndjson("okta", 1), token="wrong")
    assert refusal.status == 401
    assert "sekisho tokens create" in refusal.json["error"]["remedy"]

    platform.until(lambda: refused(platform).get("wrong-token", 0) == 2, 5, "two refusals in the status")
    assert ["ndjson", "wrong-token", 2] in platform.status()["refused"]  # type: ignore[operator]
    connection = http.client.HTTPConnection("127.0.0.1", platform.http_port, timeout=30)
    connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {platform.token}"})
    metrics = connection.getresponse().read().decode()
    connection.close()
    assert 'sekisho_refused_total{reason="wrong-token",receiver="ndjson"} 2.0' in metrics


def test_unknown_source_is_answered_with_the_list(platform: Platform) -> None:
    refusal = post(platform, "oktaa", ndjson("okta", 1))
    assert refusal.status == 400
    said = refusal.json["error"]
    assert "oktaa" in said["message"]
    assert {"auto", "okta", "cloudtrail", "windows", "openssh"} <= set(said["sources"])


def test_body_and_bomb_above_the_limit_are_refused_with_the_limit(platform: Platform) -> None:
    large = post(platform, "okta", b'{"a":"' + b"x" * 2_000_000 + b'"}')
    assert large.status == 413
    assert "2000000 bytes" in large.json["error"]["message"]

    bomb = gzip.compress(bytes(300_000_000), 9)
    assert len(bomb) < 300_000
    before = resident(platform, "collect")
    refusal = post(platform, "okta", bomb, headers={"Content-Encoding": "gzip"})
    assert refusal.status == 413
    assert "2000000 bytes" in refusal.json["error"]["message"]
    assert resident(platform, "collect") - before < 30_000_000

    record = post(platform, "okta", ndjson("okta", 1, start=77_000) + b'\n{"a":"' + b"x" * 100_000 + b'"}')
    assert record.status == 413
    assert "record 1 (from 0)" in record.json["error"]["message"]
    settled(platform)
    assert count(platform, "metadata_uid LIKE '%000000077000'") == 1  # the good one of that request


# -- taken, but not everything is an event ------------------------------------------------------------


def test_malformed_lines_become_rejects_and_the_good_ones_events(platform: Platform) -> None:
    lines = records("okta", 10, start=10_000)
    lines[3:3] = [b'{"eventType": "user.session.start", "cut', b"\xff\xfe\x00nonsense", b"[" * 50_000]
    assert post(platform, "okta", b"\n".join(lines)).json["stored"] == 13
    settled(platform)
    assert count(platform, "raw LIKE '%\"dc9fd3c0-598c-11ef-8478-00000001000%'") == 10
    shown = json.loads(platform.run("rejects", "list", "--json"))
    mine = [row for row in shown["newest"] if row["source"] == "okta"]
    assert len(mine) == 3
    assert all(row["why"] for row in mine)
    assert sum(row["count"] for row in shown["counts"] if row["source"] == "okta") == 3
    body = platform.run("rejects", "show", mine[-1]["offset"])
    assert "body:" in body


def test_unknown_format_is_offered_and_can_be_retried(platform: Platform) -> None:
    """Lines that nobody knows are kept; once a person says what they are, they become events."""
    lines = "".join(f"zeta-app;v=1;n={n};odd line that nobody knows\n" for n in range(4))
    assert post(platform, "auto", lines.encode()).json["stored"] == 4
    settled(platform)
    assert "4  auto  unknown-format" in platform.run("rejects", "list", "--code", "unknown-format")
    rows = newest(platform, "unknown-format")
    assert len(rows) == 4
    assert all("sekisho sources" in row["why"] for row in rows)

    assert retry(platform, "--code", "unknown-format", "--as", "syslog").startswith("4 rejects are tried")
    platform.until(lambda: count(platform, "raw LIKE 'zeta-app%'") == 4, 20, "four events")
    assert newest(platform, "unknown-format") == []
    wrong = subprocess.run(
        command(platform, "rejects", "retry", "--as", "nosuch"), capture_output=True, check=False
    )
    assert wrong.returncode
    assert b"one of: " in wrong.stderr


def test_records_under_a_wrong_label_are_offered_to_the_right_source(platform: Platform) -> None:
    assert post(platform, "github", ndjson("okta", 5, start=70_000)).json["stored"] == 5
    settled(platform)
    rows = [row for row in newest(platform) if row["source"] == "github"]
    assert len(rows) == 5
    assert all(row["candidates"] == ["okta"] for row in rows)
    text = platform.run("rejects", "list", "--source", "github")
    assert "resembles okta: sekisho rejects retry" in text

    retry(platform, "--source", "github", "--as", "okta")
    mine = "source = 'okta' AND raw LIKE '%11ef-8478-00000007000%'"
    platform.until(lambda: count(platform, mine) == 5, 20, "five events")
    assert [row for row in newest(platform) if row["source"] == "github"] == []


def test_what_two_sources_recognise_is_not_guessed(platform: Platform) -> None:
    marks = ("eventType", "published", "actor", "alternateId", "class_uid", "metadata", "activity_id")
    assert post(platform, "auto", json.dumps(dict.fromkeys(marks, "x")).encode()).json["stored"] == 1
    settled(platform)
    (row,) = newest(platform, "ambiguous")
    assert set(row["candidates"]) == {"okta", "ocsf"}
    assert "--as SOURCE" in platform.run("rejects", "list", "--code", "ambiguous")


def newest(platform: Platform, code: str = "") -> list[dict[str, Any]]:
    found = json.loads(platform.run("rejects", "list", "--json", "--limit", "100", "--code", code))["newest"]
    assert isinstance(found, list)
    return found


def retry(platform: Platform, *arguments: str) -> str:
    return platform.run("rejects", "retry", *arguments)


def test_a_batch_posted_twice_is_stored_once(platform: Platform) -> None:
    body = ndjson("cloudtrail", 500, start=20_000)
    before = platform.status()["duplicates"]
    assert [post(platform, "cloudtrail", body).json["stored"] for _ in range(2)] == [500, 500]
    settled(platform)
    assert count(platform, "source = 'cloudtrail' AND raw LIKE '%8f5a1c2e-0000-4000-8000-00000002%'") == 500
    assert platform.status()["duplicates"] == before + 500  # type: ignore[operator]


def test_events_of_1970_and_2099_are_kept_with_their_times(platform: Platform) -> None:
    old, new = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), datetime(2099, 12, 31, 23, 59, tzinfo=UTC)
    body = record("okta", 30_001, old) + b"\n" + record("okta", 30_002, new)
    assert post(platform, "okta", body).status == 200
    settled(platform)
    rows = platform.sql(
        "SELECT strftime(time, '%Y-%m-%dT%H:%M:%S') AS at FROM events"
        " WHERE raw LIKE '%11ef-8478-00000003000%' ORDER BY time"
    )
    assert [row["at"] for row in rows] == ["1970-01-01T00:00:01", "2099-12-31T23:59:00"]
    found = platform.run("search", "--json", "--since", "2099-01-01", "--until", "2100-01-01", "source:okta")
    assert len(found.splitlines()) == 1


# -- while it runs ---------------------------------------------------------------------------------------


def test_master_data_imported_while_running_takes_effect(platform: Platform, tmp_path: Path) -> None:
    person = f"emp{40_001 * 7919 % 2000:04d}"
    assert post(platform, "okta", ndjson("okta", 1, start=40_001)).status == 200
    settled(platform)
    assert alerts(platform, person) == []

    retire(platform, tmp_path, person)
    began = time.monotonic()
    tries = 0
    while not alerts(platform, "left01"):
        assert time.monotonic() - began < 15
        tries += 1
        number = 40_001 + tries * 2000  # the same person again
        assert post(platform, "okta", ndjson("okta", 1, start=number)).status == 200
        time.sleep(1)
    print(f"\nmaster data took effect after at most {time.monotonic() - began:.1f} s")


def test_ingest_while_the_platform_runs(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "export.ndjson"
    file.write_bytes(ndjson("okta", 2000, start=50_000))
    said = json.loads(platform.run("ingest", "--json", str(file)))
    assert (said["records"], said["already_stored"]) == (2000, 0)
    assert json.loads(platform.run("ingest", "--json", str(file)))["already_stored"] == 2000
    settled(platform)
    where = "source = 'okta' AND receiver = 'file'"
    assert count(platform, where) == 2000


# -- processes -------------------------------------------------------------------------------------------


def command(platform: Platform, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "sekisho.cli.main", "--data", str(platform.data), *arguments]


def test_a_second_up_on_the_same_folder_names_the_first(platform: Platform) -> None:
    done = subprocess.run(command(platform, "up"), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode
    assert f"already runs on {platform.data} as process {platform.supervisor}" in done.stderr
    assert "Traceback" not in done.stderr
    assert post(platform, "okta", ndjson("okta", 1, start=60_000)).status == 200  # the first goes on


def alerts(platform: Platform, person: str = "") -> list[dict[str, Any]]:
    chosen = ("--person", person) if person else ()
    found = json.loads(platform.run("alerts", "list", "--json", "--rule", "leaver-attempt", *chosen))
    assert isinstance(found, list)
    return found


def retire(platform: Platform, folder: Path, *accounts: str) -> None:
    """Persons left01, left02, ... who have left, with these Okta accounts."""
    people = "person_id,name,country,zone,employment_start,employment_end\n"
    keys = "system,account,person_id,valid_from,valid_to\n"
    for number, account in enumerate(accounts, 1):
        people += f"left{number:02d},Former Employee,JP,Asia/Tokyo,2020-04-01,2024-03-31\n"
        keys += f"okta,{account}@reiji.example,left{number:02d},2020-04-01T00:00:00+09:00,\n"
    (folder / "people.csv").write_text(people)
    (folder / "accounts.csv").write_text(keys)
    platform.run("people", "import", str(folder / "people.csv"))
    platform.run("accounts", "import", str(folder / "accounts.csv"))


class Load:
    """Sends batches on one connection after another; keeps what was acknowledged; repeats what was not."""

    def __init__(self, platform: Platform, size: int = 200) -> None:
        self._platform = platform
        self._size = size
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged = 0
        self.statuses: set[int] = set()

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            body = ndjson("okta", self._size, start=self.acknowledged, at=datetime.now(tz=UTC))
            if not self._sent(body):
                return
            self.acknowledged += self._size
            time.sleep(0.02)

    def _sent(self, body: bytes) -> bool:
        while not self._stop.is_set():
            try:
                answer = post(self._platform, "okta", body)
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)
                continue
            self.statuses.add(answer.status)
            if answer.status == 200:
                return True
            time.sleep(0.1)
        return False


def test_pipeline_killed_under_load_then_stopped(tmp_path: Path) -> None:
    """kill -9 of the pipeline three times at random moments, then SIGTERM with records still waiting."""
    chance = random.Random(20260514)
    with Platform(tmp_path / "data") as platform:
        gone = [f"emp{number:04d}" for number in range(0, 2000, 100)]
        retire(platform, tmp_path, *gone)
        with Load(platform) as load:
            for _ in range(3):  # some of them hit the same batch again, some another one
                time.sleep(chance.uniform(0.3, 2.0))
                platform.wait_restarted("pipeline", platform.kill("pipeline"))
            at_the_end = load.acknowledged
        assert load.acknowledged >= at_the_end > 1000
        seconds = platform.stop()
        print(f"\n{load.acknowledged} acknowledged; SIGTERM to the end: {seconds:.1f} s; {platform.error}")
        assert platform.exit_status == 0
        assert seconds < 20
        assert all(
            not Path(f"/proc/{platform.pid(name)}").exists() for name in ("collect", "pipeline", "notify")
        )
        assert platform.error.count("pipeline ended with signal SIGKILL") == 3

        # what was journaled and not yet done at the end is done at the next start
        platform.start()
        settled(platform)
        stored = count(platform, "source = 'okta'")
        numbers = platform.sql(
            "SELECT count(DISTINCT metadata_uid) AS n, min(metadata_uid) AS a, max(metadata_uid) AS b"
            " FROM events WHERE source = 'okta'"
        )[0]
        # a batch whose acknowledgement the end cut off may be stored beyond those acknowledged: once
        assert stored in (load.acknowledged, load.acknowledged + 200)
        assert numbers["n"] == stored
        assert int(numbers["b"][-12:]) == stored - 1

        # of 20 retired persons each has exactly the alerts of his events: one, counting all of them
        expected = platform.sql(
            "SELECT person_uid AS person, count(*) AS n FROM events WHERE source = 'okta'"
            " AND person_uid LIKE 'left%' GROUP BY ALL ORDER BY 1"
        )
        raised: dict[str, int] = {}
        for alert in alerts(platform):
            raised[alert["person"]] = raised.get(alert["person"], 0) + alert["count"]
        assert raised == {row["person"]: row["n"] for row in expected}
        assert len(alerts(platform)) == len(raised) == 20


@pytest.mark.parametrize("what", ["http", "syslog"])
def test_a_port_in_use_is_named(tmp_path: Path, what: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        data = tmp_path / "data"
        data.mkdir()
        http_port, syslog_port = (port, free_port()) if what == "http" else (free_port(), port)
        (data / "sekisho.toml").write_text(
            f"[collect]\nhttp_port = {http_port}\nsyslog_tcp_port = {syslog_port}\nsyslog_udp_port = 0\n"
        )
        up = subprocess.Popen(
            [sys.executable, "-m", "sekisho.cli.main", "--data", str(data), "up", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        watchdog = threading.Timer(20, up.kill)
        watchdog.start()
        assert up.stderr is not None
        error = ""
        while "collect ended with" not in error and (line := up.stderr.readline()):
            error += line
        up.send_signal(signal.SIGTERM)
        up.communicate(timeout=30)
        watchdog.cancel()
    assert str(port) in error
    assert "in use" in error
    assert "end the program that uses it" in error
    assert "Traceback" not in error


# -- the disk ----------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.decode()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_stops_taking_and_nothing_acknowledged_is_missing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 60) as disk, Platform(disk / "data", collect="") as platform:
        ballast = disk / "ballast"
        with Load(platform, size=500) as load:
            platform.until(lambda: load.acknowledged >= 2000, 20, "some events")
            fill(ballast, shutil.disk_usage(disk).free - 3_000_000)
            platform.until(lambda: 503 in load.statuses, 30, "503 from the full disk")
            answer = post(platform, "okta", ndjson("okta", 500, start=900_000))
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
            before = load.acknowledged
            # reading still works
            assert count(platform, "source = 'okta'") > 0
            assert platform.run("search", "--json", "source:okta", "--limit", "3").count("\n") == 3
            ballast.unlink()
            platform.until(lambda: load.acknowledged > before + 1000, 30, "it goes on after there is space")
        settled(platform)
        status = platform.status()
        assert status["rejects"] == 0
        numbers = platform.sql(
            "SELECT count(DISTINCT metadata_uid) AS n, max(metadata_uid) AS b FROM events"
            f" WHERE source = 'okta' AND metadata_uid < 'dc9fd3c0-598c-11ef-8478-{load.acknowledged:012d}'"
        )[0]
        assert numbers["n"] == load.acknowledged
        print(f"\n{load.acknowledged} acknowledged with a full disk between; statuses {load.statuses}")
        assert count(platform, "source = 'okta'") in (load.acknowledged, load.acknowledged + 500)


def fill(path: Path, size: int) -> None:
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
