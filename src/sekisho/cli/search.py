"""`sekisho search`: anything that was ever logged."""

from __future__ import annotations

import csv
import getpass
import sys
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import click

from sekisho import wiring
from sekisho.cli import search_chart, search_export
from sekisho.cli.asked import Answer, asking, why_options, zone_name
from sekisho.cli.main import Global
from sekisho.cli.search_show import TABLE_COLUMNS, Row, clean, csv_cell, full, json_line, table, to_screen
from sekisho.lake.fields import ALIASES
from sekisho.lake.questions import Around, Count, Explain, Find, Histogram, Question, Top
from sekisho.model import Refused
from sekisho.ocsf import COLUMNS, EVENT_SCHEMA

_TABLE_PAGE = 200


def _columns(text: str) -> list[str]:
    names = [name for name in text.replace(" ", "").split(",") if name]
    unknown = [name for name in names if name not in EVENT_SCHEMA.names]
    if unknown:
        raise Refused(
            f"--columns: there is no column {', '.join(unknown)}", "`sekisho search --fields` lists them"
        )
    return names


def _fields() -> None:
    for alias in ALIASES:
        columns = " ".join(target.column for target in alias.targets)
        click.echo(f"{alias.name:<12} {alias.doc}\n{'':<12}   = {columns}")
    click.echo("\nand every column by its own name or OCSF path:\n")
    for column in COLUMNS:
        click.echo(f"{column.name:<40} {column.path or '-':<40} {column.doc}")


def _wanted(output: str, columns: list[str], whole: bool) -> list[str]:
    if whole or (output in {"json", "csv"} and not columns):
        return []
    if output == "raw":
        return ["raw"]
    return columns or list(TABLE_COLUMNS)


