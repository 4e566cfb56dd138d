"""`sekisho prove`: the proof that one event is, unaltered, in the sealed journal."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sekisho import wiring
from sekisho.cli.main import Global


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("event", metavar="EVENT")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the proof goes; otherwise to standard output.",
)
@click.pass_obj
def command(obj: Global, event: str, output: Path | None) -> None:
    """Write a small file that proves one event to anybody, without the journal.

    EVENT is an event_uid, a journal_offset, or FRAME/RECORD. The file holds the whole batch in which
    the event was received (the hash is over all of it): see whether the other records may be shown.

    \b
    Examples:
      sekisho prove 5f0c3a2b9d8e7f601122334455667788 -o event.proof
      sekisho prove 12345/0
      sekisho verify-proof event.proof --vkey auditor.vkey
    """
    settings = obj.existing()
    offset = wiring.place(settings, event)
    made = wiring.prove(settings.journal_dir, offset, event if len(event) == 32 else "")
    if output is None:
        sys.stdout.buffer.write(made.data)
        sys.stdout.flush()
    else:
        output.touch(mode=0o600)
        output.write_bytes(made.data)
    others = f", with {made.records - 1} other records of its batch" if made.records > 1 else ""
    click.echo(
        f"frame {made.offset.frame}, record {made.offset.index}{others}; checkpoint of {made.size} frames",
        err=True,
    )
