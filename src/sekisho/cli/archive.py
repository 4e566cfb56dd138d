"""`sekisho archive`: copies of sealed journal segments on another disk or in an object store."""

from __future__ import annotations

import json

import click

from sekisho.cli.main import Global
from sekisho.cli.progress import Progress
from sekisho.keeping.policy import iso
from sekisho.keeping.segments import HOUR_NS
from sekisho.wiring.keeping import catalogue, open_archive, sealed_upto

FAULTY = 1


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Copies of sealed journal segments outside this machine ([keep.archive] in sekisho.toml).

    It runs once a day by itself. `sekisho restore` brings segments back.

    \b
    Examples:
      sekisho archive run
      sekisho archive list
      sekisho archive verify
    """


@command.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be copied.")
@click.option(
    "--rate", type=click.FloatRange(min=0), metavar="MB/S", help="Instead of rate_mb; 0 = no limit."
)
@click.option("--quiet", is_flag=True, help="No progress.")
@click.pass_obj
def run(obj: Global, dry_run: bool, rate: float | None, quiet: bool) -> None:
    """Copy what is sealed and not there yet. Interrupted, it goes on where it was.

    \b
    Examples:
      sekisho archive run --dry-run
      sekisho archive run --rate 20

    Ends with 1 if something could not be archived.
    """
    settings = obj.existing()
    with catalogue(settings) as known:
        archive = open_archive(settings, known, rate_mb=rate)
        waiting = archive.waiting(settings.journal_dir, sealed_upto(settings))
        total = sum(path.stat().st_size for path in waiting)
        if dry_run:
            click.echo(f"{len(waiting)} segments, {total / 1e6:,.1f} MB would go to {archive.place.name}")
            return
        progress = Progress("archive", total, quiet=quiet)
        done = archive.run(settings.journal_dir, sealed_upto(settings), progress)
        progress.end()
    if not quiet:
        click.echo(
            f"{done.segments} segments, {done.bytes / 1e6:,.1f} MB archived in {progress.seconds:,.1f} s"
        )
    for problem in done.problems:
        click.echo(f"PROBLEM: {problem}", err=True)
    if done.problems:
        raise SystemExit(FAULTY)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="For a machine.")
@click.pass_obj
def list_(obj: Global, as_json: bool) -> None:
    """What the archive says it holds: segments, frames, times of receipt (UTC), versions.

    \b
    Example:
      sekisho archive list --json
    """
    settings = obj.existing()
    with catalogue(settings) as known:
        for described in open_archive(settings, known).descriptions():
            held = described.contents
            here = (settings.journal_dir / f"{held.first:016d}.seg").exists()
            row = {
                "first": held.first,
                "last": held.last,
                "bytes": held.size,
                "sha256": held.sha256,
                "from": _hour(held.oldest),
                "to": _hour(held.newest),
                "sources": sorted(held.sources),
                "here": here,
                "files": {placed.name: placed.version for placed in described.files},
            }
            if as_json:
                click.echo(json.dumps(row))
            else:
                place = "here too" if here else "archive only"
                click.echo(
                    f"frames {held.first} to {held.last}  {held.size / 1e6:,.1f} MB  {row['from']} to"
                    f" {row['to']}  {place}  {', '.join(held.sources)}"
                )


def _hour(hour: int | None) -> str:
    return "-" if hour is None else iso(hour * HOUR_NS // 1000)


@command.command()
@click.option("--quick", is_flag=True, help="Only size, checksum and lock as the store tells them.")
@click.option("--json", "as_json", is_flag=True, help="For a machine.")
@click.pass_obj
def verify(obj: Global, quick: bool, as_json: bool) -> None:
    """Read every copy back and compare its hash with what is known here.

    \b
    Examples:
      sekisho archive verify
      sekisho archive verify --quick

    Ends with 1 if a copy is missing or altered; each is named.
    """
    settings = obj.existing()
    bad = count = 0
    with catalogue(settings) as known:
        progress = Progress("read back")
        for found in open_archive(settings, known).verify(deep=not quick, told=progress):
            count += 1
            bad += bool(found.fault)
            if as_json:
                click.echo(json.dumps(found._asdict()))
            elif found.fault:
                click.echo(f"frames {found.first} to {found.last}: {found.fault}")
        progress.end()
    if not as_json:
        click.echo(f"{count - bad} of {count} segments are as they should be")
    if bad:
        raise SystemExit(FAULTY)
