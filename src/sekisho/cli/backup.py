"""`sekisho backup`: the whole installation, taken while it runs; checked; brought back; drilled."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from sekisho import wiring
from sekisho.cli import audited
from sekisho.cli.main import Global
from sekisho.cli.progress import Progress
from sekisho.keeping import backup as backing
from sekisho.keeping.backup import box
from sekisho.keeping.backup.description import Place, place
from sekisho.keeping.policy import LATENESS_US
from sekisho.lake.engines.duckdb import DuckDB
from sekisho.model import Refused
from sekisho.settings import Settings
from sekisho.wiring.drilling import drill as run_drill
from sekisho.wiring.keeping import catalogue

FAULTY = 1
F = TypeVar("F", bound=Callable[..., Any])

_folder = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
_which = click.option(
    "--backup", "stamp", default="", metavar="TIME", help="Which one; the newest if left out."
)


def _secret(function: F) -> F:
    named = click.option(
        "--passphrase-file",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="File with the passphrase of the secrets; asked for if left out.",
    )
    without = click.option("--without-secrets", is_flag=True, help="Leave keys and tokens out.")
    return named(without(function))


def _keys(file: Path | None, without: bool) -> Callable[[bytes], box.Keys | None]:
    """Asked for once, before anything is done; never from the command line, where others can read it."""
    if without:
        return lambda _: None
    if file is not None:
        passphrase = file.read_text(encoding="utf-8").rstrip("\r\n")
    elif sys.stdin.isatty():
        passphrase = click.prompt("Passphrase of the secrets", hide_input=True)
    else:
        raise Refused(
            "there is nobody to ask for the passphrase", "use --passphrase-file, or --without-secrets"
        )
    return lambda salt: box.keys(passphrase, salt)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Backups of the whole installation. The platform goes on running meanwhile.

    \b
    Examples:
      sekisho backup make /mnt/backup --passphrase-file /etc/sekisho/backup-passphrase
      sekisho backup list /mnt/backup
      sekisho backup verify /mnt/backup
      sekisho backup drill /mnt/backup
      sekisho backup restore /mnt/backup --into /srv/sekisho/new
    """


@command.command()
@_folder
@_secret
@click.option(
    "--without-lake", is_flag=True, help="Without the searchable copy: it is rebuilt from the journal."
)
@click.option("--dry-run", is_flag=True, help="Only say how much would be copied.")
@click.pass_obj
def make(
    obj: Global,
    folder: Path,
    passphrase_file: Path | None,
    without_secrets: bool,
    without_lake: bool,
    dry_run: bool,
) -> None:
    """Back up into FOLDER (on another disk). Only what is new is written; the rest is there from the
    last time.

    \b
    Examples:
      sekisho backup make /mnt/backup --dry-run
      sekisho backup make /mnt/backup --passphrase-file /etc/sekisho/backup-passphrase
    """
    settings = obj.existing()
    keys = _keys(passphrase_file, without_secrets or dry_run)
    now = wiring.now()
    engine = DuckDB(settings.lake)
    progress: list[Progress] = []

    def told(_total: int, new: int) -> Progress:
        progress.append(Progress("backup", new))
        return progress[0]

    try:
        made = backing.make(
            settings.data,
            folder,
            engine,
            keys=keys,
            since_us=_since(settings),
            now=now,
            with_lake=not without_lake,
            dry=dry_run,
            told=told,
        )
    finally:
        engine.close()
    if made.backup is None:
        click.echo(
            f"{made.files} files, {made.total / 1e6:,.1f} MB; {made.written / 1e6:,.1f} MB of them are new"
        )
        return
    progress[0].end()
    click.echo(
        f"{made.backup.stamp}: {made.files} files, {made.total / 1e6:,.1f} MB; {made.written / 1e6:,.1f} MB"
        f" were new, in {progress[0].seconds:,.1f} s"
    )
    for problem in made.backup.problems:
        click.echo(f"PROBLEM: {problem}", err=True)
    message = f"backup {made.backup.stamp} made in {folder}"
    event = audited.event("backup", made.backup.stamp, audited.CREATE, "made", message, now=now)
    wiring.audit(settings, [event])
    if made.backup.problems:
        raise SystemExit(FAULTY)


def _since(settings: Settings) -> int:
    """From when on retention cannot have deleted an event (µs since 1970 UTC of its receipt)."""
    with catalogue(settings) as known:
        cutoffs = known.numbers("cutoff:")
    return max(cutoffs) + LATENESS_US if cutoffs else 0


@command.command("list")
@_folder
@click.option("--json", "as_json", is_flag=True, help="For a machine.")
def list_(folder: Path, as_json: bool) -> None:
    """The backups in FOLDER.

    \b
    Example:
      sekisho backup list /mnt/backup
    """
    at = place(folder)
    for stamp in backing.backups(at):
        held = backing.newest(at, stamp)
        row = {
            "backup": stamp,
            "files": len(held.files),
            "bytes": sum(entry.size for entry in held.files),
            "frames": list(held.facts.frames),
            "events": sum(held.facts.events.counts.values()),
            "secrets": bool(held.secrets),
            "lake": held.lake,
        }
        if as_json:
            click.echo(json.dumps(row))
        else:
            click.echo(
                f"{stamp}  {len(held.files):>6} files  {sum(e.size for e in held.files) / 1e6:>12,.1f} MB"
                f"  frames {held.facts.frames[0]} to {held.facts.frames[1]}"
                f"{'' if held.lake else '  without lake'}{'' if held.secrets else '  without secrets'}"
            )


