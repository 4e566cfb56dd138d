"""`sekisho compact`: closed days to the cold tier, by hand."""

from __future__ import annotations

import json
import sys
from datetime import date, timedelta

import click

from sekisho import wiring
from sekisho.cli.main import Global
from sekisho.lake.manifest import FILE
from sekisho.model import Refused


def _progress(day: str, done: int, of: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{day}: {done:,} of {of:,} events", nl=False, err=True)


@click.command("compact")
@click.option("--dry-run", is_flag=True, help="Only say which days would come next.")
@click.option("--all", "everything", is_flag=True, help="Also days with few events ([lake] compact_rows).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per group of days.")
@click.pass_obj
def command(ctx: Global, dry_run: bool, everything: bool, as_json: bool) -> None:
    """Move the events of closed days into large sorted files with an index (the cold tier).

    The running platform does this by itself, some hours after the end of a day ([lake] compact_after). By
    hand it works beside the running platform too. It may be stopped at any moment and run again; searches
    see every event exactly once all the time. The files are an Apache Iceberg table as well: catalogue
    lake/cold/catalog.sqlite3, table sekisho.events.

    \b
    Examples:
      sekisho compact --dry-run
      sekisho compact
      sekisho compact --all

    Ends with 0 when nothing is left to do, 1 when refused (another compaction runs, no lake yet).
    """
    settings = ctx.existing()
    if not (settings.lake_dir / FILE).exists():
        raise Refused(f"{settings.lake_dir}: there is no lake here yet", "start Sekisho with `sekisho up`")
    with wiring.open_compaction(settings, everything=everything) as compaction:
        if dry_run:
            group = compaction.next()
            numbers, taken = (group.days, len(group.files)) if group else ({}, 0)
            days = {str(date(1970, 1, 1) + timedelta(days=day)): rows for day, rows in numbers.items()}
            _say(days, as_json, f"would be taken from {taken} files")
            return
        moved = 0
        while done := compaction.step(_progress):
            moved += sum(done.days.values())
            if sys.stderr.isatty():
                click.echo("\r\x1b[K", nl=False, err=True)
            _say(done.days, as_json, f"{done.hot:,} bytes became {done.cold:,}")
    if not as_json:
        click.echo(f"{moved:,} events are cold now" if moved else "no closed day is waiting")


def _say(days: dict[str, int], as_json: bool, more: str) -> None:
    if as_json:
        click.echo(json.dumps({"days": days, "note": more}))
        return
    for day, rows in days.items():
        click.echo(f"{day}  {rows:>12,} events")
    click.echo(f"{len(days)} day{'s' if len(days) != 1 else ''}: {more}")
