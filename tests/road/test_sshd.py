"""A real sshd logs to a real rsyslog, which forwards over TCP and TLS; a retired account raises the alarm.

Needs root and the Debian packages rsyslog, rsyslog-gnutls or rsyslog-openssl, openssh-server and
openssh-client; skipped without. sshd has its own configuration and keys and listens on loopback; the
accounts are ones that Debian always has (news, games) and are not changed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from bench.platform import Platform, free_port

from tests.collect.syslog_keys import Keys, make_keys

SEARCH = os.environ.get("PATH", "") + ":/usr/sbin"
PROGRAMS = {name: shutil.which(name, path=SEARCH) for name in ("sshd", "ssh", "ssh-keygen", "rsyslogd")}
MISSING = [name for name, path in PROGRAMS.items() if path is None]
TLS_DRIVERS = [
    name for name in ("gtls", "ossl") if next(iter(Path("/usr/lib").glob(f"*/rsyslog/lmnsd_{name}.so")), None)
]
DEV_LOG = Path("/dev/log")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.getuid() != 0, reason="a real sshd that lets other accounts in needs root"),
    pytest.mark.skipif(
        bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (Debian: openssh-server, rsyslog)"
    ),
]

EMPLOYEE, RETIRED = "news", "games"

RSYSLOG = """
global(workDirectory="{work}" maxMessageSize="64k" defaultNetstreamDriverCAFile="{keys.ca}"
  defaultNetstreamDriverCertFile="{keys.client}" defaultNetstreamDriverKeyFile="{keys.client_key}")
{input}
action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" {options}
  template="RSYSLOG_SyslogProtocol23Format"
  queue.type="LinkedList" action.resumeRetryCount="-1" action.resumeInterval="1")
"""
#: as on any Debian without systemd-journald: sshd writes to /dev/log, where rsyslog listens
FROM_SOCKET = 'module(load="imuxsock" SysSock.Name="/dev/log")'
#: where /dev/log belongs to the machine's own logging: sshd writes a file, which rsyslog follows
FROM_FILE = """module(load="imfile" PollingInterval="1")
input(type="imfile" File="{log}" Tag="sshd:" Facility="auth")"""
SSHD = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
LogLevel VERBOSE
AllowUsers news games
AuthorizedKeysFile {folder}/%u.keys
"""


class Server:
    """sshd and rsyslogd, running, and how to knock."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self.port = port

    def login(self, account: str, key: str) -> int:
        """Exit status of ssh: 255 where it was not let in, else that of the account's shell (nologin: 1)."""
        return subprocess.run(
            [
                str(PROGRAMS["ssh"]), "-F", "none", "-p", str(self.port), "-i", str(self._folder / key),
                "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
                "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                f"{account}@127.0.0.1", "true",
            ],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False,
        ).returncode  # fmt: skip


