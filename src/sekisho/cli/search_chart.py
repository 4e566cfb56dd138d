"""Counts as a person reads them: bars over time, most frequent values."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import click
import pyarrow as pa

from sekisho.cli.search_show import clean, csv_cell, json_line, local, to_screen

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_DAY = 86_400_000_000


def bar(value: int, most: int, width: int) -> str:
    """A bar of at most ``width`` characters, to an eighth of one."""
    eighths = round(value * width * 8 / most) if most else 0
    if value and not eighths:
        eighths = 1
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def histogram(table: pa.Table, output: str, zone: ZoneInfo) -> None:
    """Write a histogram; on the screen with the empty stretches between."""
    rows = table.to_pylist()
    if output in {"json", "csv"}:
        _plain(rows, table.column_names, output)
        return
    bucket = int((table.schema.metadata or {}).get(b"bucket", b"0"))
    by = "by" in table.column_names
    most = max((row["n"] for row in rows), default=0)
    width = max(10, min(60, to_screen().width - 50))
    before = None
    for row in rows:
        at = row["time"]
        if not by:
            _gap(before, at, bucket, zone)
        before = at
        when = _when(at, bucket, zone)
        value = f"  {clean(row['by'] if row['by'] is not None else '(not recorded)'):<24.24}" if by else ""
        click.echo(f"{when}{value}  {row['n']:>10,}  {bar(row['n'], most, width)}")
    total = sum(row["n"] for row in rows)
    click.echo(f"{total:,} events; one bar: {_length(bucket)}; times in {zone.key}", err=True)


def _when(at: Any, bucket: int, zone: ZoneInfo) -> str:
    shown = local(at, zone)
    return f"{at.astimezone(zone):%Y-%m-%d (%a)}" if bucket >= _DAY else shown


def _gap(before: Any, at: Any, bucket: int, zone: ZoneInfo) -> None:
    """Nothing happened: said, for a silence is a finding of its own."""
    if before is None or not bucket:
        return
    empty = round((at - before).total_seconds() * 1_000_000 / bucket) - 1
    if empty == 1:
        click.echo(f"{_when(before + (at - before) / 2, bucket, zone)}  {0:>10}")
    elif empty > 1:
        click.echo(f"{'':<10}  … {empty:,} stretches without events")


def _length(bucket: int) -> str:
    seconds = bucket // 1_000_000
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def top(tables: Sequence[pa.Table], output: str) -> None:
    """Write the most frequent values of each field."""
    rows = [row for table in tables for row in table.to_pylist()]
    if output in {"json", "csv"}:
        _plain(rows, ["field", "value", "n"], output)
        return
    for name in dict.fromkeys(row["field"] for row in rows):
        mine = [row for row in rows if row["field"] == name]
        most = max(row["n"] for row in mine)
        click.echo(f"{name}:")
        for row in mine:
            value = clean(row["value"]) if row["value"] is not None else "(not recorded)"
            click.echo(f"  {row['n']:>10,}  {bar(row['n'], most, 20):<20}  {value[:200]}")


def _plain(rows: list[dict[str, Any]], names: list[str], output: str) -> None:
    if output == "json":
        for row in rows:
            # null says that the value is not recorded, so it stays
            click.echo(json.dumps({**dict.fromkeys(names), **json.loads(json_line(row))}, ensure_ascii=True))
        return
    writer = csv.writer(sys.stdout)
    writer.writerow(names)
    writer.writerows([csv_cell(row[name]) for name in names] for row in rows)
