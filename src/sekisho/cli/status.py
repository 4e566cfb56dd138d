"""`sekisho status`: what comes in, what comes out, how far behind, what is wrong."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import msgspec

from sekisho import status, wiring
from sekisho.cli.main import Global
from sekisho.cli.outside import echo, echo_json, shown
from sekisho.journal import JournalReader, Rejects
from sekisho.lake import manifest, reader
from sekisho.settings import Settings
from sekisho.wiring import keeper


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
        "standing": _standing(settings),
        "seal": _seal(said["collect"]),
        "keeping": _keeping(settings),
        "context_version": pipeline.texts.get("context_version", "") if pipeline else "",
    }


def _keeping(settings: Settings) -> dict[str, Any]:
    """The last run of retention, in the pipeline's process; ``at`` is None if there was none."""
    ran = keeper.last_run(settings)
    return {"at": None} if ran is None else msgspec.to_builtins(ran)


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


def _standing(settings: Settings) -> dict[str, Any] | None:
    """When the rules about what is absent last looked, and how many sources, devices and logs they cannot
    judge."""
    seen = wiring.watched(settings.run_dir)
    if seen is None:
        return None
    unjudged = {rule: len(subjects) for rule, subjects in seen.unjudged.items() if subjects}
    return {
        "at": seen.at,
        "upto": seen.upto,
        "seconds": seen.seconds,
        "unjudged": unjudged,
        "trouble": seen.trouble,
    }


def _seal(words: status.Said | None) -> dict[str, Any]:
    """How far the journal is sealed, and what each witness knows; times in seconds since 1970 UTC."""
    if words is None:
        return {}
    witnesses = {
        f"{kind} {name}": {"told_at": told_at, "lag_frames": 0, "refused": 0}
        for kind, name, told_at in _pairs(words, "witness_told_seconds")
    }
    for field in ("lag_frames", "refused"):
        for kind, name, value in _pairs(words, f"witness_{field}"):
            witnesses[f"{kind} {name}"][field] = value
    for name, row in witnesses.items():
        row["error"] = words.texts.get(f"witness {name}", "")
    return {
        "frames": int(words.numbers.get("sealed_frames", 0)),
        "unsealed": int(words.numbers.get("unsealed_frames", 0)),
        "at": words.numbers.get("seal_seconds", 0.0),
        "error": words.texts.get("seal", ""),
        "witnesses": witnesses,
    }


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
        echo_json(found)
    else:
        _print(found, ZoneInfo(obj.settings.zone))
    if not all(process["running"] for process in found["processes"].values()):
        raise SystemExit(1)


def _print(found: dict[str, Any], zone: ZoneInfo) -> None:
    def clock(seconds: float) -> str:
        return datetime.fromtimestamp(seconds, tz=UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")

    for name, process in found["processes"].items():
        runs = f"runs  {process['resident_bytes'] / 1e6:,.0f} MB  since {clock(process['started_at'])}"
        echo(f"{name:<10} {runs if process['running'] else 'DOES NOT RUN'}")
    lag = found["lag_seconds"]
    echo(f"backlog    {found['backlog']:,} frames" + (f", lag {lag:.1f} s" if lag is not None else ""))
    echo(
        f"events     {found['events']:,}   rejects {found['rejects']:,}"
        f"   stored already {found['duplicates']:,}"
    )
    disk = found["disk"]
    echo(
        f"disk       {disk['free'] / 1e9:,.1f} GB free; journal {disk['journal'] / 1e6:,.1f} MB,"
        f" lake {disk['lake'] / 1e6:,.1f} MB"
    )
    standing = found["standing"]
    if standing is None:
        echo("absence    not looked for yet")
    elif standing["trouble"]:
        echo(f"absence    COULD NOT LOOK at {clock(standing['at'])}: {standing['trouble']}")
    else:
        blind = sum(standing["unjudged"].values())
        told = f", {blind} cannot be judged (sekisho rules status)" if blind else ""
        echo(f"absence    looked for at {clock(standing['at'])} in {standing['seconds']:.1f} s{told}")
    _print_keeping(found["keeping"], clock)
    for damage in found["damaged"]:
        echo(f"DAMAGED    {shown(damage)}")
    _print_seal(found["seal"], clock)
    heads = f"{'events':>12}{'rejects':>10}{'events/s':>10}{'lag s':>8}"
    echo(f"\n{'source':<18}{heads}  last seen")
    for source, row in sorted(found["sources"].items()):
        if source == "auto" and not row["rejects"]:
            continue  # a label under which records arrive, not a source
        slow = "-" if row["lag_seconds"] is None else f"{row['lag_seconds']:,.1f}"
        numbers = f"{row['events']:>12,}{row['rejects']:>10,}{row['per_second']:>10,.1f}{slow:>8}"
        echo(f"{shown(source):<18}{numbers}  {clock(row['last_seen']) if row['last_seen'] else '-'}")
    _reasons(found)


def _print_seal(seal: dict[str, Any], clock: Callable[[float], str]) -> None:
    if not seal:
        return
    at = f", last checkpoint {clock(seal['at'])}" if seal["at"] else ""
    echo(f"sealed     {seal['frames']:,} frames, {seal['unsealed']:,} not yet{at}")
    if seal["error"]:
        echo(f"NOT SEALED {seal['error']}")
    for name, row in seal["witnesses"].items():
        told = f"told {clock(row['told_at'])}" if row["told_at"] else "never told"
        echo(f"  {name:<24} {told}, {row['lag_frames']:,} frames behind")
        if row["error"]:
            echo(f"  {'REFUSED' if row['refused'] else 'failed'}: {row['error']}")


def _print_keeping(ran: dict[str, Any], clock: Callable[[float], str]) -> None:
    if ran["at"] is None:
        echo("retention  not run yet (daily, in the process pipeline)")
        return
    gone = f"{sum(ran['events'].values()):,} events and {ran['segments']:,} segments deleted"
    echo(f"retention  {clock(ran['at'])}  {gone}, {ran['held_rows']:,} events held")
    for title in ("error", "waiting", "problems"):
        said = [ran[title]] if isinstance(ran[title], str) else ran[title]
        for line in filter(None, said[:5]):
            echo(f"  {'WAITING FOR CONFIRMATION' if title == 'waiting' else title.upper()}: {line}")


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
            echo(f"\n{title}{f' (since {process} began)' if process else ''}:")
            for first, second, number in found[name]:
                echo(f"  {number:>10,}  {shown(first)}  {shown(second)}")
