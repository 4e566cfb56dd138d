"""The platform as the demo uses it: a child process and the commands that anybody would type."""

from __future__ import annotations

import fcntl
import json
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from sekisho.cli.demo_judge import Row, Shown
from sekisho.cli.demo_send import Address
from sekisho.cli.status import gather
from sekisho.model import Language, Refused, Severity
from sekisho.range.master import ORDER
from sekisho.settings import load

MARK = ".sekisho-demo"
READY_SECONDS = 90.0
STOP_SECONDS = 60.0
POLL_SECONDS = 0.7
#: no progress for so long means that nothing more will come
STALLED_SECONDS = 30.0
#: platform's own records (master data told, alerts judged), not sent by the demo
OWN_SOURCE = "sekisho"


class Count(NamedTuple):
    """What became of the records, without the platform's own."""

    backlog: int
    events: int
    rejects: int
    duplicates: int

    @property
    def settled(self) -> int:
        return self.events + self.rejects + self.duplicates


def prepare(data: Path, *, settings: str) -> None:
    """A fresh folder of the demo's own; an earlier demo's is removed first.

    Raises ``Refused`` rather than touch a folder that holds anything else, or a demo that runs.
    """
    if data.is_symlink() or (data.exists() and not data.is_dir()):
        raise Refused(f"{data} is not a plain folder", "name another one: sekisho demo --data FOLDER")
    if data.exists() and any(data.iterdir()):
        if not (data / MARK).is_file():
            raise Refused(
                f"{data} is not empty and not of an earlier demo",
                "name a new folder: sekisho demo --data FOLDER",
            )
        remove(data)
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    (data / MARK).write_text("made by `sekisho demo`; may be deleted\n")
    (data / "sekisho.toml").write_text(settings, encoding="utf-8")


def remove(data: Path) -> None:
    """Delete a demo's folder, unless a platform still runs on it."""
    assert (data / MARK).is_file()
    lock = data / "run" / "up.lock"
    if lock.exists():
        with lock.open("r+") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused(
                    f"a demo still runs on {data}", "stop it with Ctrl-C, or name another folder with --data"
                ) from None
    shutil.rmtree(data)


def free_ports(number: int, host: str = "127.0.0.1") -> list[int]:
    """Ports on which nobody listens now, over TCP and UDP."""
    ports: list[int] = []
    held = []
    while len(ports) < number:
        tcp = socket.create_server((host, 0))
        held.append(tcp)
        port = tcp.getsockname()[1]
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        held.append(udp)
        try:
            udp.bind((host, port))
        except OSError:
            continue
        ports.append(port)
    for one in held:
        one.close()
    return ports


def settings_toml(http: int, syslog: int, vpn_list: Path, language: Language) -> str:
    quoted = json.dumps(str(vpn_list))
    return f"""# Settings of the demo.
language = "{language}"
zone = "Asia/Tokyo"

[collect]
http_port = {http}
syslog_udp_port = {syslog}
syslog_tcp_port = {syslog}

[[enrich.networks]]
path = {quoted}
net_class = "vpn"
name = "fictional VPN list"
"""


class Platform:
    """``sekisho up`` as a child, and the other commands on its data folder."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._up: subprocess.Popen[str] | None = None

    def __enter__(self) -> Platform:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-P", "-m", "sekisho.cli.main", "--data", str(self.data), *words]

    def run(self, *words: str, ok: tuple[int, ...] = (0,)) -> str:
        """A command of `sekisho`; its output. Raises ``Refused`` with what it said if it fails."""
        done = subprocess.run(self._command(*words), capture_output=True, text=True, check=False)
        if done.returncode not in ok:
            said = (done.stderr or done.stdout).strip()
            raise Refused(f"`sekisho {' '.join(words)}` ended with {done.returncode}:\n{said[-2000:]}")
        return done.stdout

    def start(self) -> Address:
        """Start it and wait until it is ready."""
        log = (self.data / "up.log").open("w")
        # a session of its own: Ctrl-C reaches the demo alone, which then stops the platform in order
        self._up = subprocess.Popen(
            self._command("up", "--json"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        log.close()
        line = self._first_line(self._up)
        try:
            said = json.loads(line)
        except ValueError as error:
            why = (self.data / "up.log").read_text(encoding="utf-8", errors="replace").strip()
            raise Refused(f"`sekisho up` did not get ready: {line or why[-2000:]}") from error
        http = str(said["http"])
        host = http.partition("://")[2].rpartition(":")[0]
        return Address(http, str(said["token"]), (host, int(said["syslog_tcp"])))

    @staticmethod
    def _first_line(up: subprocess.Popen[str]) -> str:
        assert up.stdout is not None
        ready, _, _ = select.select([up.stdout], [], [], READY_SECONDS)
        return up.stdout.readline() if ready else ""

    def stop(self) -> int | None:
        """SIGTERM, then wait; its exit status, None if it was not started."""
        if self._up is None:
            return None
        if self._up.poll() is None:
            self._up.terminate()
            try:
                self._up.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._up.kill()
                self._up.wait()
        if self._up.stdout is not None:
            self._up.stdout.close()
        return self._up.returncode

    def alive(self) -> bool:
        return self._up is not None and self._up.poll() is None

    def import_master(self, files: Mapping[str, Path]) -> None:
        for table in ORDER:
            self.run(table, "import", str(files[table]))

    def count(self) -> Count:
        said = gather(load(self.data))
        own = said.get("sources", {}).get(OWN_SOURCE, {}).get("events", 0)
        return Count(
            int(said["backlog"]), int(said["events"]) - own, int(said["rejects"]), int(said["duplicates"])
        )

    def settle(self, sent: int, told: Callable[[Count], None]) -> Count:
        """Wait until everything sent is an event, a reject or folded, or until nothing moves any more."""
        last, since = Count(-1, 0, 0, 0), time.monotonic()
        while True:
            now = self.count()
            told(now)
            if now.backlog == 0 and now.settled >= sent:
                return now
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > STALLED_SECONDS or not self.alive():
                return now
            time.sleep(POLL_SECONDS)

    def reject_reasons(self) -> list[tuple[str, str, int]]:
        said = gather(load(self.data))
        return [(str(a), str(b), int(n)) for a, b, n in said.get("reject_reasons", [])]

    def alerts(self, language: Language) -> list[Shown]:
        """All alerts in the order in which a person should read them, each with its evidence."""
        file = self.data / "alerts.json"
        self.run("alerts", "export", str(file), "--state", "all")
        return [shown(tree, language) for tree in json.loads(file.read_text(encoding="utf-8"))]


def shown(tree: dict[str, Any], language: Language) -> Shown:
    """One alert of `sekisho alerts export FILE.json`."""
    return Shown(
        uid=tree["uid"],
        rule=tree["rule"],
        severity=Severity[tree["severity"].upper()],
        title=tree["title"][language],
        what=tree["what"][language],
        why=tree["why"][language],
        todo=tuple(step[language] for step in tree["todo"]),
        advisory=tuple(tree["advisory"]),
        attack=tuple(tree["attack"]),
        person=tree["person"],
        zone=tree["zone"],
        evidence=tuple(
            Row(datetime.fromisoformat(row["time"]), row["source"], tuple(row["facts"].items()))
            for row in tree["evidence"]
        ),
    )
