"""`sekisho keys`: the key that seals the journal."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from sekisho import first_run, wiring
from sekisho.cli import audited
from sekisho.cli.main import Global
from sekisho.collect import local
from sekisho.journal import keys
from sekisho.model import Refused

_WAIT_SECONDS = 30.0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """The key that seals the journal: show it, change it, keep a copy of it.

    \b
    Examples:
      sekisho keys show > sekisho.vkey             give it to the auditor
      sekisho keys backup -o seal.backup --passphrase-file phrase
      sekisho keys rotate
    """


@command.command()
@click.option("--json", "as_json", is_flag=True, help="For a machine.")
@click.pass_obj
def show(obj: Global, as_json: bool) -> None:
    """The verifier key (public) as one line.

    \b
    Example:
      sekisho keys show > sekisho.vkey
    """
    found = keys.published(wiring.key_files(obj.existing()).public)
    if as_json:
        click.echo(json.dumps({"vkey": found.vkey, "origin": found.name, "key_id": found.key_id.hex()}))
        return
    click.echo(found.vkey)
    click.echo("Keep a copy of it somewhere else: an intruder can replace this file.", err=True)


@command.command()
@click.option("--dry-run", is_flag=True, help="Say what would happen.")
@click.pass_obj
def rotate(obj: Global, dry_run: bool) -> None:
    """Hand over to a new key, in a checkpoint signed by both. The old private key is removed.

    Whoever pinned the old key still verifies everything: `sekisho verify` follows the hand-over.
    After a theft of the key change it at once, and trust what was sealed before only where a
    witness signed it.

    \b
    Examples:
      sekisho keys rotate --dry-run
      sekisho keys rotate
    """
    settings = obj.existing()
    files = wiring.key_files(settings)
    old = keys.load(files.private).verifier
    if dry_run:
        click.echo(f"{old.vkey} would hand over to a new key of the name {old.name}")
        return
    new = keys.prepare_rotation(files)
    if local.answers(settings.run_dir / "collect.sock"):
        _await(files, new.vkey)
    else:
        wiring.seal_now(settings)
    if keys.published(files.public) != new:
        raise Refused(
            "the hand-over was not made: the journal cannot be sealed at present",
            "see `sekisho status` and `sekisho verify`; the new key waits and takes over as soon as it can",
        )
    message = f"sealing key {old.key_id.hex()} handed over to {new.key_id.hex()}"
    done = audited.event("sealing key", new.name, audited.UPDATE, "rotated", message, now=wiring.now())
    wiring.audit(settings, [done])
    click.echo(new.vkey)
    click.echo("This is the key now. Make a new backup: sekisho keys backup -o FILE", err=True)


def _await(files: keys.KeyFiles, vkey: str) -> None:
    """The running collector makes the hand-over within seconds."""
    end = time.monotonic() + _WAIT_SECONDS
    while keys.published(files.public).vkey != vkey and time.monotonic() < end:
        time.sleep(0.1)


@command.command()
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="New file."
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Its first line is the passphrase; otherwise it is asked for.",
)
@click.pass_obj
def backup(obj: Global, output: Path, passphrase_file: Path | None) -> None:
    """Write the private key, encrypted with a passphrase (scrypt, ChaCha20-Poly1305).

    \b
    Examples:
      sekisho keys backup -o seal.backup
      sekisho keys backup -o seal.backup --passphrase-file phrase
    """
    signer = keys.load(wiring.key_files(obj.existing()).private)
    data = keys.backup(signer, _passphrase(passphrase_file, again=True))
    if output.exists():
        raise Refused(f"{output} is there already", "name a new file")
    output.touch(mode=0o600)
    output.write_bytes(data)
    done = audited.event(
        "sealing key",
        signer.verifier.name,
        audited.UPDATE,
        "backed-up",
        "sealing key backed up",
        now=wiring.now(),
    )
    wiring.audit(obj.settings, [done])
    click.echo(
        f"{output} holds the key {signer.verifier.key_id.hex()}. Keep it and the passphrase apart.", err=True
    )


@command.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Its first line is the passphrase; otherwise it is asked for.",
)
@click.pass_obj
def restore(obj: Global, file: Path, passphrase_file: Path | None) -> None:
    """Bring the private key back from a backup. A key that is there is never overwritten.

    \b
    Example:
      sekisho keys restore seal.backup
    """
    first_run.known(obj.data)
    files = wiring.key_files(obj.settings)
    if files.private.exists():
        raise Refused(f"{files.private} is there", "move it away first, if it is really to be replaced")
    signer = keys.from_backup(file.read_bytes(), _passphrase(passphrase_file, again=False))
    keys.write_private(files.private, signer)
    keys.publish(files.public, signer.verifier)
    click.echo(signer.verifier.vkey)
    click.echo("Start the collector again, so that it seals with it.", err=True)


def _passphrase(path: Path | None, *, again: bool) -> str:
    if path is None:
        return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=again, err=True))
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or not lines[0]:
        raise Refused(f"{path}: its first line is empty", "write the passphrase into its first line")
    return lines[0]
