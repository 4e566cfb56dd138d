"""Progress of long work, to standard error: on a terminal often, in a log every few seconds."""

from __future__ import annotations

import sys
import time

import click

LOG_SECONDS = 10.0
SCREEN_SECONDS = 0.2


class Names:
    """Which thing is being read, every few seconds: for work whose size is not known beforehand."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._said = time.monotonic()

    def __call__(self, name: str) -> None:
        if time.monotonic() - self._said >= LOG_SECONDS:
            self._said = time.monotonic()
            click.echo(f"{self._what} {name}", err=True)


class Progress:
    """Bytes done of ``total`` (0: not known), with speed and time left."""

    def __init__(self, what: str, total: int = 0, *, quiet: bool = False) -> None:
        self._what = what
        self._total = total
        self._quiet = quiet
        self._done = 0
        self._began = self._said = time.monotonic()
        self._screen = sys.stderr.isatty()
        self._shown = False

    def __call__(self, size: int) -> None:
        self._done += size
        at = time.monotonic()
        if self._quiet or at - self._said < (SCREEN_SECONDS if self._screen else LOG_SECONDS):
            return
        self._said = at
        self._shown = True
        speed = self._done / max(1e-9, at - self._began)
        text = f"{self._what}: {self._done / 1e6:,.1f} MB, {speed / 1e6:,.1f} MB/s"
        if self._total:
            left = max(0, self._total - self._done) / max(1.0, speed)
            text += f", {100 * self._done / self._total:.0f} %, {left:,.0f} s left"
        click.echo(f"\r{text}\x1b[K" if self._screen else text, nl=not self._screen, err=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def end(self) -> None:
        if self._shown and self._screen:
            click.echo("", err=True)
