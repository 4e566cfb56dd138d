"""What all commands that ask the store share: options, progress on standard error, a clean end by Ctrl-C."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click
import pyarrow as pa

from sekisho import wiring
from sekisho.cli.main import Global
from sekisho.lake.questions import Meter, Question, zone_of

#: Seconds until something is said, then between two lines where it is no terminal.
_FIRST = 1.0
_LINE = 5.0
STOPPED = 130


def why_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--purpose`` and ``--case``: what the question is for; it is recorded."""
    for option in (
        click.option("--case", default="", metavar="ID", help="Case the question belongs to (recorded)."),
        click.option("--purpose", default="", metavar="TEXT", help="What the question is for (recorded)."),
    ):
        command = option(command)
    return command


def zone_name(ctx: Global, named: str) -> str:
    """``--zone``, else that of the settings where they can be read. Raises ``Refused`` if there is none."""
    if named:
        zone_of(named)
        return named
    return ctx.settings.zone if wiring.readable(ctx.data) else "Asia/Tokyo"


class Answer:
    """The tables of an answer as they come. ``stopped``: Ctrl-C ended it; what came until then counts."""

    def __init__(self, ctx: Global, question: Question, why: wiring.Why) -> None:
        self.meter = Meter()
        self.stopped = False
        self._tables = wiring.put(ctx.data, question, meter=self.meter, why=why)

    def __iter__(self) -> Iterator[pa.Table]:
        try:
            yield from self._tables
        except KeyboardInterrupt:
            self.stopped = True

    def rows(self) -> Iterator[dict[str, Any]]:
        for table in self:
            yield from table.to_pylist()

    def stop(self) -> None:
        self.stopped = True
        self.meter.stop()


@contextmanager
def asking(ctx: Global, question: Question, why: wiring.Why, *, progress: bool = True) -> Iterator[Answer]:
    """Ask; at the end say what was left out, and whether it was stopped (exit status 130)."""
    answer = Answer(ctx, question, why)
    with _interruptible(answer), _progress(answer.meter, wanted=progress):
        try:
            yield answer
        finally:
            close = getattr(answer._tables, "close", None)  # noqa: SLF001 - its own generator
            if close is not None:
                close()
    for note in answer.meter.notes:
        click.echo(f"note: {note}", err=True)
    if answer.stopped:
        meter = answer.meter
        seen = f"; {meter.done:,} of {meter.total:,} events were looked through" if meter.total else ""
        click.echo(f"stopped: {meter.found:,} rows until then{seen}", err=True)
        raise SystemExit(STOPPED)


@contextmanager
def _interruptible(answer: Answer) -> Iterator[None]:
    """The first Ctrl-C ends the answer; a second one the program."""
    import signal

    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_: int, __: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        answer.stop()

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress(meter: Meter, *, wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_tell, args=(meter, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _tell(meter: Meter, done: threading.Event) -> None:
    began = time.monotonic()
    terminal = sys.stderr.isatty()
    shown = False
    pause = _FIRST
    while not done.wait(pause):
        pause = 0.5 if terminal else _LINE
        line = progress_line(meter, time.monotonic() - began)
        if line:
            shown = True
            click.echo(f"\r{line}\x1b[K" if terminal else line, err=True, nl=not terminal)
    if shown and terminal:
        click.echo("\r\x1b[K", err=True, nl=False)


def progress_line(meter: Meter, seconds: float) -> str:
    """``looked through 1,000 of 4,000 events (25 %), 500/s, 6 s left, 3 found``; empty if unknown."""
    if not meter.total:
        return ""
    rate = meter.done / seconds if seconds > 0 else 0.0
    left = f", about {max(0.0, (meter.total - meter.done) / rate):.0f} s left" if rate else ""
    share = 100 * meter.done / meter.total
    return (
        f"looked through {meter.done:,} of {meter.total:,} events ({share:.0f} %), {rate:,.0f}/s{left},"
        f" {meter.found:,} rows"
    )
