"""`sekisho hold`: legal holds, so that nothing a case needs is deleted."""

from __future__ import annotations

import getpass
import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click
import msgspec

from sekisho import wiring
from sekisho.cli import audited
from sekisho.cli.main import Global
from sekisho.keeping.holds import Hold
from sekisho.keeping.policy import iso
from sekisho.lake import query
from sekisho.model import Refused
from sekisho.wiring.keeping import catalogue, holds


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Legal holds by case: what they cover stays, whatever the periods say, until it is released.

    A hold keeps the events that its query finds, and every journal segment received since --from that
    may hold
    such an event (--until excludes no segment: a disk image may be read in long afterwards).

    \b
    Examples:
      sekisho hold add CASE-2026-014 --query 'user:emp0042' --from 2026-04-01 --why 'request of the police'
      sekisho hold list
      sekisho hold release CASE-2026-014 --why 'proceedings closed'
    """


@command.command()
@click.argument("case")
@click.option("--query", "query_", default="", metavar="QUERY", help="Which events (as in `sekisho search`).")
@click.option("--source", default="", metavar="ID", help="Only events of this source.")
@click.option("--all", "everything", is_flag=True, help="All events (of the time, if it is given).")
@click.option("--from", "begin", metavar="TIME", help="Events from this time on.")
@click.option("--until", "end", metavar="TIME", help="Events up to this time (a day counts whole).")
@click.option("--why", required=True, metavar="TEXT", help="The reason; it is journaled.")
@click.pass_obj
def add(
    obj: Global,
    case: str,
    query_: str,
    source: str,
    everything: bool,
    begin: str | None,
    end: str | None,
    why: str,
) -> None:
    """Hold what a case needs. Durable when this returns.

    \b
    Examples:
      sekisho hold add CASE-2026-014 --query 'user:emp0042' --from 2026-04-01 --until 2026-06-30 --why TEXT
      sekisho hold add CASE-2026-015 --source okta --why 'audit'
      sekisho hold add CASE-2026-016 --all --from 2026-05-01 --why 'theft of 2026-05-31'
    """
    if bool(query_ or source) == everything:
        raise Refused("say what is held", "name --query or --source, or else --all")
    settings = obj.existing()
    now = wiring.now()
    zone = ZoneInfo(settings.zone)
    hold = Hold(
        case=case,
        query=query_,
        source=source,
        begin=_edge(begin, ">=", zone, now).time_from if begin else None,
        end=_edge(end, "<=", zone, now).time_to if end else None,
        why=why,
        by=getpass.getuser(),
        at=int(now.timestamp() * 1_000_000),
        zone=settings.zone,
    )
    with catalogue(settings) as known:
        holds(settings, known).add(hold)
    message = f"legal hold {case}: {_covers(hold)}; why: {why}"
    wiring.audit(settings, [audited.event("hold", case, audited.CREATE, "added", message, now=now)])
    click.echo(f"{case} is held: {_covers(hold)}")


def _edge(text: str, sign: str, zone: ZoneInfo, now: datetime) -> query.Condition:
    return query.compile(f"time:{sign}{text}", zone, now)


def _covers(hold: Hold) -> str:
    what = " ".join(
        filter(None, [hold.query and f"query {hold.query!r}", hold.source and f"source {hold.source}"])
    )
    span = f"{iso(hold.begin) if hold.begin is not None else '…'} to {iso(hold.end) if hold.end else '…'}"
    return f"{what or 'everything'}, {span}"


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="For a machine.")
@click.option("--released", is_flag=True, help="Those that were released, too.")
@click.pass_obj
def list_(obj: Global, as_json: bool, released: bool) -> None:
    """Holds, with who made them, when (UTC) and why.

    \b
    Example:
      sekisho hold list --released
    """
    settings = obj.existing()
    with catalogue(settings) as known:
        found = [hold for hold in holds(settings, known).all() if released or hold.released_at is None]
    if as_json:
        rows: list[dict[str, Any]] = [msgspec.to_builtins(hold) for hold in found]
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    if not found:
        click.echo("Nothing is held.")
    for hold in found:
        click.echo(f"{hold.case}  {_covers(hold)}\n    {iso(hold.at)} by {hold.by}: {hold.why}")
        if hold.released_at is not None:
            click.echo(f"    released {iso(hold.released_at)} by {hold.released_by}: {hold.released_why}")


@command.command()
@click.argument("case")
@click.option("--why", required=True, metavar="TEXT", help="The reason; it is journaled.")
@click.pass_obj
def release(obj: Global, case: str, why: str) -> None:
    """End a hold. What has outlived its period meanwhile goes with the next run of retention.

    \b
    Example:
      sekisho hold release CASE-2026-014 --why 'proceedings closed'
    """
    settings = obj.existing()
    now = wiring.now()
    message = f"legal hold {case} released; why: {why}"
    with catalogue(settings) as known:
        held = holds(settings, known)
        if not any(hold.case == case for hold in held.active()):
            raise Refused(f"the case {case} is not held", "`sekisho hold list` shows what is")
        # journaled first: a release must never be without its record
        wiring.audit(settings, [audited.event("hold", case, audited.DELETE, "released", message, now=now)])
        held.release(case, by=getpass.getuser(), why=why, at=int(now.timestamp() * 1_000_000))
    click.echo(f"{case} is released.")
