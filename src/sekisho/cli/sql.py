"""`sekisho sql`: one SELECT over all events, within limits."""

from __future__ import annotations

import csv
import sys
from zoneinfo import ZoneInfo

import click

from sekisho.cli.main import Global
from sekisho.cli.search_show import csv_cell, json_line, table, to_screen
from sekisho.lake import reader, sandbox


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
@click.pass_obj
def command(ctx: Global, statement: str, rows: int, timeout: float, output: str) -> None:
    """Ask the table `events` with one SELECT (DuckDB's SQL). Nothing can be written or read elsewhere.

    \b
    Examples:
      sekisho sql 'SELECT source, count(*) AS n FROM events GROUP BY source ORDER BY n DESC'
      sekisho sql "SELECT date_trunc('hour', time) AS hour, count(*) FROM events GROUP BY ALL ORDER BY 1"
      sekisho sql "SELECT person_uid, count(DISTINCT src_country) AS c FROM events
                   WHERE class_uid = 3002 GROUP BY ALL HAVING c > 1" --json
    """
    held = ctx.settings
    result = sandbox.run(reader.snapshot(held.lake_dir), held.lake, statement, rows=rows, seconds=timeout)
    names = result.table.column_names
    found = result.table.to_pylist()
    if output == "json":
        for row in found:
            click.echo(json_line(row))
    elif output == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(names)
        writer.writerows([csv_cell(row[name]) for name in names] for row in found)
    else:
        to_screen().print(table(found, ZoneInfo(held.zone), names))
    cut = f" (cut at {rows}: --rows)" if result.cut else ""
    click.echo(f"{len(found)} row{'s' if len(found) != 1 else ''}{cut}", err=True)
