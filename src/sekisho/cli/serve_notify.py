"""The notification process: sends what is due, waits, sends again; settles what commands still owe."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from datetime import timedelta

from sekisho import status, wiring
from sekisho.cli import process
from sekisho.model import Refused, Retry
from sekisho.settings import Settings

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
OWED_SECONDS = 60.0
#: A command judges by itself what its import changed. What is owed longer was left by one that was cut off.
LEFT = timedelta(seconds=45)


def deliver_owed(settings: Settings) -> None:
    """Journal what changes of an interrupted command still owe; what cannot be done now stays owed."""
    try:
        wiring.deliver_audit(settings, alone=False)
    except (Retry, Refused, OSError) as error:
        log.warning("audit events are still owed: %s", error)


class Judging:
    """Judges the past when that is owed, in a process of its own: messages must not wait for it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._child: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start it if it is owed and does not run."""
        if self._child is not None:
            ended = self._child.poll()
            if ended is None:
                return
            if ended:
                log.error("judging the past ended with status %d; it stays owed", ended)
            self.end()
        if wiring.judging_owed(self._settings, before=wiring.now() - LEFT):
            data = str(self._settings.data)
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "sekisho.cli.main", "--data", data, "serve", "judge"],
                stdin=subprocess.PIPE,
            )

    def end(self) -> None:
        """What is not done stays owed."""
        if self._child is not None:
            if self._child.stdin is not None:
                self._child.stdin.close()
            self._child.terminate()
            self._child.wait()
            self._child = None


def judge(settings: Settings) -> None:
    """The process that ``Judging`` starts: once over the past. Whatever ends it, the rest stays owed."""
    process.log_to_file(settings.data, "judge")
    process.end_with_parent(lambda: os._exit(0))
    os.nice(10)
    try:
        judged = wiring.settle_judging(settings)
    except Exception:
        log.exception("judging the past stops")
        raise
    if judged is None:
        return
    for file in judged.unread:
        log.warning("not judged, as it cannot be read: %s", file)
    log.info(
        "judged %d stored events again: %d alerts hold, %d corrected, %d withdrawn%s",
        judged.events,
        len(judged.findings),
        len(judged.corrected),
        len(judged.withdrawn),
        "; to be done once more" if judged.behind else "",
    )


def main(settings: Settings) -> None:
    """Until SIGTERM. A bug ends the process; a row that was being sent is claimed anew after its lease."""
    process.log_to_file(settings.data, "notify")
    stop = threading.Event()
    process.on_signal(stop.set)
    process.end_with_parent(stop.set)
    wiring.migrate(settings)
    from sekisho.modules.alerts import notify  # Django must be configured before its models load

    started = wiring.now().timestamp()
    judging = Judging(settings)
    try:
        owed_at = 0.0
        while not stop.is_set():
            if wiring.now().timestamp() - owed_at > OWED_SECONDS:
                owed_at = wiring.now().timestamp()
                deliver_owed(settings)
                judging.begin()
            sent = notify.deliver_due(wiring.now(), settings)
            words = process.said("notify", started)
            words.counts = {"deliveries": status.counts(notify.counts().items())}
            status.write(settings.run_dir, words)
            if not sent:
                stop.wait(PAUSE_SECONDS)
    except Exception:
        log.exception("the notifications stop")
        raise
    finally:
        judging.end()
