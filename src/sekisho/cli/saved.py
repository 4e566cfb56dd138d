"""`sekisho saved`: searches that are asked again."""

from __future__ import annotations

import getpass
import json
from typing import Any

import click

from sekisho import wiring
from sekisho.cli import audited
from sekisho.cli import search as searching
from sekisho.cli.main import Global
from sekisho.cli.search_show import clean
from sekisho.lake import query as language
from sekisho.lake.questions import zone_of
from sekisho.model import Refused
from sekisho.modules import database


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Searches with a name. `{user}` in a query is a parameter.

    \b
    Examples:
      sekisho saved add night-logins 'class:authentication user:{user}' --since now-30d
      sekisho saved list
      sekisho saved run night-logins user=emp0042 --top ip
      sekisho saved remove night-logins
    """


def _flows(ctx: Global) -> Any:
    ctx.existing()
    database.start(ctx.data)
    database.migrate()
    from sekisho.modules.searches import flows  # Django must be configured before its models load

    return flows


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="For a machine.")
@click.pass_obj
def list_(ctx: Global, as_json: bool) -> None:
    """Names, what they are for, and their parameters.

    \b
    Example:
      sekisho saved list --json
    """
    held = _flows(ctx).all_()
    if as_json:
        click.echo(json.dumps([_plain(one) for one in held], ensure_ascii=False))
        return
    if not held:
        click.echo("Nothing is saved yet. Save one with: sekisho saved add NAME QUERY")
        return
    width = max(len(one.name) for one in held)
    for one in held:
        about = one.about_ja if ctx.settings.language == "ja" else one.about_en
        takes = " ".join(f"{name}=…" for name in one.parameters)
        click.echo(f"{one.name:<{width}}  {clean(about or one.query)[:100]}  {takes}".rstrip())


def _plain(one: Any) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "query": one.query,
        "since": one.since,
        "parameters": list(one.parameters),
        "ja": one.about_ja,
        "en": one.about_en,
    }


@command.command()
@click.argument("name")
@click.pass_obj
def show(ctx: Global, name: str) -> None:
    """One saved search as JSON.

    \b
    Example:
      sekisho saved show night-logins
    """
    click.echo(json.dumps(_plain(_flows(ctx).get(name)), ensure_ascii=False, indent=2))


@command.command()
@click.argument("name")
@click.argument("query")
@click.option("--since", default="", metavar="TIME", help="Its usual start, such as now-7d.")
@click.option("--sql", "is_sql", is_flag=True, help="QUERY is one SELECT over events.")
@click.option("--ja", default="", metavar="TEXT", help="What it is for, in Japanese.")
@click.option("--en", default="", metavar="TEXT", help="What it is for, in English.")
@click.pass_obj
def add(ctx: Global, name: str, query: str, since: str, is_sql: bool, ja: str, en: str) -> None:
    """Keep a search under a name.

    \b
    Examples:
      sekisho saved add failed 'status:failure user:{user}' --since now-7d --en 'Failures of one person'
      sekisho saved add per-source 'SELECT source, count(*) FROM events GROUP BY 1' --sql
    """
    flows = _flows(ctx)
    kept = flows.Search(name, query, "sql" if is_sql else "search", since, ja, en)
    if not is_sql:
        trial = flows.filled(kept, dict.fromkeys(kept.parameters, "x"))
        language.compile(trial, zone_of(ctx.settings.zone), wiring.now())
    message = f"saved search '{name}' added: {query[:500]}"
    told = audited.event("search", name, audited.CREATE, "saved", message, now=wiring.now())
    flows.add(kept, by=getpass.getuser(), now=wiring.now(), told=[told])
    wiring.deliver_audit(ctx.settings)
    click.echo(f"The search '{name}' is saved.")


@command.command()
@click.argument("name")
@click.pass_obj
def remove(ctx: Global, name: str) -> None:
    """Forget a saved search.

    \b
    Example:
      sekisho saved remove failed
    """
    message = f"saved search '{name}' removed"
    told = audited.event("search", name, audited.DELETE, "removed", message, now=wiring.now())
    _flows(ctx).remove(name, now=wiring.now(), told=[told])
    wiring.deliver_audit(ctx.settings)
    click.echo(f"The search '{name}' is removed.")


@command.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(ctx: click.Context, name: str, words: tuple[str, ...]) -> None:
    """Ask a saved search: PARAMETER=VALUE for each of its parameters, then options of search (or sql).

    \b
    Examples:
      sekisho saved run failed user=emp0042
      sekisho saved run failed user=emp0042 --since now-1d --histogram 1h
    """
    flows = _flows(ctx.obj)
    held = flows.get(name)
    count = next((n for n, word in enumerate(words) if word.startswith("-")), len(words))
    pairs = [word.partition("=") for word in words[:count]]
    if any(not sign for _, sign, _ in pairs):
        raise Refused(f"{name}: parameters are written NAME=VALUE", "options come after them")
    query = flows.filled(held, {key: value for key, _, value in pairs})
    rest = list(words[count:])
    if held.kind == "sql":
        from sekisho.cli import sql

        sql.command.main([*rest, "--", query], obj=ctx.obj, standalone_mode=False)
        return
    if held.since and not any(word.startswith("--since") for word in rest):
        rest = ["--since", held.since, *rest]
    searching.command.main([*rest, "--", query], obj=ctx.obj, standalone_mode=False)
