"""The demo's own parts: sending, judging, its folder. The whole demo, end to end, is the slow test."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from rich.console import Console

from sekisho.cli import demo_platform
from sekisho.cli.demo import language_of, queries, span
from sekisho.cli.demo_judge import Row, Shown, judge
from sekisho.cli.demo_send import Address, send
from sekisho.cli.demo_show import Screen
from sekisho.cli.demo_words import WORDS
from sekisho.model import Refused
from sekisho.range import STREAMS, Act, Range, Size, period, simulate
from sekisho.settings import load

TOKEN = "a-token"


@pytest.fixture(scope="module")
def simulated() -> Range:
    start, end = period(datetime(2026, 5, 25, 4, 30, tzinfo=UTC))
    return simulate(3, start, end, people=36, size=Size(0.1))


# -- sending -----------------------------------------------------------------------------------------


class Receiver:
    """Takes what shippers send, answers 503 to every fifth request, and keeps the records."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.authorizations: set[str] = set()
        self.closed = asyncio.Semaphore(0)
        self._requests = 0

    def busy(self, request: web.Request) -> None:
        self._requests += 1
        if self._requests % 5 == 0:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "0"})
        self.authorizations.add(request.headers["Authorization"].partition(" ")[0])

    async def hec(self, request: web.Request) -> web.Response:
        self.busy(request)
        for line in (await request.read()).split(b"\n"):
            tree = json.loads(line)
            assert tree["sourcetype"]
            event = tree["event"]
            body = (
                event
                if isinstance(event, str)
                else json.dumps(event, ensure_ascii=False, separators=(",", ":"))
            )
            self.bodies.append(body.encode())
        return web.json_response({"text": "Success", "code": 0})

    async def bulk(self, request: web.Request) -> web.Response:
        self.busy(request)
        assert base64.b64decode(request.headers["Authorization"].split()[1]).endswith(TOKEN.encode())
        lines = (await request.read()).splitlines()
        assert all(json.loads(action)["create"]["_index"] for action in lines[::2])
        self.bodies += lines[1::2]
        return web.json_response({"took": 0, "errors": False, "items": []})

    async def otlp(self, request: web.Request) -> web.Response:
        self.busy(request)
        got = ExportLogsServiceRequest.FromString(await request.read())
        self.bodies += [
            log.body.string_value.encode()
            for resource in got.resource_logs
            for scope in resource.scope_logs
            for log in scope.log_records
        ]
        return web.Response()

    async def ndjson(self, request: web.Request) -> web.Response:
        self.busy(request)
        self.bodies += (await request.read()).splitlines()
        return web.json_response({})

    async def syslog(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = await reader.read()
        while stream:
            length, _, stream = stream.partition(b" ")
            self.bodies.append(stream[: int(length)])
            assert len(self.bodies[-1]) == int(length)
            stream = stream[int(length) :]
        writer.close()
        self.closed.release()


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, Address]]:
    found = Receiver()

    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/services/collector/event", found.hec)
    app.router.add_post("/_bulk", found.bulk)
    app.router.add_post("/v1/logs", found.otlp)
    app.router.add_post("/v1/ingest/{source}", found.ndjson)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server = await asyncio.start_server(found.syslog, "127.0.0.1", 0)
    port = runner.addresses[0][1]
    yield found, Address(f"http://127.0.0.1:{port}", TOKEN, ("127.0.0.1", server.sockets[0].getsockname()[1]))
    server.close()
    await runner.cleanup()


async def test_every_record_arrives_once_over_every_transport(
    simulated: Range, receiver: tuple[Receiver, Address]
) -> None:
    found, address = receiver
    told: dict[str, int] = {}

    def count(stream: str, records: int) -> None:
        told[stream] = told.get(stream, 0) + records

    sent = await send(simulated.streams, address, count)
    expected = sorted(one.body for records in simulated.streams.values() for one in records)
    async with asyncio.timeout(10):
        for records in simulated.streams.values():
            if STREAMS[records[0].stream].transport == "syslog":
                await found.closed.acquire()
    assert sorted(found.bodies) == expected
    assert told == {name: len(records) for name, records in simulated.streams.items()}
    assert sent == len(expected)
    assert {STREAMS[name].transport for name in told} == {"hec", "bulk", "otlp", "ndjson", "syslog"}
    assert found.authorizations == {"Splunk", "ApiKey", "Bearer"}


async def test_refusal_is_said_with_the_answer(simulated: Range, receiver: tuple[Receiver, Address]) -> None:
    _, address = receiver
    wrong = address._replace(http=address.http + "/nowhere")
    with pytest.raises(ExceptionGroup) as raised:
        await send({"okta": simulated.streams["okta"][:3]}, wrong, lambda *_: None)
    assert "answered 404" in str(raised.value.exceptions[0])


async def test_speed_limits_records_per_second(simulated: Range, receiver: tuple[Receiver, Address]) -> None:
    _, address = receiver
    clock = asyncio.get_running_loop().time
    began = clock()
    streams = {"squid": simulated.streams["squid"][:2000]}
    await send(streams, address, lambda *_: None, per_second=5000)
    assert clock() - began >= 0.19  # the second thousand waits for its turn


