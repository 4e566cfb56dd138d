"""The daily work of keeping, in a thread of the pipeline's process: it is the lake's only writer.

A command that wants retention to run now leaves a request in ``<data>/keeping``; the answer appears
beside it.
The archive is brought up to date by a process of its own, which ends when it is done: the client of an object
store takes 40 MB that the pipeline does not need for the rest of the day.
"""

from __future__ import annotations

import logging
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from sekisho.collect import local
from sekisho.keeping import durably
from sekisho.keeping.retention import Done, Plan
from sekisho.lake import Lake
from sekisho.model import Refused, Retry
from sekisho.settings import Settings
from sekisho.wiring.clock import now
from sekisho.wiring.handing import audit
from sekisho.wiring.keeping import retain

log = logging.getLogger(__name__)

EVERY_SECONDS = 86_400.0
#: After the start of the process: what was received while it was down is taken first.
FIRST_SECONDS = 300.0
AGAIN_SECONDS = 3_600.0
LOOK_SECONDS = 1.0
STATE, REQUEST, ANSWER = "last-run.json", "request.json", "answer.json"


class Ran(msgspec.Struct):
    """One run. ``at``: seconds since 1970 UTC. ``error``: why it deleted nothing, or not all."""

    at: float
    events: dict[str, int] = {}
    segments: int = 0
    bytes: int = 0
    held_rows: int = 0
    waiting: list[str] = []
    problems: list[str] = []
    error: str = ""


class Request(msgspec.Struct):
    """``uid`` comes back in the answer."""

    uid: str
    confirmed: bool


class Answer(msgspec.Struct):
    uid: str
    ran: Ran


class Keeper:
    """One thread; ``close`` waits for what it is doing."""

    def __init__(self, settings: Settings, lake: Lake) -> None:
        self._settings = settings
        self._lake = lake
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        due = now().timestamp() + FIRST_SECONDS
        last = last_run(self._settings)
        if last is not None and not last.error:
            due = max(due, min(last.at, now().timestamp()) + EVERY_SECONDS)
        while not self._stop.wait(LOOK_SECONDS):
            request = _take_request(self._settings)
            if request is None and now().timestamp() < due:
                continue
            ran = self._once(request)
            if request is not None:
                _write(self._settings.keeping_dir / ANSWER, Answer(request.uid, ran))
            due = ran.at + (AGAIN_SECONDS if ran.error else EVERY_SECONDS)

    def _once(self, request: Request | None) -> Ran:
        try:
            if request is None:
                self._archive()
            confirmed = request is not None and request.confirmed
            return run_once(self._settings, self._lake, confirmed=confirmed, alone=False)
        except Exception as error:
            log.exception("retention stops")
            ran = Ran(now().timestamp(), error=f"a bug: {type(error).__name__}: {error}; see pipeline.log")
            _write(self._settings.keeping_dir / STATE, ran)
            return ran

    def _archive(self) -> None:
        if self._settings.keep.archive is None:
            return
        words = ["--data", str(self._settings.data), "archive", "run", "--quiet"]
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "sekisho.cli.main", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        while process.poll() is None:
            if self._stop.wait(0.5):
                process.terminate()
        said = process.communicate()[1].decode(errors="replace").strip()
        if process.returncode and not self._stop.is_set():
            log.error("the archive could not be brought up to date: %s", said[-2000:])


def run_once(settings: Settings, lake: Lake | None, *, confirmed: bool, alone: bool) -> Ran:
    """Plan, journal, delete; what came of it is also kept for `sekisho status`.

    ``alone``: without a running collector the journal is opened here (a command does; a service must not).
    """

    def tell(events: list[dict[str, Any]]) -> None:
        if not alone and not local.answers(settings.run_dir / "collect.sock"):
            raise Retry(60, "the collector does not run, so the deletion cannot be journaled")
        audit(settings, events)

    ran = Ran(now().timestamp())
    try:
        plan, done = retain(settings, lake, tell, confirmed=confirmed)
        ran = _told(ran, plan, done)
    except (Refused, Retry) as error:
        ran.error = str(error)
        log.error("retention: %s", error.why)
    except OSError as error:
        ran.error = f"{error.filename or ''}: {error.strerror}"
        log.error("retention: %s", ran.error)
    _write(durably.private(settings.keeping_dir) / STATE, ran)
    return ran


def _told(ran: Ran, plan: Plan, done: Done) -> Ran:
    return Ran(
        ran.at, dict(done.events), done.segments, done.bytes, plan.held_rows, plan.waiting, plan.problems
    )


def last_run(settings: Settings) -> Ran | None:
    """None if there was none, or it is not readable."""
    try:
        return msgspec.json.decode((settings.keeping_dir / STATE).read_bytes(), type=Ran)
    except (OSError, msgspec.MsgspecError):
        return None


def numbers(settings: Settings) -> dict[str, float]:
    """For the metrics."""
    ran = last_run(settings)
    if ran is None:
        return {}
    return {
        "retention_run_seconds": ran.at,
        "retention_waiting": float(len(ran.waiting)),
        "retention_failed": float(bool(ran.error)),
    }


def ask(settings: Settings, *, confirmed: bool, seconds: float, sleep: Callable[[float], None]) -> Ran:
    """Have the running pipeline do it, and wait. Raises ``Retry`` if it does not answer in that time."""
    folder = durably.private(settings.keeping_dir)
    uid = secrets.token_hex(8)
    _write(folder / REQUEST, Request(uid, confirmed))
    end = now().timestamp() + seconds
    while now().timestamp() < end:
        sleep(0.2)
        try:
            answer = msgspec.json.decode((folder / ANSWER).read_bytes(), type=Answer)
        except (OSError, msgspec.MsgspecError):
            continue
        if answer.uid == uid:
            return answer.ran
    (folder / REQUEST).unlink(missing_ok=True)
    raise Retry(60, "the pipeline is still busy with it; `sekisho status` shows what came of it")


def _take_request(settings: Settings) -> Request | None:
    path = settings.keeping_dir / REQUEST
    try:
        request = msgspec.json.decode(path.read_bytes(), type=Request)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError):
        request = None
    path.unlink(missing_ok=True)
    return request


def _write(path: Path, value: msgspec.Struct) -> None:
    try:
        with durably.whole(path, replace=True) as file:
            file.write(msgspec.json.encode(value))
    except Refused as full:
        log.error("%s", full.why)
