"""A running platform for the benchmarks and the tests of the whole road: `sekisho up` on free ports."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Platform:
    """Started on entry, stopped on exit. ``extra``: further lines of ``sekisho.toml``."""

    def __init__(self, data: Path, extra: str = "", collect: str = "") -> None:
        self.data = data
        self.http_port, self.tcp_port, self.udp_port, self.tls_port = (free_port() for _ in range(4))
        self._extra = extra
        self._collect = collect
        #: what `sekisho up` wrote to standard error, and its exit status, after ``stop``
        self.error = ""
        self.exit_status: int | None = None
        self.token = ""
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def __enter__(self) -> Platform:
        self.data.mkdir(parents=True, exist_ok=True)
        (self.data / "sekisho.toml").write_text(
            f"{self._extra}\n[collect]\nhttp_port = {self.http_port}\nsyslog_tcp_port = {self.tcp_port}\n"
            f"syslog_udp_port = {self.udp_port}\nmin_free = 1000000\n{self._collect}\n"
        )
        self.start()
        return self

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sekisho.cli.main", "--data", str(self.data), "up", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"sekisho up did not start: {self._process.communicate()[1][-2000:]}")
        self.token = json.loads(line)["token"] or self.token

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> float:
        """SIGTERM; waits for the end; gives the seconds it took."""
        process, self._process = self._process, None
        if process is None:
            return 0.0
        began = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        _, self.error = process.communicate(timeout=90)
        self.exit_status = process.returncode
        return time.perf_counter() - began

    @property
    def supervisor(self) -> int:
        """Process id of `sekisho up`."""
        assert self._process is not None
        return self._process.pid

    def run(self, *arguments: str, check: bool = True) -> str:
        """A command of the platform on this data folder; gives its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "sekisho.cli.main", "--data", str(self.data), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"sekisho {' '.join(arguments)}: {done.stderr}{done.stdout}")
        return done.stdout

    def said(self, name: str) -> dict[str, object]:
        found = json.loads((self.data / "run" / f"{name}.json").read_text())
        assert isinstance(found, dict)
        return found

    def pid(self, name: str) -> int:
        pid = self.said(name)["pid"]
        assert isinstance(pid, int)
        return pid

    def kill(self, name: str) -> int:
        """``kill -9`` one of its processes; the supervisor starts it again. Gives the id of the killed."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_restarted(self, name: str, killed: int, seconds: float = 60) -> int:
        """Wait until the process works again under another id; gives the new one."""

        def again() -> int:
            pid = self.pid(name)
            return 0 if pid == killed or not Path(f"/proc/{pid}").exists() else pid

        return self.until(again, seconds, f"{name} again after {killed} was killed")

    @staticmethod
    def until(found: Callable[[], T], seconds: float, what: str, pause: float = 0.1) -> T:
        """Ask again and again until the answer is true; gives it."""
        end = time.monotonic() + seconds
        while not (answer := found()):
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds:g} s: {what}")
            time.sleep(pause)
        return answer

    def sql(self, statement: str) -> list[dict[str, Any]]:
        """Rows of `sekisho sql --json`."""
        return [json.loads(line) for line in self.run("sql", "--json", statement).splitlines()]

    def status(self) -> dict[str, object]:
        found = json.loads(self.run("status", "--json", check=False))
        assert isinstance(found, dict)
        return found

    def stored(self) -> int:
        """Events in the lake."""
        events = self.status()["events"]
        assert isinstance(events, int)
        return events

    def wait_for(self, events: int, seconds: float) -> float:
        """Wait until so many events are stored and nothing waits; gives the seconds it took."""
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            now = self.status()
            stored = now["events"]
            assert isinstance(stored, int)
            if stored >= events and not now["backlog"]:
                return time.perf_counter() - began
            time.sleep(0.3)
        raise TimeoutError(f"{self.status()} instead of {events} events after {seconds:g} s")

    def resident(self) -> dict[str, int]:
        """Resident bytes by process."""
        sizes = {}
        for name in ("collect", "pipeline", "notify"):
            pages = Path(f"/proc/{self.pid(name)}/statm").read_text().split()[1]
            sizes[name] = int(pages) * 4096
        numbers = self.said("pipeline")["numbers"]
        assert isinstance(numbers, dict)
        if ahead := int(numbers["ahead_pid"]):
            try:
                sizes["ahead"] = int(Path(f"/proc/{ahead}/statm").read_text().split()[1]) * 4096
            except OSError:
                sizes["ahead"] = 0  # it has just ended
        if self._process is not None:
            pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
            sizes["up"] = int(pages) * 4096
        return sizes
