"""What every process of the platform does: log to a file, end with its parent, say how it is."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from sekisho import status, wiring

#: Status of a process that was refused something only a person can mend (sysexits.h: EX_CONFIG).
REFUSED = 78


class _Lines(logging.Formatter):
    """One JSON object per line; English, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": wiring.now().isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            said["error"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(said, ensure_ascii=False)


def log_to_file(data: Path, name: str) -> None:
    """``<data>/run/log/<name>.log``, four files of 5 MB at most."""
    folder = data / "run" / "log"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handler = logging.handlers.RotatingFileHandler(
        folder / f"{name}.log", maxBytes=5_000_000, backupCount=3, encoding="utf-8"
    )
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def end_with_parent(stop: Callable[[], object]) -> None:
    """Call ``stop`` when standard input ends, that is when the supervisor is gone."""
    if sys.stdin is None or sys.stdin.isatty():
        return
    fd = sys.stdin.fileno()

    def watch() -> None:
        while os.read(fd, 4096):
            pass
        stop()

    threading.Thread(target=watch, daemon=True, name="parent").start()


def on_signal(stop: Callable[[], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


def said(name: str, started_at: float) -> status.Said:
    return status.Said(
        name=name,
        pid=os.getpid(),
        started_at=started_at,
        at=wiring.now().timestamp(),
        resident_bytes=status.resident_bytes(),
    )
