"""`sekisho rules`: which detections there are, whether they can judge, and a try of one."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sekisho import wiring
from sekisho.cli.main import Global
from sekisho.contract import Context, Rule
from sekisho.contract.discovery import discover
from sekisho.detect import Detector, judge, rules
from sekisho.enrich import context_files
from sekisho.lake import files, reader
from sekisho.model import Finding, Refused
from sekisho.ocsf import EVENT_SCHEMA


@click.group(name="rules", short_help="Detections: list, show, status, replay over the past.")
def command() -> None:
    """Which detections there are and whether they can judge.

    \b
    Examples:
      sekisho rules list
      sekisho rules show leaver-attempt
      sekisho rules status                      what is blind, and the remedy
      sekisho rules replay decoy --since 30d --dry-run
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_(as_json: bool) -> None:
    """All rules, with the sentences of the advisory they serve.

    \b
    Example: sekisho rules list --json
    """
    found = rules(discover())
    if as_json:
        click.echo(json.dumps([_summary(rule) for rule in found], ensure_ascii=False, indent=2))
        return
    for rule in found:
        click.echo(
            f"{rule.id:28} {' '.join(rule.advisory):18} {rule.title.ja} / {rule.title.en}  [{rule.author}]"
        )


@command.command("show")
@click.argument("rule_id")
def show(rule_id: str) -> None:
    """One rule: what it looks for, why, what to do.

    \b
    Example: sekisho rules show decoy
    """
    rule = _rule(rule_id)
    click.echo(f"{rule.id}  {rule.title.ja} / {rule.title.en}")
    click.echo(
        f"advisory {' '.join(rule.advisory)}  ATT&CK {' '.join(rule.attack) or '-'}  author {rule.author}"
    )
    click.echo(f"needs tables {' '.join(rule.tables) or '-'}; columns {' '.join(rule.columns)}")
    if rule.reference:
        click.echo(rule.reference)
    click.echo(f"\n{rule.why.ja}\n{rule.why.en}\n")
    for number, step in enumerate(rule.todo, start=1):
        click.echo(f"{number}. {step.ja}\n   {step.en}")


@command.command("status")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def status(settings: Global, as_json: bool) -> None:
    """Whether each rule can judge: its master data and the event columns of what is stored.

    \b
    Example: sekisho rules status --json
    """
    context = context_files.read(settings.settings.context_dir)
    filled = _filled(settings.settings.lake_dir)
    verdicts = {rule.id: judge(rule, context, filled) for rule in rules(discover())}
    if as_json:
        click.echo(json.dumps({name: verdict._asdict() for name, verdict in verdicts.items()}, indent=2))
        return
    for name, verdict in verdicts.items():
        click.echo(f"{name:28} {verdict.state:8} {verdict.reason}")


@command.command("replay")
@click.argument("rule_id")
@click.option(
    "--since", default="30d", show_default=True, help="How far back: 12h, 30d, or a date 2026-05-01."
)
@click.option("--dry-run", is_flag=True, help="Show what would be raised; raise nothing.")
@click.pass_obj
def replay(settings: Global, rule_id: str, since: str, dry_run: bool) -> None:
    """Run a rule over the stored past and raise its alerts (the same alert is never doubled).

    \b
    Example: sekisho rules replay leaver-attempt --since 90d --dry-run
    """
    rule = _rule(rule_id)
    opened = settings.settings
    content = discover()
    context = context_files.read(opened.context_dir)
    detector = Detector([rule], systems=wiring.systems(content), threads=opened.lake.duckdb_threads)
    low = int(_since(since, wiring.now()).timestamp() * 1_000_000)
    findings: list[Finding] = []
    stored = reader.snapshot(opened.lake_dir)
    for path in stored.paths(stored.within(low=low)):
        findings += _past(path, low, detector, context)
    for finding in findings:
        click.echo(
            f"{finding.severity.name:8} {finding.uid} {finding.count:6} {finding.what.ja}\n{finding.what.en}"
        )
    if not dry_run and findings:
        wiring.raise_alerts(opened)(findings)
    done = "would be raised" if dry_run else "raised or confirmed"
    click.echo(f"{len({finding.uid for finding in findings})} alerts {done}")


def _past(path: Path, low: int, detector: Detector, context: Context) -> list[Finding]:
    found: list[Finding] = []
    file = pq.ParquetFile(path)
    names = [name for name in EVENT_SCHEMA.names if name in file.schema_arrow.names]
    for batch in file.iter_batches(batch_size=20_000, columns=names):
        events = files.shaped(pa.Table.from_batches([batch]), EVENT_SCHEMA)
        events = events.filter(pc.greater_equal(pc.cast(events.column("time"), "int64"), low))
        found += detector.run(events, context)
    return found


def _filled(folder: Path) -> set[str] | None:
    """Event columns with a value in any stored file, by the files' statistics; None without a lake."""
    try:
        stored = reader.snapshot(folder)
    except Refused:
        return None
    filled: set[str] = set()
    for path in stored.paths(stored.files):
        meta = pq.ParquetFile(path).metadata
        for group in range(meta.num_row_groups):
            for place in range(meta.num_columns):
                column = meta.row_group(group).column(place)
                stats = column.statistics
                if stats is None or stats.null_count is None or stats.null_count < column.num_values:
                    filled.add(column.path_in_schema.partition(".")[0])
    return filled or None


def _since(text: str, now: datetime) -> datetime:
    units = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    if text[:-1].isdecimal() and text[-1:] in units:
        return now - timedelta(**{units[text[-1]]: int(text[:-1])})
    try:
        day = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refused(f"--since {text!r} is no time", "e.g. 12h, 30d or 2026-05-01") from error
    return day if day.tzinfo else day.replace(tzinfo=now.tzinfo)


def _rule(rule_id: str) -> Rule:
    found = {rule.id: rule for rule in rules(discover())}
    if rule_id not in found:
        raise Refused(f"there is no rule {rule_id!r}", "one of: " + " ".join(found))
    return found[rule_id]


def _summary(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "title": {"ja": rule.title.ja, "en": rule.title.en},
        "advisory": rule.advisory,
        "attack": rule.attack,
        "author": rule.author,
        "tables": rule.tables,
        "columns": rule.columns,
    }