def _write(output: str, rows: Iterator[Row], columns: list[str], zone: ZoneInfo) -> int:
    """Write as the rows come; returns how many."""
    count = 0
    names = columns or list(EVENT_SCHEMA.names)
    writer = csv.writer(sys.stdout)
    if output == "csv":
        writer.writerow(names)
    if output == "table":
        screen = to_screen()
        while page := list(islice(rows, _TABLE_PAGE)):
            screen.print(table(page, zone, columns))
            count += len(page)
        return count
    for row in rows:
        count += 1
        if output == "json":
            click.echo(json_line({name: row[name] for name in columns} if columns else row))
        elif output == "csv":
            writer.writerow([csv_cell(row[name]) for name in names])
        else:
            click.echo(clean(row["raw"]) if sys.stdout.isatty() else row["raw"])
    return count


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that only say how much, in which form and in which order."""
    for option in reversed(
        (
            click.option("--limit", type=click.IntRange(0), default=50, show_default=True, help="0 = all."),
            click.option(
                "--order", type=click.Choice(["newest", "oldest"]), default="newest", show_default=True
            ),
            click.option("--columns", default="", metavar="A,B,…", help="Show these columns (see --fields)."),
            click.option("--table", "output", flag_value="table", default=True, help="Readable (default)."),
            click.option("--json", "output", flag_value="json", help="One JSON object per line, UTC."),
            click.option("--csv", "output", flag_value="csv", help="CSV with a header line."),
            click.option("--raw", "output", flag_value="raw", help="Only the records as received."),
            click.option("--full", "whole", is_flag=True, help="Each event in full, raw side by side."),
            click.option("--count", "only_count", is_flag=True, help="Only how many there are."),
            click.option(
                "--histogram",
                metavar="[AUTO|1m|1h|1d]",
                is_flag=False,
                flag_value="AUTO",
                default="",
                help="How many over time, as bars.",
            ),
            click.option("--by", default="", metavar="FIELD", help="With --histogram: for each value."),
            click.option("--top", default="", metavar="FIELD,…", help="The most frequent values."),
            click.option(
                "--around", default="", metavar="EVENT", help="What happened around this event_uid."
            ),
            click.option(
                "--minutes",
                type=click.IntRange(1, 10_080),
                default=10,
                show_default=True,
                help="With --around: so far before and after.",
            ),
            click.option(
                "--same",
                default="",
                metavar="WHAT,…",
                help="With --around: only of the same user,device,ip,session.",
            ),
            click.option(
                "--export",
                type=click.Path(path_type=Path, dir_okay=False),
                help="Write all to FILE.csv, FILE.jsonl or FILE.parquet.",
            ),
            click.option("--zone", "zone_name_", default="", metavar="ZONE", help="Time zone of times."),
            click.option("--explain", is_flag=True, help="Show the SQL and the files it would look through."),
            click.option("--fields", "list_fields", is_flag=True, help="List every field that can be named."),
        )
    ):
        command = option(command)
    return command


class Wish(NamedTuple):
    """Everything beside query and times that was said."""

    limit: int
    order: Literal["newest", "oldest"]
    columns: str
    output: str
    whole: bool
    only_count: bool
    histogram: str
    by: str
    top: str
    around: str
    minutes: int
    same: str
    export: Path | None
    zone_name_: str
    explain: bool
    list_fields: bool
    purpose: str
    case: str


@click.command("search")
@click.argument("query", nargs=-1, type=click.UNPROCESSED)
@click.option("--since", default="", metavar="TIME", help="Not before: 2026-05-14, now-2h, yesterday.")
@click.option("--until", default="", metavar="TIME", help="Not after (a day counts whole).")
@_options
@why_options
@click.pass_obj
def command(ctx: Global, /, query: tuple[str, ...], since: str, until: str, **said: Any) -> None:
    """Search all logs, newest first. Every search is recorded: who, what, when, how much was seen.

    \b
    field:value      user: ip: host: domain: session: source: class: severity: status: code:
                     country: net: decoy: process: hash: … or any column (--fields)
    word "a phrase"  whole words anywhere in the record, ignoring case; *part* of a word
    a b | a OR b | -a | NOT a | (…)
    emp00*  203.0.113.0/24  [1 TO 5]  >=3  /regular.*expression/
    time:2026-05-14  time:[2026-05-14 TO now]  time:>now-2h

    \b
    Examples:
      sekisho search 'user:emp0042 -status:success' --since yesterday
      sekisho search 'ip:203.0.113.0/24 source:okta' --histogram 1h
      sekisho search 'status:failure' --since now-1d --top user,ip
      sekisho search --around 0f3c… --minutes 30 --same user,ip
      sekisho search '"evil.example" time:[2026-05-14 TO now]' --export found.csv --case C-7
      sekisho search 'event_uid:0f3c…'          one event in full
      sekisho search 'class:authentication country:* -country:JP' --count

    A query that begins with '-' goes after '--'. Ctrl-C stops and keeps what was found (status 130).
    """
    run(ctx, " ".join(query), since, until, Wish(**said))


def run(ctx: Global, query: str, since: str, until: str, wish: Wish) -> None:
    """One search as it was said, by the command or by a saved search."""
    if wish.list_fields:
        _fields()
        return
    zone = ZoneInfo(zone_name(ctx, wish.zone_name_))
    names = _columns(wish.columns)
    question = _question(query, since, until, zone.key, wish, names)
    why = wiring.Why(wish.purpose, wish.case, "" if wish.export is None else wish.export.name)
    if wish.export is not None:
        _export(ctx, wish.export, question, why)
        return
    with asking(ctx, question, why) as answer:
        _show(answer, question, names, zone, wish)


def _question(query: str, since: str, until: str, zone: str, wish: Wish, names: list[str]) -> Question:
    asked: dict[str, Any] = {"query": query, "since": since, "until": until, "zone": zone}
    export = wish.export is not None
    if wish.explain:
        return Explain(**asked)
    if wish.only_count:
        return Count(**asked)
    if wish.histogram:
        return Histogram(**asked, bucket=wish.histogram, by=wish.by, export=export)
    if wish.top:
        return Top(**asked, fields=_listed(wish.top), limit=wish.limit, export=export)
    if export and not wish.around:
        search_export.check(wish.export or Path())
        return Find(**asked, limit=0, order=wish.order, columns=tuple(names), export=True)
    shown = tuple(_wanted(wish.output, names, whole=wish.whole))
    if wish.around:
        return Around(
            **asked,
            event_uid=wish.around,
            minutes=wish.minutes,
            same=_listed(wish.same),
            limit=max(wish.limit, 200) if wish.limit else 0,
            columns=tuple({**dict.fromkeys(shown), "event_uid": None}) if shown else (),
        )
    single = wish.output == "table" and not names and not wish.whole
    return Find(**asked, limit=wish.limit, order=wish.order, columns=shown, single=single)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.replace(" ", "").split(",") if name)


def _export(ctx: Global, path: Path, question: Question, why: wiring.Why) -> None:
    search_export.check(path)
    with asking(ctx, question, why) as answer:
        written = search_export.write(path, answer)
        beside = search_export.manifest(
            written,
            question,
            why,
            offset=answer.meter.offset,
            who=getpass.getuser(),
            complete=not answer.stopped,
        )
        click.echo(f"{written.rows:,} rows in {written.path}  SHA-256 {written.sha256}")
        click.echo(f"what was asked: {beside}", err=True)


def _show(answer: Answer, question: Question, names: list[str], zone: ZoneInfo, wish: Wish) -> None:
    if isinstance(question, Explain):
        for row in answer.rows():
            click.echo(clean(row["line"]))
    elif isinstance(question, Count):
        for row in answer.rows():
            click.echo(row["n"])
    elif isinstance(question, Histogram):
        for found in answer:
            search_chart.histogram(found, wish.output, zone)
    elif isinstance(question, Top):
        search_chart.top(list(answer), wish.output)
    else:
        _events(answer.rows(), names, zone, wish)


def _events(rows: Iterator[Row], names: list[str], zone: ZoneInfo, wish: Wish) -> None:
    count = 0
    if wish.output == "table" and not names and not wish.around:
        first = list(islice(rows, 2))
        if wish.whole or (len(first) == 1 and "raw" in first[0]):
            screen = to_screen()
            for count, row in enumerate(chain(first, rows), start=1):  # noqa: B007 - counted
                screen.print(full(row, zone))
            return
        rows = chain(first, rows)
    count = _write(wish.output, rows, names, zone)
    if wish.output == "table":
        more = " (there may be more: --limit)" if wish.limit and count == wish.limit else ""
        click.echo(f"{count} event{'s' if count != 1 else ''}{more}", err=True)
