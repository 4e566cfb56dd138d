"""`sekisho sql`: one SELECT over all events, within limits."""

from __future__ import annotations

import csv
import sys
from zoneinfo import ZoneInfo

import click

from sekisho import wiring
from sekisho.cli.asked import asking, why_options, zone_name
from sekisho.cli.main import Global
from sekisho.cli.search_show import csv_cell, json_line, table, to_screen
from sekisho.lake.questions import Sql


@click.command("sql")
@click.argument("statement")
@click.option("--rows", type=click.IntRange(1, 10_000_000), default=1000, show_default=True, help="At most.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 300),
    default=60,
    show_default=True,
    help="Seconds until it is stopped.",
)
@click.option("--table", "output", flag_value="table", default=True, help="Readable table (default).")
@click.option("--json", "output", flag_value="json", help="One JSON object per line.")
@click.option("--csv", "output", flag_value="csv", help="CSV with a header line.")
@why_options
@click.pass_obj
def command(
    ctx: Global, statement: str, rows: int, timeout: float, output: str, purpose: str, case: str
) -> None:
    """Ask the table `events` with one SELECT (DuckDB's SQL). Nothing can be written or read elsewhere.

    It runs in a process of its own, which is killed at the time limit. Every statement is recorded.

    \b
    Examples:
      sekisho sql 'SELECT source, count(*) AS n FROM events GROUP BY source ORDER BY n DESC'
      sekisho sql "SELECT date_trunc('hour', time) AS hour, count(*) FROM events GROUP BY ALL ORDER BY 1"
      sekisho sql "SELECT person_uid, count(DISTINCT src_country) AS c FROM events
                   WHERE class_uid = 3002 GROUP BY ALL HAVING c > 1" --json
    """
    zone = ZoneInfo(zone_name(ctx, ""))
    count = 0
    with asking(
        ctx, Sql(statement=statement, rows=rows, seconds=timeout), wiring.Why(purpose, case)
    ) as answer:
        writer = csv.writer(sys.stdout)
        for number, found in enumerate(answer):
            names = found.column_names
            if number == 0 and output == "csv":
                writer.writerow(names)
            held = found.to_pylist()
            count += len(held)
            if output == "json":
                for row in held:
                    click.echo(json_line(row))
            elif output == "csv":
                writer.writerows([csv_cell(row[name]) for name in names] for row in held)
            elif held:
                to_screen().print(table(held, zone, names))
        click.echo(f"{count} row{'s' if count != 1 else ''}", err=True)
