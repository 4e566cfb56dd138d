"""`sekisho status`: what comes in, what comes out, how far behind, what is wrong."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from sekisho import status, wiring
from sekisho.cli.main import Global
from sekisho.journal import JournalReader, Rejects
from sekisho.lake import manifest, reader
from sekisho.settings import Settings


def gather(settings: Settings) -> dict[str, Any]:
    """Everything that status shows, as plain values (times in seconds since 1970 UTC)."""
    now = wiring.now().timestamp()
    said = {name: status.read(settings.run_dir, name) for name in status.PROCESSES}
    journal_end = JournalReader(settings.journal_dir).end() if settings.journal_dir.exists() else 0
    stored = reader.snapshot(settings.lake_dir) if (settings.lake_dir / manifest.FILE).exists() else None
    counters = stored.counters if stored else {}
    done = -1 if stored is None or stored.offset is None else stored.offset
    rejects = Rejects(settings.journal_dir) if settings.journal_dir.exists() else None
    disk = shutil.disk_usage(settings.data if settings.data.exists() else Path.cwd())
    pipeline = said["pipeline"]
    return {
        "data": str(settings.data),
        "processes": {
            name: {
                "running": status.alive(words, now),
                "pid": words.pid if words else None,
                "started_at": words.started_at if words else 0.0,
                "resident_bytes": words.resident_bytes if words else 0,
            }
            for name, words in said.items()
        },
        "backlog": max(0, journal_end - 1 - done),
        "lag_seconds": pipeline.numbers.get("lag_seconds", 0.0) if pipeline else None,
        "events": stored.rows if stored else 0,
        "rejects": rejects.total() if rejects else 0,
        "reject_reasons": [list(row) for row in rejects.counts()] if rejects else [],
        "duplicates": sum(numbers.get("duplicates", 0) for numbers in counters.values()),
        "damaged": [str(damage) for damage in stored.damaged] if stored else [],
        "refused": _pairs(said["collect"], "refused"),
        "dropped": _pairs(said["collect"], "dropped"),
        "unjudged": [[*of, number] for of, number in sorted(wiring.still_unjudged(settings).items())],
        "deliveries": _pairs(said["notify"], "deliveries"),
        "sources": _sources(said, counters, now),
        "disk": {
            "free": disk.free,
            "total": disk.total,
            "journal": _size(settings.journal_dir),
            "lake": _size(settings.lake_dir),
        },
        "context_version": pipeline.texts.get("context_version", "") if pipeline else "",
    }


def _sources(
    said: dict[str, status.Said | None], counters: dict[str, dict[str, int]], now: float
) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = defaultdict(
        lambda: {
            "events": 0,
            "rejects": 0,
            "duplicates": 0,
            "per_second": 0.0,
            "lag_seconds": None,
            "last_seen": None,
            "received": 0,
        }
    )
    for source, numbers in counters.items():
        if not source:
            continue  # counters of rules
        rows[source]["events"] = numbers.get("events", 0)
        rows[source]["rejects"] = numbers.get("rejects", 0)
        rows[source]["duplicates"] = numbers.get("duplicates", 0)
        if newest := numbers.get("last_ingested_at"):
            rows[source]["last_seen"] = newest / 1e6
    pipeline, collect = said["pipeline"], said["collect"]
    for source, rate in (pipeline.rates if pipeline and status.alive(pipeline, now) else {}).items():
        rows[source]["per_second"] = round(rate, 1)
    for source, lag in (pipeline.lags if pipeline else {}).items():
        rows[source]["lag_seconds"] = round(lag, 1)
    for count in collect.counts.get("received", []) if collect else []:
        rows[count.first]["received"] += count.value
    return dict(rows)


def _pairs(words: status.Said | None, name: str) -> list[list[Any]]:
    return [[c.first, c.second, c.value] for c in (words.counts.get(name, []) if words else [])]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.exists() else 0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_obj
def command(obj: Global, as_json: bool) -> None:
    """Processes, sources, backlog, lag, rejects, drops, disk.

    \b
    Examples:
      sekisho status
      sekisho status --json | jq .backlog

    Ends with status 1 if a process does not run.
    """
    found = gather(obj.existing())
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        _print(found, ZoneInfo(obj.settings.zone))
    if not all(process["running"] for process in found["processes"].values()):
        raise SystemExit(1)


def _print(found: dict[str, Any], zone: ZoneInfo) -> None:
    def clock(seconds: float) -> str:
        return datetime.fromtimestamp(seconds, tz=UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")

    for name, process in found["processes"].items():
        runs = f"runs  {process['resident_bytes'] / 1e6:,.0f} MB  since {clock(process['started_at'])}"
        click.echo(f"{name:<10} {runs if process['running'] else 'DOES NOT RUN'}")
    lag = found["lag_seconds"]
    click.echo(f"backlog    {found['backlog']:,} frames" + (f", lag {lag:.1f} s" if lag is not None else ""))
    click.echo(
        f"events     {found['events']:,}   rejects {found['rejects']:,}"
        f"   stored already {found['duplicates']:,}"
    )
    disk = found["disk"]
    click.echo(
        f"disk       {disk['free'] / 1e9:,.1f} GB free; journal {disk['journal'] / 1e6:,.1f} MB,"
        f" lake {disk['lake'] / 1e6:,.1f} MB"
    )
    for damage in found["damaged"]:
        click.echo(f"DAMAGED    {damage}")
    heads = f"{'events':>12}{'rejects':>10}{'events/s':>10}{'lag s':>8}"
    click.echo(f"\n{'source':<18}{heads}  last seen")
    for source, row in sorted(found["sources"].items()):
        if source == "auto" and not row["rejects"]:
            continue  # a label under which records arrive, not a source
        slow = "-" if row["lag_seconds"] is None else f"{row['lag_seconds']:,.1f}"
        numbers = f"{row['events']:>12,}{row['rejects']:>10,}{row['per_second']:>10,.1f}{slow:>8}"
        click.echo(f"{source:<18}{numbers}  {clock(row['last_seen']) if row['last_seen'] else '-'}")
    _reasons(found)


#: Shown with the process that counts it, if it does so since that process began.
_SINCE = (
    ("rejects", "reject_reasons", ""),
    ("refused", "refused", "collect"),
    ("dropped", "dropped", "collect"),
    ("cannot judge", "unjudged", ""),
)


def _reasons(found: dict[str, Any]) -> None:
    for title, name, process in _SINCE:
        if found[name]:
            click.echo(f"\n{title}{f' (since {process} began)' if process else ''}:")
            for first, second, number in found[name]:
                click.echo(f"  {number:>10,}  {first}  {second}")