@command.command()
@_folder
@_which
@_secret
def verify(folder: Path, stamp: str, passphrase_file: Path | None, without_secrets: bool) -> None:
    """Read every part and compare its hash; with the passphrase also that nobody rewrote the description.

    \b
    Examples:
      sekisho backup verify /mnt/backup --passphrase-file /etc/sekisho/backup-passphrase
      sekisho backup verify /mnt/backup --without-secrets

    Ends with 1 if something is missing, cut short or altered; each part is named.
    """
    at = place(folder)
    keys = _keys(passphrase_file, without_secrets)(at.salt)
    held = backing.newest(at, stamp, keys)
    progress = Progress("verify", sum(entry.size for entry in held.files))
    faults = [
        fault
        for fault in backing.verify(at, held, keys, progress)
        if not (fault.path == "secrets" and not held.secrets and without_secrets)
    ]
    progress.end()
    for fault in faults:
        click.echo(f"{fault.path}: {fault.why}")
    if keys is None:
        click.echo(
            "note: without the passphrase nobody can tell whether the description was rewritten", err=True
        )
    if faults:
        raise SystemExit(FAULTY)
    click.echo(f"{held.stamp}: {len(held.files)} files are whole ({progress.seconds:,.1f} s)")


@command.command()
@_folder
@_which
@_secret
@click.option(
    "--into", required=True, type=click.Path(path_type=Path, file_okay=False), help="A new data folder."
)
def restore(
    folder: Path, stamp: str, passphrase_file: Path | None, without_secrets: bool, into: Path
) -> None:
    """Bring a backup back into a new data folder. It appears only when every file's hash was right.

    \b
    Example:
      sekisho backup restore /mnt/backup --into /srv/sekisho/new
      sekisho --data /srv/sekisho/new up
    """
    at = place(folder)
    keys = _keys(passphrase_file, without_secrets)(at.salt)
    held = backing.newest(at, stamp, keys)
    progress = Progress("restore", sum(entry.size for entry in held.files))
    backing.bring(at, held, into, keys, progress)
    progress.end()
    click.echo(f"{held.stamp} is in {into} ({progress.seconds:,.1f} s). Start it: sekisho --data {into} up")
    if not held.lake:
        click.echo("The searchable copy was left out; it is made from the journal at the first start.")
    if keys is None:
        click.echo("Keys and tokens were left out: new ones are made, and senders need new tokens.")


@command.command()
@_folder
@_which
@_secret
@click.option("--rebuild", is_flag=True, help="Make the lake anew from the journal instead of opening it.")
@click.option(
    "--scratch", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Where to restore to."
)
@click.option("--json", "as_json", is_flag=True, help="For a machine.")
def drill(
    folder: Path,
    stamp: str,
    passphrase_file: Path | None,
    without_secrets: bool,
    rebuild: bool,
    scratch: Path | None,
    as_json: bool,
) -> None:
    """Restore into a temporary folder, open what came back, compare it with the backup's own figures.

    \b
    Examples:
      sekisho backup drill /mnt/backup --passphrase-file /etc/sekisho/backup-passphrase
      sekisho backup drill /mnt/backup --rebuild --scratch /var/tmp

    Ends with 0 if everything was as it should be, 1 if not.
    """
    at = place(folder)
    keys = _keys(passphrase_file, without_secrets)(at.salt)
    held = backing.newest(at, stamp, keys)
    temporary = Path(tempfile.mkdtemp(prefix="sekisho-drill-", dir=scratch))
    try:
        bad = _drill(at, held, temporary, keys, rebuild=rebuild, as_json=as_json)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if bad:
        raise SystemExit(FAULTY)


def _drill(
    at: Place, held: backing.Backup, temporary: Path, keys: box.Keys | None, *, rebuild: bool, as_json: bool
) -> bool:
    progress = Progress("restore", sum(entry.size for entry in held.files))
    try:
        checks = run_drill(
            at,
            held,
            temporary / "data",
            keys,
            rebuild=rebuild,
            told=progress,
            progress=lambda left: progress(0) if left else None,
        )
    finally:
        progress.end()
    bad = any(check.fault for check in checks)
    if as_json:
        rows = [check._asdict() for check in checks]
        click.echo(json.dumps({"backup": held.stamp, "passed": not bad, "checks": rows}))
        return bad
    click.echo(f"drill of {held.stamp}")
    for check in checks:
        said = f"FAULT: {check.fault}" if check.fault else check.found
        click.echo(f"  {check.what:<32}{check.seconds:>8.1f} s  {said}")
    click.echo("PASSED" if not bad else "FAILED")
    return bad
