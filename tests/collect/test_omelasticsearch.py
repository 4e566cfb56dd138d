"""rsyslog's omelasticsearch, as the page on shippers configures it, against the real receiver.

Needs the Debian packages rsyslog and rsyslog-elasticsearch; skipped without.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from pathlib import Path

import pytest

from tests.collect.http_server import receiver
from tests.collect.test_rsyslog import RSYSLOGD, rsyslog
from tests.collect.test_syslog_servers import until
from tests.conftest import ROOT

MODULE = next(iter(Path("/usr/lib").glob("*/rsyslog/omelasticsearch.so")), None)
PAGE = ROOT / "docs" / "operate" / "en" / "shippers.md"
COUNT = 2_000
HEAD = """
global(workDirectory="{work}" maxMessageSize="64k")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{socket}" CreatePath="on" RateLimit.Interval="0")
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        RSYSLOGD is None or MODULE is None,
        reason="rsyslog's omelasticsearch is not installed (Debian packages rsyslog, rsyslog-elasticsearch)",
    ),
]


def documented(port: int, token: str, index: str) -> str:
    """The block of the page, pointed at this receiver."""
    found = re.search(r"```\n(template\(name=\"json-message\".*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    changes = {
        'server="HOST" serverport="8088" usehttps="on" tls.cacert="/etc/sekisho/ca.pem"':
            f'server="127.0.0.1" serverport="{port}"',
        "TOKEN": token,
        'searchIndex="ocsf"': f'searchIndex="{index}"',
        'queue.filename="sekisho-es"': 'queue.filename="sekisho-es" queue.size="10000"',
        'action.resumeRetryCount="-1"': 'action.resumeRetryCount="-1" action.resumeInterval="1"',
    }  # fmt: skip
    text = found[1]
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def log(path: Path, start: int, end: int) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(str(path))
        for n in range(start, end):
            body = json.dumps({"n": n, "名": "関所"}, ensure_ascii=False).encode()
            sock.send(b"<134>May 14 10:02:03 my-json-app: " + body)
            sock.send(b"<134>May 14 10:02:03 other-app: not for Sekisho")


async def test_json_messages_arrive_once_also_when_the_receiver_was_full(tmp_path: Path) -> None:
    async with receiver(tmp_path) as server:
        config = HEAD.format(work=tmp_path, socket=tmp_path / "log")
        config += documented(server.port, server.token, "okta")
        async with rsyslog(tmp_path, config):
            await asyncio.to_thread(log, tmp_path / "log", 0, COUNT // 2)
            await until(lambda: len(server.bodies) == COUNT // 2, 30)
            server.full = True  # as with a full disk: 503 and Retry-After
            await asyncio.to_thread(log, tmp_path / "log", COUNT // 2, COUNT)
            await until(lambda: sum(server.counters.refused.values()) > 0, 30)
            assert len(server.bodies) == COUNT // 2
            server.full = False
            await until(lambda: len(server.bodies) >= COUNT, 60)
    assert sorted(json.loads(body)["n"] for body in server.bodies) == list(range(COUNT))
    assert {(r.source, r.receiver) for r in server.stored} == {("okta", "bulk")}
