"""`sekisho witness`: being a witness for the journals of others."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click

from sekisho import wiring
from sekisho.cli.main import Global
from sekisho.journal import keys, witness
from sekisho.model import Refused
from sekisho.settings import Settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Journals of others that this installation cosigns ([witness] in sekisho.toml).

    \b
    Examples:
      sekisho witness list
      sekisho witness show tokyo.example/sekisho > tokyo.note
      sekisho verify --witness-file tokyo.note      on the other side
    """


def _rows(settings: Settings) -> list[dict[str, Any]]:
    rows = []
    for origin, known in wiring.witnessed_logs(settings).items():
        state = _state(settings, origin)
        rows.append(
            {
                "origin": origin,
                "keys": [key.vkey for key in known],
                "size": state.size if state else 0,
                "at": state.at if state else None,
                "key": (state.key or None) if state else None,
            }
        )
    return rows


def _state(settings: Settings, origin: str) -> witness.State | None:
    try:
        return witness.read_state(wiring.witness_dir(settings), origin)
    except OSError as error:
        raise Refused(str(error), "bring the file back from a backup") from error


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="For a machine.")
@click.pass_obj
def list_(obj: Global, as_json: bool) -> None:
    """Which journals are cosigned here, and up to where.

    \b
    Example:
      sekisho witness list --json
    """
    settings = obj.existing()
    rows = _rows(settings)
    public = wiring.witness_key_files(settings).public
    own = keys.published(public).vkey if public.exists() else None
    if as_json:
        click.echo(json.dumps({"vkey": own, "logs": rows}))
        return
    click.echo(
        f"this witness's key: {own or 'none yet; it is made when the collector starts with [[witness.logs]]'}"
    )
    for row in rows:
        at = datetime.fromtimestamp(row["at"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if row["at"] else "never"
        click.echo(f"{row['origin']}  {row['size']:,} frames  cosigned {at}")
    if not rows:
        click.echo("No journal of others is cosigned. Name one in sekisho.toml under [[witness.logs]].")


@command.command()
@click.argument("origin")
@click.option("--json", "as_json", is_flag=True, help="For a machine.")
@click.pass_obj
def show(obj: Global, origin: str, as_json: bool) -> None:
    """The checkpoint that was cosigned last: what `sekisho verify --witness-file` takes.

    \b
    Example:
      sekisho witness show tokyo.example/sekisho > tokyo.note
    """
    state = _state(obj.existing(), origin)
    if state is None:
        raise Refused(f"nothing of {origin!r} was cosigned here", "see `sekisho witness list`")
    if as_json:
        click.echo(
            json.dumps({"origin": state.origin, "size": state.size, "at": state.at, "note": state.note})
        )
        return
    click.echo(state.note, nl=False)
