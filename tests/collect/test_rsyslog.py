"""A real rsyslog forwards over TCP and TLS.

Needs the Debian packages rsyslog and rsyslog-gnutls or rsyslog-openssl; skipped without.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sekisho.collect.counters import Counters
from tests.collect.syslog_keys import make_keys
from tests.collect.test_syslog_servers import Journal, running, server_context, until

pytestmark = pytest.mark.slow
WANTED = re.compile(rb"<38>1 \d{4}-\S+ \S+ sshd 77 - - +Failed password for")
RSYSLOGD = shutil.which("rsyslogd", path=os.environ.get("PATH", "") + ":/usr/sbin")
DRIVERS = {
    name: next(iter(Path("/usr/lib").glob(f"*/rsyslog/{name}.so")), None)
    for name in ("lmnsd_gtls", "lmnsd_ossl")
}

CONFIG = """
global(workDirectory="{work}" maxMessageSize="64k"
  defaultNetstreamDriverCAFile="{ca}" defaultNetstreamDriverCertFile="{client}"
  defaultNetstreamDriverKeyFile="{client_key}")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{socket}" CreatePath="on" RateLimit.Interval="0")
action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" {options}
  queue.type="LinkedList" queue.size="50000" action.resumeRetryCount="-1" action.resumeInterval="1")
"""
TLS = (
    'StreamDriver="{driver}" StreamDriverMode="1" StreamDriverAuthMode="x509/name"'
    ' StreamDriverPermittedPeers="localhost"'
)


@contextlib.asynccontextmanager
async def rsyslog(folder: Path, config: str) -> AsyncIterator[None]:
    """Our own rsyslogd in a folder; the machine's configuration is not touched."""
    assert RSYSLOGD is not None
    file = folder / "rsyslog.conf"
    file.write_text(config)
    process = await asyncio.create_subprocess_exec(
        RSYSLOGD, "-n", "-f", str(file), "-i", str(folder / "pid"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        await until(lambda: (folder / "log").exists() or process.returncode is not None)
        assert process.returncode is None, (await process.communicate())[0].decode()
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


def log(path: Path, start: int, end: int) -> None:
    """Write as a program does with syslog(3)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(str(path))
        for n in range(start, end):
            sock.send(b"<38>May 14 10:02:03 sshd[77]: Failed password for invalid user guest n=%d" % n)


def numbers(journal: Journal) -> list[int]:
    return [int(m.group(1)) for b in journal.bodies if (m := re.search(rb"n=(\d+)$", b))]


@pytest.mark.skipif(RSYSLOGD is None, reason="rsyslogd is not installed (Debian package rsyslog)")
@pytest.mark.parametrize("framing", ["traditional", "octet-counted"])
async def test_rsyslog_over_tcp(tmp_path: Path, framing: str) -> None:
    journal, counters = Journal(), Counters()
    keys = make_keys(tmp_path)
    options = f'TCP_Framing="{framing}" template="RSYSLOG_SyslogProtocol23Format"'
    async with running(journal, counters) as receivers:
        port = receivers.ports["syslog-tcp"]
        config = CONFIG.format(
            work=tmp_path, socket=tmp_path / "log", port=port, options=options, **keys._asdict()
        )
        async with rsyslog(tmp_path, config):
            await asyncio.to_thread(log, tmp_path / "log", 0, 5000)
            await until(lambda: len(numbers(journal)) == 5000, 30)
    assert sorted(numbers(journal)) == list(range(5000))
    assert [b for b in journal.bodies if b"n=" in b and not WANTED.match(b)] == []
    assert {r.attributes.get("framing", "") for r in journal.records} == {""}
    assert {r.receiver for r in journal.records} == {"syslog-tcp"}


@pytest.mark.skipif(RSYSLOGD is None, reason="rsyslogd is not installed (Debian package rsyslog)")
@pytest.mark.parametrize("driver", ["gtls", "ossl"])
async def test_rsyslog_over_tls_with_a_client_certificate(tmp_path: Path, driver: str) -> None:
    if DRIVERS[f"lmnsd_{driver}"] is None:
        pytest.skip(f"rsyslog's TLS driver {driver} is not installed (rsyslog-gnutls, rsyslog-openssl)")
    journal, counters = Journal(), Counters()
    keys = make_keys(tmp_path)
    options = TLS.format(driver=driver) + ' TCP_Framing="octet-counted"'
    async with running(journal, counters, context=server_context(keys)) as receivers:
        config = CONFIG.format(
            work=tmp_path,
            socket=tmp_path / "log",
            port=receivers.ports["syslog-tls"],
            options=options,
            **keys._asdict(),
        )
        async with rsyslog(tmp_path, config):
            await asyncio.to_thread(log, tmp_path / "log", 0, 2000)
            await until(lambda: len(numbers(journal)) == 2000, 30)
    assert sorted(numbers(journal)) == list(range(2000))
    assert {r.identity for r in journal.records} == {"shipper-01.example.jp"}
    assert {r.receiver for r in journal.records} == {"syslog-tls"}
