"""Compaction in a process of its own, started by the pipeline when closed days are waiting."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

from sekisho.lake.cold import compact
from sekisho.lake.manifest import FILE
from sekisho.settings import Settings
from sekisho.wiring.clock import now

#: Seconds between two looks; a failed compaction is tried again after as long.
EVERY = 600.0


def open_compaction(settings: Settings, *, everything: bool = False) -> compact.Compaction:
    """The compaction of this installation's lake. ``everything``: also days with few events.

    Raises ``Refused`` if another process compacts it.
    """
    return compact.Compaction(
        settings.lake_dir,
        now=now,
        after=timedelta(hours=settings.lake.compact_after),
        least=1 if everything else settings.lake.compact_rows,
    )


class Compactor:
    """Starts the process when there is something to do; at most one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._next = 0.0

    @property
    def pid(self) -> int:
        """Number of the process; 0 if there is none."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running and self._process is not None else 0

    def look(self) -> None:
        """Every ten minutes: start it if days are waiting. Cheap otherwise."""
        moment = now()
        if moment.timestamp() < self._next or self.pid:
            return
        self._next = moment.timestamp() + EVERY
        options = self._settings.lake
        if not options.compact_after or not (self._settings.lake_dir / FILE).exists():
            return
        after = timedelta(hours=options.compact_after)
        if compact.waiting(self._settings.lake_dir, now=moment, after=after, least=options.compact_rows):
            command = [sys.executable, "-m", "sekisho.cli.main", "--data", str(self._settings.data)]
            # it ends with its parent: standard input is a pipe that closes
            self._process = subprocess.Popen([*command, "serve", "compact"], stdin=subprocess.PIPE)

    def close(self) -> None:
        """End it; what it had not finished is finished, or swept, at the next start."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
