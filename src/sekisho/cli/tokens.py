"""`sekisho tokens`: who may send logs over the network."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from sekisho import wiring
from sekisho.cli import audited
from sekisho.cli.main import Global
from sekisho.cli.outside import echo, echo_json
from sekisho.collect.tokens import Token, Tokens
from sekisho.contract.discovery import discover
from sekisho.model import Refused


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Tokens of senders. One for each shipper, so that one can be ended without the others.

    \b
    Examples:
      sekisho tokens create filebeat-01
      sekisho tokens create okta-forwarder --source okta
      sekisho tokens list
      sekisho tokens revoke filebeat-01
    """


def _tokens(data: Global) -> Tokens:
    return Tokens(data.settings.secrets_dir / "tokens.json")


@command.command()
@click.argument("name")
@click.option("--source", default="", metavar="ID", help="What is sent with it is of this source, only.")
@click.option("--json", "as_json", is_flag=True, help="For a machine.")
@click.pass_obj
def create(obj: Global, name: str, source: str, as_json: bool) -> None:
    """Make a token and print it, once: only its hash is stored.

    \b
    Examples:
      sekisho tokens create filebeat-01
      sekisho tokens create okta-forwarder --source okta
    """
    if not obj.settings.secrets_dir.is_dir():
        raise Refused(f"{obj.data} is not a data folder of Sekisho yet", "start it once: sekisho up")
    if source:
        known = discover().receivable()
        if source not in known:
            raise Refused(f"there is no source '{source}'", f"sources there are: {', '.join(known)}")
    token = _tokens(obj).create(name, now=wiring.now().timestamp(), source=source)
    try:
        _show(name, source, token, as_json=as_json)
    finally:  # after it: whatever becomes of the journal, the token is shown
        message = f"token '{name}' created for {source or 'any source'}"
        done = audited.event("token", name, audited.CREATE, "created", message, now=wiring.now())
        wiring.audit(obj.settings, [done])


def _show(name: str, source: str, token: str, *, as_json: bool) -> None:
    if as_json:
        echo_json({"name": name, "source": source, "token": token})
        return
    echo(token)
    echo(
        f"This is the only time that the token '{name}' is shown. A running collector takes it at once.",
        err=True,
    )


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="For a machine.")
@click.pass_obj
def list_(obj: Global, as_json: bool) -> None:
    """Names of the tokens, what they may send, and since when they are there (UTC).

    \b
    Example:
      sekisho tokens list --json
    """
    tokens = _tokens(obj).all()
    if as_json:
        rows = [{"name": t.name, "source": t.source, "created": _created(t)} for t in tokens]
        echo_json(rows)
        return
    if not tokens:
        echo("There are no tokens. Make one with: sekisho tokens create NAME")
        return
    width = max(len("NAME"), *(len(token.name) for token in tokens))
    echo(f"{'NAME':<{width}}  {'CREATED (UTC)':<20}  SOURCE")
    for token in tokens:
        echo(f"{token.name:<{width}}  {_created(token):<20}  {token.source or 'any'}")


@command.command()
@click.argument("name")
@click.pass_obj
def revoke(obj: Global, name: str) -> None:
    """End a token. A running collector refuses it from the next request on.

    \b
    Example:
      sekisho tokens revoke filebeat-01
    """
    _tokens(obj).revoke(name)
    message = f"token '{name}' revoked"
    done = audited.event("token", name, audited.DELETE, "revoked", message, now=wiring.now())
    wiring.audit(obj.settings, [done])
    echo(f"The token '{name}' is ended.")


def _created(token: Token) -> str:
    return datetime.fromtimestamp(token.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
