"""`sekisho up`: all processes of the platform under one supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from sekisho import first_run, status, wiring
from sekisho.cli import process, say
from sekisho.cli.main import Global
from sekisho.model import Refused

#: In this order they are started; stopped in the same order, so that what was received is still processed.
ORDER = ("collect", "pipeline", "notify")
FIRST_BACKOFF = 0.5
LAST_BACKOFF = 30.0
HEALTHY_AFTER = 60.0
STOP_SECONDS = 20.0
WATCH_SECONDS = 5.0
HUNG_SECONDS = 60.0
#: These speak every second or after each batch; notifications may wait long for a mail server.
WATCHED = ("collect", "pipeline")
READY_SECONDS = 60.0


class Child:
    """One process: started, and started again with growing pauses whenever it ends by itself."""

    def __init__(self, name: str, data: Path, refused: asyncio.Event, ready: asyncio.Event) -> None:
        self.name = name
        self._data = data
        self._refused = refused
        self._ready = ready
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    async def run(self) -> None:
        pause = FIRST_BACKOFF
        loop = asyncio.get_running_loop()
        while not self._stopping:
            began = loop.time()
            code = await self._once()
            if self._ended():
                return
            if loop.time() - began > HEALTHY_AFTER:
                pause = FIRST_BACKOFF
            if code == process.REFUSED and self._ready.is_set():
                # The others go on: the journal takes logs while the pipeline waits to be mended.
                click.echo(f"sekisho: {self.name} is held back; again in {LAST_BACKOFF:g} s", err=True)
                await asyncio.sleep(LAST_BACKOFF)
                continue
            if code == process.REFUSED:
                click.echo(f"sekisho: {self.name} cannot start; all is stopped", err=True)
                self._refused.set()
                return
            log = self._data / "run" / "log" / f"{self.name}.log"
            click.echo(
                f"sekisho: {self.name} ended with {_word(code)}; again in {pause:g} s (log: {log})", err=True
            )
            await asyncio.sleep(pause)
            pause = min(LAST_BACKOFF, pause * 2)

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def _ended(self) -> bool:
        return self._stopping

    async def _once(self) -> int:
        # The child ends when its standard input does: it never outlives a killed supervisor.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # never import what lies in the current folder
            "-m",
            "sekisho.cli.main",
            "--data",
            str(self._data),
            "serve",
            self.name,
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        return await self._process.wait()

    async def stop(self) -> None:
        self._stopping = True
        child = self._process
        if child is None or child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await child.wait()
        except TimeoutError:
            click.echo(f"sekisho: {self.name} did not stop in {STOP_SECONDS:g} s; killed", err=True)
            child.kill()
            await child.wait()


def _word(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"


async def supervise(data: Path, *, ready: asyncio.Event, more: Sequence[str] = ()) -> bool:
    """Run until SIGTERM or SIGINT; then stop cleanly. False if a process was refused a start.

    ``more``  processes beside those of ``ORDER`` that the settings ask for
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    refused = asyncio.Event()
    children = [Child(name, data, refused, ready) for name in (*ORDER, *more)]
    tasks = [asyncio.create_task(child.run()) for child in children]
    announce = asyncio.create_task(_until_ready(data, ready))
    watch = asyncio.create_task(_end_the_hung(data, children))
    ends = [asyncio.create_task(event.wait()) for event in (stop, refused)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for end in ends:
        end.cancel()
    announce.cancel()
    watch.cancel()
    for child in children:
        await child.stop()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, announce, watch, return_exceptions=True)
    return not refused.is_set()


async def _end_the_hung(data: Path, children: Sequence[Child]) -> None:
    """Kill a process that has said nothing for a minute: started again it may find what held it up."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        now = wiring.now().timestamp()
        for child in children:
            words = status.read(data / "run", child.name)
            if child.name in WATCHED and words and words.pid == child.pid and now - words.at > HUNG_SECONDS:
                click.echo(f"sekisho: {child.name} says nothing for {HUNG_SECONDS:g} s; killed", err=True)
                child.kill()


async def _until_ready(data: Path, ready: asyncio.Event) -> None:
    began = wiring.now().timestamp()
    while True:
        said = [status.read(data / "run", name) for name in ORDER]
        if all(words is not None and words.started_at >= began - 1 for words in said):
            ready.set()
            return
        if wiring.now().timestamp() - began > READY_SECONDS:
            click.echo(f"sekisho: not ready after {READY_SECONDS:g} s; see {data / 'run' / 'log'}", err=True)
            return
        await asyncio.sleep(0.1)


def _make_ready(data: Path) -> None:
    """Check the content, bring the database up to date, publish the master data.

    In a process of its own: the supervisor stays small.
    """
    command = [sys.executable, "-P", "-m", "sekisho.cli.main", "--data", str(data), "serve", "ready"]
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def _hold(data: Path) -> int:
    """One supervisor per data folder."""
    fd = os.open(data / "run" / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(fd, 100).decode("ascii", "replace").strip()
        raise Refused(
            f"`sekisho up` already runs on {data} as process {holder}", "use it, or stop it first"
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
    return fd


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="One JSON line with the addresses when ready.")
@click.option("--quiet", is_flag=True, help="Do not print how to point shippers at it.")
@click.pass_obj
def command(obj: Global, as_json: bool, quiet: bool) -> None:
    """Start the platform: receivers, pipeline, notifications. Ctrl-C or SIGTERM stops it cleanly.

    \b
    Examples:
      sekisho up                        data folder ./sekisho-data, loopback only
      sekisho --data /srv/sekisho up    another data folder
      sekisho up --json                 for scripts: one line of JSON when ready
    """
    prepared = first_run.prepare(obj.data, wiring.now().timestamp(), token=True)
    settings = obj.settings  # a broken settings file is shown before anything runs
    held = _hold(obj.data)
    if not (as_json or quiet):
        click.echo(f"Starting Sekisho on {obj.data} …", err=True)
    _make_ready(obj.data)

    more = ("ask",) if settings.access.roles else ()

    async def run() -> bool:
        ready = asyncio.Event()
        task = asyncio.create_task(supervise(obj.data, ready=ready, more=more))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if ready.is_set():
            addresses = say.addresses(settings)
            if as_json:
                click.echo(
                    json.dumps(
                        {**addresses, "token": prepared.token, "vkey": prepared.vkey, "data": str(obj.data)}
                    )
                )
            elif not quiet:
                say.how_to_ship(settings, prepared.token)
                say.how_to_pin(prepared.vkey)
            sys.stdout.flush()
        waiting.cancel()
        return await task

    try:
        well = asyncio.run(run())
    finally:
        os.close(held)
    if not well:
        raise SystemExit(process.REFUSED)
