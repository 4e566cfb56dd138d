"""`sekisho rebuild`: the lake anew from the journal."""

from __future__ import annotations

import json
import sys

import click

from sekisho import wiring
from sekisho.cli.main import Global

_SECONDS = 2.0


class _Teller:
    """Progress to standard error: every two seconds, on a terminal in one line."""

    def __init__(self) -> None:
        self._started = self._said = wiring.now().timestamp()

    def __call__(self, done: int, of: int, events: int) -> None:
        at = wiring.now().timestamp()
        if at - self._said < _SECONDS and done < of:
            return
        self._said = at
        rate = done / max(at - self._started, 0.001)
        left = (of - done) / rate if rate else 0.0
        text = f"{done:,} of {of:,} frames, {events:,} events, about {left:,.0f} s left"
        click.echo(f"\r\x1b[K{text}" if sys.stderr.isatty() else text, nl=not sys.stderr.isatty(), err=True)


@click.command("rebuild")
@click.option("--keep-old", is_flag=True, help="Keep the old lake as lake.old.")
@click.option("--accept-fewer", is_flag=True, help="Swap even if a source has fewer events than before.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
@click.pass_obj
def command(ctx: Global, keep_old: bool, accept_fewer: bool, as_json: bool) -> None:
    """Make the searchable copy of all events (the lake) anew from the journal.

    For a lake that is damaged, or to read old records with sources that have been mended since. The platform
    must be stopped. The new lake is built in lake.new and takes the old one's place when it is complete and
    has no fewer events of any source; until then searches use the old one. Alerts, cases and rejects
    stay as they are. Stopped in between, it goes on where it was when it is run again. It needs as much free
    space as the lake takes.

    \b
    Examples:
      sekisho rebuild
      sekisho rebuild --keep-old

    Ends with 0 when the new lake is in use, 1 when refused (the reason is said; the old lake is untouched).
    """
    settings = ctx.existing()
    done = wiring.rebuild(settings, _Teller(), keep_old=keep_old, accept_fewer=accept_fewer)
    if sys.stderr.isatty():
        click.echo(err=True)
    if as_json:
        click.echo(json.dumps({**done._asdict(), "fewer": done.fewer}))
        return
    click.echo(f"{done.frames:,} frames, {done.events:,} events, {done.rejects:,} records not understood")
    if done.damaged:
        click.echo(f"{done.damaged:,} stretches of the journal cannot be read", err=True)
    click.echo("the new lake is in use")
