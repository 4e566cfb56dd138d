"""`sekisho tail`: what is being stored, as it comes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from zoneinfo import ZoneInfo

import click

from sekisho import wiring
from sekisho.cli.asked import asking, why_options, zone_name
from sekisho.cli.main import Global
from sekisho.cli.search_show import TABLE_COLUMNS, Row, json_line, line
from sekisho.lake.questions import Tail


@click.command("tail")
@click.argument("query", nargs=-1, type=click.UNPROCESSED)
@click.option("--since", default="", metavar="TIME", help="First everything since then, oldest first.")
@click.option("-n", "last", type=click.IntRange(0, 10_000), default=10, show_default=True,
              help="First so many of the newest.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, times in UTC.")
@click.option("--zone", "zone_named", default="", metavar="ZONE", help="Time zone of times.")
@why_options
@click.pass_obj
def command(
    ctx: Global,
    query: tuple[str, ...],
    since: str,
    last: int,
    as_json: bool,
    zone_named: str,
    purpose: str,
    case: str,
) -> None:
    """Show events as they are stored, until Ctrl-C: each once, in the order in which they were stored.

    An event that came late (a record that was tried again) is shown when it is stored, whatever its time.

    \b
    Examples:
      sekisho tail
      sekisho tail 'status:failure class:authentication' -n 0
      sekisho tail 'user:emp0042' --since now-1h --json
    """
    zone = ZoneInfo(zone_name(ctx, zone_named))
    columns = () if as_json else (*TABLE_COLUMNS, "event_uid")
    question = Tail(query=" ".join(query), since=since, zone=zone.key, last=last, columns=columns)
    with asking(ctx, question, wiring.Why(purpose, case), progress=False) as answer:
        for row in _said(answer.rows(), answer.meter.notes):
            click.echo(json_line(row) if as_json else line(row, zone))
            sys.stdout.flush()


def _said(rows: Iterable[Row], notes: list[str]) -> Iterator[Row]:
    """The rows; what is to be noted is said at once, not at the end that never comes."""
    for row in rows:
        while notes:
            click.echo(f"note: {notes.pop(0)}", err=True)
        yield row
