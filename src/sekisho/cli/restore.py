"""`sekisho restore`: segments of the journal back from the archive."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import click

from sekisho import wiring
from sekisho.cli import audited
from sekisho.cli.main import Global
from sekisho.cli.progress import Progress
from sekisho.keeping.archive import Wanted, restore
from sekisho.keeping.segments import HOUR_NS
from sekisho.lake import query
from sekisho.wiring.keeping import catalogue, open_archive

FAULTY = 1


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--from", "first", type=click.IntRange(0), metavar="FRAME", help="From this frame on.")
@click.option("--to", "last", type=click.IntRange(0), metavar="FRAME", help="Up to this frame.")
@click.option(
    "--days", metavar="A..B", help="Received in these days (zone of the settings): 2026-05-01..2026-05-14."
)
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), help="Another folder than the journal."
)
@click.option("--dry-run", is_flag=True, help="Only say what would come back.")
@click.pass_obj
def command(
    obj: Global, first: int | None, last: int | None, days: str | None, into: Path | None, dry_run: bool
) -> None:
    """Bring segments back from the archive, byte for byte. A file counts only once its hash was right.

    What is here already is never replaced. Segments that came back into the journal stay for 30 days whatever
    their age; the events in them are searchable again after `sekisho rebuild`.

    \b
    Examples:
      sekisho restore --days 2026-05-01..2026-05-14 --dry-run
      sekisho restore --from 120000 --to 130000
      sekisho restore --into /srv/evidence

    Ends with 1 if something could not be brought back; it is named.
    """
    settings = obj.existing()
    wanted = Wanted(first, last, *_hours(days, ZoneInfo(settings.zone)))
    folder = settings.journal_dir if into is None else into
    with catalogue(settings) as known:
        progress = Progress("restore")
        done = restore(
            open_archive(settings, known),
            known if into is None else None,
            folder,
            wanted,
            dry=dry_run,
            now_ns=wiring.now_ns,
            told=progress,
        )
        progress.end()
    verb = "would come back" if dry_run else "came back"
    size = f"{len(done.done)} files, {done.bytes / 1e6:,.1f} MB"
    click.echo(f"{size} {verb} into {folder}; {len(done.there)} were there")
    for fault in done.faults:
        click.echo(f"NOT RESTORED: {fault}", err=True)
    if done.done and not dry_run:
        message = (
            f"{len(done.done)} files restored from the archive into {folder}: {', '.join(done.done[:20])}"
        )
        event = audited.event("journal", "segments", audited.UPDATE, "restored", message, now=wiring.now())
        wiring.audit(settings, [event])
    if done.faults:
        raise SystemExit(FAULTY)


def _hours(days: str | None, zone: ZoneInfo) -> tuple[int | None, int | None]:
    """First and last hour since 1970 UTC of the days named."""
    if not days:
        return None, None
    begin, _, end = days.partition("..")
    span = query.compile(f"time:[{begin} TO {end or begin}]", zone, wiring.now())
    hour = HOUR_NS // 1000
    low = None if span.time_from is None else span.time_from // hour
    high = None if span.time_to is None else (span.time_to - 1) // hour
    return low, high
