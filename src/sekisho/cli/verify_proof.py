"""`sekisho verify-proof`: check the proof of one event, without any data folder."""

from __future__ import annotations

import base64
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from sekisho.journal import keys, proof


@click.command("verify-proof", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--vkey", metavar="KEY|FILE", required=True, help="Pinned verifier key of the journal.")
@click.option("--witness-vkey", "witness_keys", multiple=True, metavar="KEY|FILE", help="Key of a witness.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(file: Path, vkey: str, witness_keys: tuple[str, ...], as_json: bool) -> None:
    """Check a proof that `sekisho prove` wrote, and show the record that it proves.

    \b
    Examples:
      sekisho verify-proof event.proof --vkey auditor.vkey
      sekisho verify-proof event.proof --vkey auditor.vkey --witness-vkey osaka.vkey --json

    \b
    Exit codes:
      0  the record was in the journal as shown when the checkpoint was signed
      1  the proof does not show it
    """
    pinned = keys.given(vkey)
    witnesses = [keys.given(text) for text in witness_keys]
    try:
        found = proof.check(file.read_bytes(), pinned, witnesses)
    except proof.NotProvenError as error:
        click.echo(f"NOT PROVEN: {error}", err=True)
        raise SystemExit(1) from None
    records = found.frame.records
    cosigned = [(name, datetime.fromtimestamp(at, UTC).isoformat()) for name, at in found.witnesses]
    received = datetime.fromtimestamp(records.received_at / 1e9, UTC).isoformat()
    if as_json:
        said = {
            "proven": True,
            "frame": found.frame.number,
            "size": found.size,
            "key": found.key.vkey,
            "source": records.source,
            "receiver": records.receiver,
            "peer": records.peer,
            "identity": records.identity,
            "received_at": received,
            "cosigned": dict(cosigned),
            "record_base64": base64.b64encode(found.record).decode(),
        }
        click.echo(json.dumps(said, ensure_ascii=False))
        return
    click.echo(f"PROVEN: frame {found.frame.number} is in the tree of {found.size} frames", err=True)
    click.echo(f"  signed by     {found.key.vkey}", err=True)
    for name, at in cosigned:
        click.echo(f"  cosigned by   {name} at {at}", err=True)
    click.echo(
        f"  received      {received} from {records.peer} ({records.identity}) by {records.receiver}", err=True
    )
    click.echo(f"  as source     {records.source}", err=True)
    sys.stdout.buffer.write(found.record + b"\n")
    sys.stdout.flush()
