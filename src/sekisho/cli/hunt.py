"""`sekisho hunt`: a list of indicators against everything that was ever logged."""

from __future__ import annotations

import csv
import getpass
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from sekisho import wiring
from sekisho.cli import search_export
from sekisho.cli.asked import asking, why_options, zone_name
from sekisho.cli.main import Global
from sekisho.cli.search_show import clean, csv_cell, json_line, local
from sekisho.lake import indicators
from sekisho.lake.questions import Hunted, Sought
from sekisho.model import Refused

#: Unusable entries that are shown; all are counted, and --unusable shows all.
_SHOWN = 10


@click.command("hunt")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--since", default="", metavar="TIME", help="Not before: 2026-05-14, now-30d.")
@click.option("--json", "output", flag_value="json", help="One JSON object per line, times in UTC.")
@click.option("--csv", "output", flag_value="csv", help="CSV with a header line.")
@click.option("--export", type=click.Path(path_type=Path, dir_okay=False),
              help="Write the result to FILE.csv, FILE.jsonl or FILE.parquet.")  # fmt: skip
@click.option("--check", is_flag=True, help="Only read the list and say what of it can be used.")
@click.option("--unusable", is_flag=True, help="Name every entry that cannot be used, not the first ten.")
@click.option("--zone", "zone_named", default="", metavar="ZONE", help="Time zone of times.")
@why_options
@click.pass_obj
def command(
    ctx: Global,
    file: Path,
    since: str,
    output: str | None,
    export: Path | None,
    check: bool,
    unusable: bool,
    zone_named: str,
    purpose: str,
    case: str,
) -> None:
    """Look for every indicator of FILE in all history, in one pass (A1, A10).

    FILE is CSV (a column value, optionally type and name), a plain list, a STIX 2.0 or 2.1 bundle, or a MISP
    event. Addresses, networks, domains (with all below them), URLs, mail addresses, hashes (MD5, SHA-1,
    SHA-256), names of files, user agents; defanged forms (hxxp://evil[.]example) too. Status 0: nothing
    found, 10: something found.

    \b
    Examples:
      sekisho hunt indicators.csv
      sekisho hunt bundle.json --since now-400d --case C-7 --export hits.csv
      sekisho hunt list.txt --check
    """
    listed = indicators.read(file.read_bytes(), str(file))
    _say_list(listed, every=unusable)
    if check:
        return
    if not listed.indicators:
        raise Refused(f"{file}: nothing in it can be looked for", "see the reasons above")
    zone = ZoneInfo(zone_name(ctx, zone_named))
    question = Hunted(
        since=since, zone=zone.key, sought=tuple(Sought(*held) for held in listed.indicators),
        export=export is not None,
    )  # fmt: skip
    why = wiring.Why(purpose, case, "" if export is None else export.name)
    with asking(ctx, question, why) as answer:
        if export is not None:
            search_export.check(export)
            written = search_export.write(export, answer)
            search_export.manifest(
                written, question, why, offset=answer.meter.offset, who=getpass.getuser(),
                complete=not answer.stopped,
            )  # fmt: skip
            click.echo(f"{written.rows:,} rows in {written.path}  SHA-256 {written.sha256}")
            found = written.rows
        else:
            rows = list(answer.rows())
            _show(rows, output, zone)
            found = len(rows)
        total = answer.meter.total
    click.echo(f"{found:,} of {len(listed.indicators):,} indicators were seen, in {total:,} events", err=True)
    if found:
        raise SystemExit(10)


def _say_list(listed: indicators.Listed, *, every: bool) -> None:
    kinds = Counter(held.kind for held in listed.indicators)
    told = ", ".join(f"{n:,} {kind}" for kind, n in kinds.most_common())
    click.echo(f"{len(listed.indicators):,} indicators: {told or 'none'}", err=True)
    for entry in listed.unusable if every else listed.unusable[:_SHOWN]:
        click.echo(f"not used: {clean(entry.where)}: {clean(entry.text[:120])}: {clean(entry.why)}", err=True)
    left = len(listed.unusable) - _SHOWN
    if left > 0 and not every:
        click.echo(f"not used: {left:,} more (--unusable names them)", err=True)


def _show(rows: list[dict[str, Any]], output: str | None, zone: ZoneInfo) -> None:
    if output == "json":
        for row in rows:
            click.echo(json_line(row))
        return
    if output == "csv":
        writer = csv.writer(sys.stdout)
        names = list(rows[0]) if rows else []
        writer.writerow(names)
        writer.writerows([csv_cell(row[name]) for name in names] for row in rows)
        return
    for row in rows:
        named = f"  ({clean(row['name'])[:80]})" if row["name"] else ""
        click.echo(f"{row['kind']} {clean(row['value'])}{named}")
        click.echo(
            f"    {row['n']:,} events, {local(row['first_seen'], zone)} to {local(row['last_seen'], zone)}"
        )
        for title, name in (
            ("who", "persons"),
            ("devices", "devices"),
            ("sources", "sources"),
            ("in", "columns"),
        ):
            if row[name]:
                click.echo(f"    {title}: {clean(row[name])}")
        click.echo(f"    for example: event_uid:{row['event_uid']}")
