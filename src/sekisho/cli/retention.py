"""`sekisho retention`: what has outlived its period, and deleting it."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from sekisho import status, wiring
from sekisho.cli.main import Global
from sekisho.cli.progress import Names
from sekisho.keeping import retention
from sekisho.keeping.policy import DAY_US, Policy, iso
from sekisho.keeping.retention import Means, Plan
from sekisho.lake import Lake, manifest
from sekisho.lake.engines import FileUnreadable
from sekisho.settings import Settings
from sekisho.wiring import keeper
from sekisho.wiring.keeping import means

WAIT_SECONDS = 3_600.0
WAITS, FAILED = 3, 1
#: Lines of a list on the screen.
LISTED = 12


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """How long logs are kept: periods by source, what is due, what waits for a person.

    It runs once a day by itself. What becomes due day by day goes by itself; what is more than that (a
    shorter period was set, the clock leapt, it did not run for days) waits until `run --yes`.

    \b
    Examples:
      sekisho retention show
      sekisho retention run --dry-run
      sekisho retention run --yes
    """


@command.command()
@click.option("--json", "as_json", is_flag=True, help="For a machine.")
@click.pass_obj
def show(obj: Global, as_json: bool) -> None:
    """Periods, what is stored of each source, and what is due. Deletes nothing.

    \b
    Example:
      sekisho retention show --json
    """
    _show(obj, as_json=as_json)


def _show(obj: Global, *, as_json: bool) -> Plan:
    settings = obj.existing()
    with means(settings) as (given, _):
        plan = retention.plan(given, Names("reading segment"))
        told = _told(plan, given.policy, _stored(given, plan))
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        _print(told)
    return plan


def _stored(given: Means, plan: Plan) -> dict[str, tuple[int, str]]:
    """Events and time of the oldest, by source."""
    if given.snapshot is None or not given.snapshot.files:
        return {}
    sql = "SELECT source, count(*) AS n, min(epoch_us(time)) AS oldest FROM events GROUP BY source"
    try:
        rows = given.engine.select(given.snapshot.paths(given.snapshot.files), sql, ()).to_pylist()
    except FileUnreadable as error:
        plan.problems.append(f"what is stored cannot be counted: {error}")
        return {}
    return {row["source"]: (row["n"], iso(row["oldest"])) for row in rows}


def _told(plan: Plan, policy: Policy, stored: dict[str, tuple[int, str]]) -> dict[str, Any]:
    unknown = (None, None)
    return {
        "judged_by": iso(plan.judged),
        "policy": policy.words(),
        "sources": [
            {
                "source": row.source,
                "events": stored.get(row.source, unknown)[0],
                "oldest": stored.get(row.source, unknown)[1],
                "hot_days": policy.hot(row.source) // DAY_US,
                "cutoff": iso(row.cutoff),
                "due": row.share.rows if row.share else 0,
                "oldest_due": iso(row.share.oldest) if row.share else None,
                "newest_due": iso(row.share.newest) if row.share else None,
                "waits": row.waits if row.share else "",
            }
            for row in plan.rows
        ],
        "segments": [
            {
                "name": whole.path.name,
                "bytes": whole.known.contents.size,
                "newest": iso(whole.newest),
                "why": whole.why,
                "waits": whole.waits,
            }
            for whole in plan.segments
        ],
        "held_events": plan.held_rows,
        "problems": plan.problems,
    }


def _print(told: dict[str, Any]) -> None:
    click.echo(f"periods    {told['policy']}\njudged by  {told['judged_by']}\n")
    click.echo(
        f"{'source':<18}{'days':>6}{'events':>14}  {'oldest':<20}{'due':>12}  {'due from':<20}  due to"
    )
    for row in told["sources"]:
        span = f"{row['oldest_due'] or '-':<20}  {row['newest_due'] or '-'}"
        events = "?" if row["events"] is None else f"{row['events']:,}"
        kept = f"{row['source']:<18}{row['hot_days']:>6}{events:>14}  {row['oldest'] or '?':<20}"
        click.echo(f"{kept}{row['due']:>12,}  {span}")
        if row["waits"]:
            click.echo(f"{'':<18}WAITS: {row['waits']}")
    size = sum(one["bytes"] for one in told["segments"])
    click.echo(f"\njournal    {len(told['segments'])} segments due, {size / 1e6:,.1f} MB")
    for one in told["segments"][:LISTED]:
        click.echo(f"  {one['name']}  up to {one['newest']}  {one['why']}  {one['waits'] or 'goes'}")
    if len(told["segments"]) > LISTED:
        click.echo(f"  and {len(told['segments']) - LISTED:,} more (--json lists them all)")
    if told["held_events"]:
        click.echo(f"held       {told['held_events']:,} events stay because of a legal hold")
    for problem in told["problems"]:
        click.echo(f"PROBLEM    {problem}")


@command.command()
@click.option("--dry-run", is_flag=True, help="Only show what would go.")
@click.option("--yes", is_flag=True, help="Also delete what waits for confirmation; the clock is right.")
@click.option("--json", "as_json", is_flag=True, help="For a machine.")
@click.pass_obj
def run(obj: Global, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete what is due, now. The journal is told first: what, how many, from when to when, why.

    \b
    Examples:
      sekisho retention run --dry-run
      sekisho retention run --yes

    Ends with 0 if nothing waits, 1 if something failed, 3 if something waits for confirmation.
    """
    if dry_run:
        plan = _show(obj, as_json=as_json)
        raise SystemExit(WAITS if plan.waiting else 0)
    settings = obj.existing()
    ran = _running(settings, yes) or _alone(settings, yes)
    if as_json:
        click.echo(json.dumps({name: getattr(ran, name) for name in ran.__struct_fields__}))
    else:
        for source, count in sorted(ran.events.items()):
            click.echo(f"{source:<18}{count:>14,} events deleted")
        click.echo(f"{ran.segments} segments deleted, {ran.bytes / 1e6:,.1f} MB freed")
        for line in ran.waiting[:LISTED]:
            click.echo(f"WAITS      {line}")
        if len(ran.waiting) > LISTED:
            click.echo(f"WAITS      and {len(ran.waiting) - LISTED:,} more (--json lists them all)")
        for line in ran.problems:
            click.echo(f"PROBLEM    {line}")
    if ran.error:
        click.echo(f"sekisho: {ran.error}", err=True)
        raise SystemExit(FAILED)
    raise SystemExit(WAITS if ran.waiting else 0)


def _running(settings: Settings, yes: bool) -> keeper.Ran | None:
    """By the running pipeline; None if it does not run."""
    if not status.alive(status.read(settings.run_dir, "pipeline"), wiring.now().timestamp()):
        return None
    return keeper.ask(settings, confirmed=yes, seconds=WAIT_SECONDS, sleep=time.sleep)


def _alone(settings: Settings, yes: bool) -> keeper.Ran:
    if not (settings.lake_dir / manifest.FILE).exists():
        return keeper.run_once(settings, None, confirmed=yes, alone=True)
    with Lake(settings.lake_dir, settings.lake, now=wiring.now) as lake:
        return keeper.run_once(settings, lake, confirmed=yes, alone=True)