# -- judging -----------------------------------------------------------------------------------------


def alert_on(simulated: Range, act: Act, rule: str) -> Shown:
    stream, time = simulated.ledger.records[act.id][0]
    rows = (Row(time, stream, (("user_name", "[x]"),)),)
    return Shown(
        f"{act.id}{rule}", rule, 4, "t", "w", "y", ("do",), ("A2",), ("T1078",), act.person, "", rows
    )


def test_judging_tells_found_missed_wrong_and_stray(simulated: Range) -> None:
    ledger = simulated.ledger
    alerts = [alert_on(simulated, act, act.rules[0]) for act in ledger.planted if act.required]
    verdict = judge(ledger, alerts)
    assert verdict.complete
    assert verdict.false_alarms == 0

    missing = judge(ledger, alerts[1:])
    assert [act.id for act in missing.missed] == ["S02"]

    other_rule = judge(ledger, [alert_on(simulated, ledger.planted[1], "another"), *alerts[1:]])
    assert [act.id for act in other_rule.missed] == ["S02"]
    assert [alert.rule for alert in other_rule.also["S02"]] == ["another"]

    alike = ledger.look_alikes[0]
    long_ago = Row(simulated.world.start - timedelta(days=1), "okta")
    stray = Shown("s", "stray", 3, "t", "w", "y", (), (), (), "", "", (long_ago,))
    wrong = judge(ledger, [*alerts, alert_on(simulated, alike, "decoy"), stray])
    assert wrong.complete
    assert [a.rule for a in wrong.wrongly[alike.id]] == ["decoy"]
    assert wrong.strays == [stray]
    assert wrong.false_alarms == 2


@pytest.mark.parametrize("language", ["ja", "en"])
def test_report_shows_every_act_in_the_reader_s_language(
    simulated: Range, language: str, tmp_path: Path
) -> None:
    out = io.StringIO()
    screen = Screen("ja" if language == "ja" else "en", Console(file=out, width=200))
    ledger = simulated.ledger
    alerts = [alert_on(simulated, act, act.rules[0]) for act in ledger.planted if act.required][1:]
    screen.alerts(alerts, tmp_path)
    screen.compare(simulated, judge(ledger, alerts))
    screen.searches(tmp_path, queries(simulated))
    text = out.getvalue()
    for act in ledger.acts:
        assert act.id in text
    assert WORDS["not_yet"].get(screen.language) in text
    assert WORDS["missed"].fill({"rules": ledger.planted[1].rules[0]}).get(screen.language) in text
    assert "user_name=[x]" in text
    assert text.count("search ") >= 3
    assert ("誤報" in text) == (language == "ja")


# -- the folder, the language, the period ------------------------------------------------------------


def test_folder_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("years of work")
    with pytest.raises(Refused, match="not of an earlier demo"):
        demo_platform.prepare(theirs, settings="")
    assert (theirs / "thesis.txt").read_text() == "years of work"
    link = tmp_path / "link"
    link.symlink_to(theirs)
    with pytest.raises(Refused, match="not a plain folder"):
        demo_platform.prepare(link, settings="")


def test_earlier_demo_is_replaced_unless_it_runs(tmp_path: Path) -> None:
    data = tmp_path / "demo"
    settings = demo_platform.settings_toml(8099, 5599, data / "master" / "vpn.txt", "en")
    demo_platform.prepare(data, settings=settings)
    assert load(data).collect.http_port == 8099
    (data / "old").write_text("old")
    demo_platform.prepare(data, settings=settings)
    assert not (data / "old").exists()
    (data / "run").mkdir()
    with (data / "run" / "up.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Refused, match="still runs"):
            demo_platform.prepare(data, settings=settings)


def test_free_ports_are_different() -> None:
    assert len(set(demo_platform.free_ports(5))) == 5


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LC_ALL": "en_GB.UTF-8", "LANG": "ja_JP.UTF-8"}, "en"),
        ({}, "en"),
    ],
)
def test_language_follows_the_locale(environment: dict[str, str], language: str) -> None:
    assert language_of(environment) == language


def test_period_is_fixed_by_start_else_ends_now() -> None:
    now = datetime(2026, 5, 25, 4, 30, tzinfo=UTC)
    assert span(None, now) == (datetime(2026, 5, 11, 4, tzinfo=UTC), datetime(2026, 5, 25, 4, tzinfo=UTC))
    fixed = span(datetime(2026, 5, 11), now)
    assert fixed == (datetime(2026, 5, 10, 15, tzinfo=UTC), datetime(2026, 5, 24, 15, tzinfo=UTC))


# -- all of it ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_demo_finds_every_planted_act(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "sekisho.cli.main", "demo", "--exit", "--lang", "en",
            "--data", str(tmp_path / "demo"),
        ],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert "20 of 20 detectable acts found, 0 false alarms" in done.stdout
    assert (tmp_path / "demo" / "lake").is_dir(), "what was received stays for the searches that are printed"
