"""`sekisho search`: anything that was ever logged."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import chain, islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from sekisho import wiring
from sekisho.cli.main import Global
from sekisho.cli.search_show import TABLE_COLUMNS, Row, clean, csv_cell, full, json_line, table, to_screen
from sekisho.lake import query as language
from sekisho.lake import reader
from sekisho.lake.engines.duckdb import DuckDB
from sekisho.lake.fields import ALIASES
from sekisho.lake.moments import Span, span
from sekisho.lake.query import Condition, micros
from sekisho.lake.search import Search
from sekisho.model import Refused
from sekisho.ocsf import COLUMNS, EVENT_SCHEMA

_TABLE_PAGE = 200


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Refused(f"--zone {name}: no such time zone", "give an IANA name such as Asia/Tokyo") from error


def _moment(option: str, text: str, zone: ZoneInfo, now: datetime) -> Span:
    try:
        return span(text, zone, now)
    except (ValueError, OverflowError) as error:
        raise Refused(f"{option}: {error}") from error


def _condition(query: str, since: str | None, until: str | None, zone: ZoneInfo) -> Condition:
    now = wiring.now()
    condition = language.compile(query, zone, now)
    if since is None and until is None:
        return condition
    return condition.during(
        None if since is None else micros(_moment("--since", since, zone, now).start),
        None if until is None else micros(_moment("--until", until, zone, now).end),
    )


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


def _explain(search: Search, condition: Condition) -> None:
    files = search.files()
    click.echo(f"WHERE {condition.sql}")
    for param in condition.params:
        click.echo(f"  ? {clean(repr(param))}")
    rows = sum(file.rows for file in files)
    click.echo(f"at most {len(files)} files with {rows:,} events are looked through")


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


def _whole(search: Search, rows: list[Row], zone: ZoneInfo) -> None:
    """Each of these events in full."""
    screen = to_screen()
    for row in rows:
        moment = micros(row["time"])
        own = Condition("event_uid = ?", (row["event_uid"],)).during(moment, moment + 1)
        for found in search.again(own).rows(limit=1):
            screen.print(full(found.to_pylist()[0], zone))


@click.command("search")
@click.argument("query", nargs=-1, type=click.UNPROCESSED)
@click.option("--since", metavar="TIME", help="Not before: 2026-05-14, 2026-05-14T09:30, now-2h, yesterday.")
@click.option("--until", metavar="TIME", help="Not after (a day counts whole).")
@click.option("--limit", type=click.IntRange(0), default=50, show_default=True, help="0 = all.")
@click.option("--order", type=click.Choice(["newest", "oldest"]), default="newest", show_default=True)
@click.option("--columns", default="", metavar="A,B,…", help="Show these columns (see --fields).")
@click.option("--table", "output", flag_value="table", default=True, help="Readable table (default).")
@click.option("--json", "output", flag_value="json", help="One JSON object per line, times in UTC.")
@click.option("--csv", "output", flag_value="csv", help="CSV with a header line.")
@click.option("--raw", "output", flag_value="raw", help="Only the records as they were received.")
@click.option("--full", "whole", is_flag=True, help="Each event in full, unmapped part and raw side by side.")
@click.option("--count", "only_count", is_flag=True, help="Only how many there are.")
@click.option("--zone", "zone_name", default="", help="Time zone to read and show times in.")
@click.option("--explain", is_flag=True, help="Show the SQL and the files it would look through.")
@click.option("--fields", "list_fields", is_flag=True, help="List every field that a query may name.")
@click.pass_obj
def command(
    ctx: Global,
    query: tuple[str, ...],
    since: str | None,
    until: str | None,
    limit: int,
    order: str,
    columns: str,
    output: str,
    whole: bool,
    only_count: bool,
    zone_name: str,
    explain: bool,
    list_fields: bool,
) -> None:
    """Search all logs, newest first.

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
      sekisho search 'ip:203.0.113.0/24 source:okta'
      sekisho search '"evil.example" time:[2026-05-14 TO now]' --json
      sekisho search 'event_uid:0f3c…'          one event in full
      sekisho search 'class:authentication country:* -country:JP' --count

    A query that begins with '-' goes after '--'.
    """
    if list_fields:
        _fields()
        return
    zone = _zone(zone_name or ctx.settings.zone)
    condition = _condition(" ".join(query), since, until, zone)
    names = _columns(columns)
    engine = DuckDB(ctx.settings.lake)
    try:
        search = Search(reader.snapshot(ctx.settings.lake_dir), engine, condition)
        if explain:
            _explain(search, condition)
        elif only_count:
            click.echo(search.count())
        else:
            _show(search, output, names, zone, limit, order, whole)
        for damage in search.damaged:
            click.echo(f"note: left out, not readable: {damage}", err=True)
    finally:
        engine.close()


def _show(
    search: Search, output: str, names: list[str], zone: ZoneInfo, limit: int, order: str, whole: bool
) -> None:
    tables = search.rows(
        limit or None, "oldest" if order == "oldest" else "newest", _wanted(output, names, whole=False)
    )
    rows: Iterator[Row] = chain.from_iterable(found.to_pylist() for found in tables)
    if output == "table" and not names:
        first = list(islice(rows, 2))
        if whole or len(first) == 1:
            _whole(search, first + list(rows), zone)
            return
        rows = chain(first, rows)
    count = _write(output, rows, names, zone)
    if output == "table":
        more = " (there may be more: --limit)" if limit and count == limit else ""
        click.echo(f"{count} event{'s' if count != 1 else ''}{more}", err=True)