def make_key(path: Path) -> None:
    subprocess.run(
        [str(PROGRAMS["ssh-keygen"]), "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)],
        check=True,
    )


@contextmanager
def process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(timeout=20)


@contextmanager
def server(scratch: Path, syslog_port: int, options: str, keys: Keys) -> Iterator[Server]:
    """sshd -> rsyslogd -> the platform's port."""
    assert not MISSING
    with ExitStack() as stack:
        # sshd reads the keys as the account that logs in, which pytest's own folders do not allow
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sekisho-sshd-")))
        folder.chmod(0o755)
        for name in ("host", "good", "wrong"):
            make_key(folder / name)
        for account in (EMPLOYEE, RETIRED):
            shutil.copy(folder / "good.pub", folder / f"{account}.keys")
            (folder / f"{account}.keys").chmod(0o644)
        Path("/run/sshd").mkdir(exist_ok=True)  # the empty folder of its unprivileged part

        own_socket = not DEV_LOG.exists()
        log = folder / "sshd.log"
        if own_socket:
            stack.callback(DEV_LOG.unlink, missing_ok=True)
        else:
            log.touch()
        config = scratch / "rsyslog.conf"
        config.write_text(
            RSYSLOG.format(
                work=scratch,
                keys=keys,
                input=FROM_SOCKET if own_socket else FROM_FILE.format(log=log),
                port=syslog_port,
                options=options,
            )
        )
        stack.enter_context(
            process([str(PROGRAMS["rsyslogd"]), "-n", "-f", str(config), "-i", str(scratch / "rsyslog.pid")])
        )
        if own_socket:
            Platform.until(DEV_LOG.exists, 10, "rsyslog's socket")
        port = free_port()
        (folder / "sshd_config").write_text(SSHD.format(port=port, folder=folder))
        where = [] if own_socket else ["-E", str(log)]
        stack.enter_context(process([str(PROGRAMS["sshd"]), "-D", "-f", str(folder / "sshd_config"), *where]))
        found = Server(folder, port)
        Platform.until(lambda: found.login(EMPLOYEE, "wrong") == 255, 10, "sshd answers")
        yield found


def master_data(platform: Platform, folder: Path) -> None:
    """The holder of ``games`` has left; the account was forgotten."""
    (folder / "people.csv").write_text(
        "person_id,name,country,zone,employment_start,employment_end\n"
        "emp0001,Sato Hanako,JP,Asia/Tokyo,2020-04-01,\n"
        "emp9001,Suzuki Ichiro,JP,Asia/Tokyo,2019-04-01,2025-03-31\n"
    )
    (folder / "accounts.csv").write_text(
        "system,account,person_id,valid_from,valid_to\n"
        f"linux,{EMPLOYEE},emp0001,2020-04-01T00:00:00+09:00,\n"
        f"linux,{RETIRED},emp9001,2019-04-01T00:00:00+09:00,\n"
    )
    platform.run("people", "import", str(folder / "people.csv"))
    platform.run("accounts", "import", str(folder / "accounts.csv"))


def alerts(platform: Platform) -> list[dict[str, Any]]:
    found = json.loads(platform.run("alerts", "list", "--json", "--rule", "leaver-attempt"))
    assert isinstance(found, list)
    return found


def knock_and_wait(platform: Platform, server: Server) -> None:
    """Failed login, good login, login to the retired account; then what Sekisho says of it."""
    assert server.login(EMPLOYEE, "wrong") == 255
    assert server.login(EMPLOYEE, "good") != 255
    platform.until(
        lambda: platform.sql("SELECT count(*) AS n FROM events WHERE status = 'Accepted'")[0]["n"] == 1,
        15,
        "the employee's login",
    )
    assert alerts(platform) == []

    began = time.monotonic()
    assert server.login(RETIRED, "good") != 255
    (alert,) = platform.until(lambda: alerts(platform), 15, "the alert")
    seconds = time.monotonic() - began
    print(f"\nlogin to alert: {seconds:.1f} s; {alert['severity']}: {alert['what']['en']}")
    assert seconds < 10
    assert (alert["subject"], alert["person"], alert["severity"]) == (RETIRED, "emp9001", "critical")
    assert "Suzuki Ichiro" in alert["what"]["ja"]

    # all of it can be searched: who, from where, with what outcome
    rows = platform.sql(
        "SELECT user_name, src_endpoint_ip, status, status_id, auth_protocol, person_uid FROM events"
        " WHERE source = 'openssh' AND status IN ('Accepted', 'Failed') ORDER BY time"
    )
    outcomes = {(row["user_name"], row["status"], row["status_id"], row["person_uid"]) for row in rows}
    assert outcomes == {
        (EMPLOYEE, "Failed", 2, "emp0001"),
        (EMPLOYEE, "Accepted", 1, "emp0001"),
        (RETIRED, "Accepted", 1, "emp9001"),
    }
    assert {row["src_endpoint_ip"] for row in rows} == {"127.0.0.1"}
    assert {row["auth_protocol"] for row in rows} == {"publickey"}
    found = platform.run("search", "--json", f"user:{RETIRED} ip:127.0.0.1 status:success").splitlines()
    assert [json.loads(line)["user_name"] for line in found if "Accepted" in line] == [RETIRED]
    assert platform.status()["rejects"] == 0


def test_failed_good_and_retired_logins_over_tcp(tmp_path: Path) -> None:
    with Platform(tmp_path / "data") as platform:
        master_data(platform, tmp_path)
        with server(tmp_path, platform.tcp_port, 'TCP_Framing="octet-counted"', make_keys(tmp_path)) as sshd:
            knock_and_wait(platform, sshd)
        assert platform.sql("SELECT DISTINCT receiver FROM events WHERE source <> 'sekisho'") == [
            {"receiver": "syslog-tcp"}
        ]


@pytest.mark.skipif(not TLS_DRIVERS, reason="not installed: rsyslog-gnutls or rsyslog-openssl")
def test_failed_good_and_retired_logins_over_tls(tmp_path: Path) -> None:
    keys, port = make_keys(tmp_path), free_port()
    collect = (
        f"syslog_tls_port = {port}\n[collect.tls]\n"
        f'certificate = "{keys.server}"\nkey = "{keys.server_key}"\nclient_ca = "{keys.ca}"\n'
    )
    options = (
        f'TCP_Framing="octet-counted" StreamDriver="{TLS_DRIVERS[0]}" StreamDriverMode="1"'
        ' StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="localhost"'
    )
    with Platform(tmp_path / "data", collect=collect) as platform:
        master_data(platform, tmp_path)
        with server(tmp_path, port, options, keys) as sshd:
            knock_and_wait(platform, sshd)
        assert platform.sql("SELECT DISTINCT receiver FROM events WHERE source <> 'sekisho'") == [
            {"receiver": "syslog-tls"}
        ]
