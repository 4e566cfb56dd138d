"""`sekisho rules`: which detections there are, whether they can judge, and a try of one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import pyarrow as pa
import pyarrow.parquet as pq

from sekisho import wiring
from sekisho.cli import standing_rules
from sekisho.cli.main import Global
from sekisho.cli.outside import echo, echo_json, shown
from sekisho.collect import files as log_files
from sekisho.collect.intake import printable
from sekisho.contract import Context, Rule, StandingRule
from sekisho.contract.discovery import discover
from sekisho.detect import Detector, columns_filled, columns_needed, judge, rules, why_silent
from sekisho.detect.sigma import SigmaRule, load
from sekisho.enrich import context_files
from sekisho.lake import files as lake_files
from sekisho.lake import manifest, reader
from sekisho.lake.moments import span
from sekisho.model import Finding, Frame, Records, Refused
from sekisho.normalise import Normaliser
from sekisho.ocsf import EVENT_SCHEMA
from sekisho.settings import Settings

#: Events by which ``status`` decides what reaches the rules.
_RECENT = 200_000
_LENGTH = re.compile(r"\d+[smhdw]")


@click.group(name="rules", short_help="Detections: list, show, status, replay over the past.")
def command() -> None:
    """Which detections there are and whether they can judge.

    \b
    Examples:
      sekisho rules list
      sekisho rules show leaver-attempt
      sekisho rules status                      what is blind, and the remedy
      sekisho rules try decoy export.json       what would it find there?
      sekisho rules replay decoy --since 30d --dry-run
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_(as_json: bool) -> None:
    """All rules, with the sentences of the advisory they serve.

    \b
    Example: sekisho rules list --json
    """
    known: list[Rule | StandingRule] = [*rules(discover()), *discover().standing.values()]
    found = sorted(known, key=lambda rule: rule.id)
    if as_json:
        echo_json([_summary(rule) for rule in found], indent=2)
        return
    for rule in found:
        echo(f"{rule.id:28} {' '.join(rule.advisory):18} {rule.title.ja} / {rule.title.en}  [{rule.author}]")


@command.command("show")
@click.argument("rule_id")
def show(rule_id: str) -> None:
    """One rule: what it looks for, why, what to do.

    \b
    Example: sekisho rules show decoy
    """
    rule = discover().standing.get(rule_id) or _rule(rule_id)
    echo(f"{rule.id}  {rule.title.ja} / {rule.title.en}")
    echo(f"advisory {' '.join(rule.advisory)}  ATT&CK {' '.join(rule.attack) or '-'}  author {rule.author}")
    tables = rule.tables if isinstance(rule, Rule) else ()
    echo(f"needs tables {' '.join(tables) or '-'}; columns {' '.join(rule.columns)}")
    if rule.reference:
        echo(rule.reference)
    echo(f"\n{rule.why.ja}\n{rule.why.en}\n")
    for number, step in enumerate(rule.todo, start=1):
        echo(f"{number}. {step.ja}\n   {step.en}")


@command.command("status")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def status_(settings: Global, as_json: bool) -> None:
    """Whether each rule can judge: its master data, the newest stored events, what it had to leave unjudged.

    \b
    working   it has everything it needs
    partly    some events, or some of its conditions, cannot be judged
    blind     it can judge nothing; the remedy is named

    Rules about what is absent say which sources, devices and logs they cannot judge, and why.

    \b
    Example: sekisho rules status --json
    """
    opened = settings.settings
    context = context_files.read(opened.context_dir)
    known = rules(discover())
    recent = _recent(opened.lake_dir, columns_needed(known))
    filled = columns_filled(known, recent) if recent is not None else {}
    unjudged = _unjudged(opened)
    verdicts = {rule.id: judge(rule, context, filled.get(rule.id), unjudged.get(rule.id)) for rule in known}
    verdicts |= standing_rules.verdicts(opened.run_dir, list(discover().standing))
    if as_json:
        plain = {name: verdict._asdict() for name, verdict in verdicts.items()}
        echo_json(plain, indent=2)
        return
    for name, verdict in verdicts.items():
        echo(f"{name:28} {verdict.state:8} {verdict.reason}".rstrip())
    if recent is None:
        echo("\nNothing is stored yet: whether events reach the rules is not known.")


@command.command("try")
@click.argument("rule_id", metavar="RULE")
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--source", default="auto", metavar="ID", help="Take the file for this source.")
@click.option("--limit", default=100_000, show_default=True, help="Read at most so many records.")
@click.pass_obj
def try_(settings: Global, rule_id: str, path: Path, source: str, limit: int) -> None:
    """What a rule makes of the records of a file, or why it stays silent. Stores and raises nothing.

    RULE is the id of a rule or a file with a Sigma rule. Master data is that of the data folder.

    \b
    Examples:
      sekisho rules try leaver-attempt export.json
      sekisho rules try ./my_rule.yml sysmon.ndjson --source sysmon
    """
    rule = _rule_or_file(rule_id)
    opened = settings.settings
    content = wiring.content()
    context = context_files.read(opened.context_dir)
    enricher = wiring.open_enricher(opened, content)
    normaliser = Normaliser(content.sources, zone=opened.zone)
    detector = Detector([rule], systems=wiring.systems(content))
    findings: list[Finding] = []
    batches, records, rejected = [], 0, 0
    for number, frame in enumerate(_records(path, source, limit, wiring.now_ns())):
        result = normaliser.batch([Frame(number, frame)])
        events = enricher.batch(result.events, context)
        findings += detector.run(events, context)
        batches.append(events)
        records, rejected = records + len(frame.bodies), rejected + len(result.rejects)
    echo(f"{records:,} records, {records - rejected:,} events, {rejected:,} rejected")
    _say(findings)
    if not findings:
        echo(f"{rule.id} stays silent:")
        for reason in _silence(rule, context, pa.concat_tables(batches) if batches else None, detector):
            echo(f"  - {shown(reason)}")


def _silence(rule: Rule, context: Context, events: pa.Table | None, detector: Detector) -> list[str]:
    if events is None or events.num_rows == 0:
        return ["no record became an event; see: sekisho sources try FILE"]
    verdict = judge(rule, context)
    reasons = [verdict.reason] if verdict.reason else []
    reasons += [f"could not judge {count:,} events: {why}" for (_, why), count in detector.unjudged.items()]
    reasons += why_silent(rule, events)
    return reasons or ["it had all it needs, and no event fulfils its condition"]


@command.command("replay")
@click.argument("rule_id", metavar="RULE")
@click.option(
    "--since", default="30d", show_default=True, help="How far back: 12h, 30d, or a time such as 2026-05-01."
)
@click.option("--dry-run", is_flag=True, help="Show what would be raised; raise and withdraw nothing.")
@click.pass_obj
def replay(settings: Global, rule_id: str, since: str, dry_run: bool) -> None:
    """Run a rule over the stored past with the master data of today.

    Its alerts are raised or completed, never doubled; what they say is corrected, and those of which nothing
    is left are withdrawn.
    May be repeated, and may run while the platform does.

    \b
    Examples:
      sekisho rules replay leaver-attempt --since 90d --dry-run
      sekisho rules replay source-silent --since 7d
    """
    opened = settings.settings
    low = _since(since, ZoneInfo(opened.zone), wiring.now())
    wiring.migrate(opened)
    if rule_id in discover().standing:
        standing_rules.replay(opened, discover().standing[rule_id], low, dry_run=dry_run)
        return
    rule = _rule(rule_id)
    judged = wiring.judge_again(opened, [rule], since=low, dry_run=dry_run)
    _say(finding for group in judged.findings.values() for finding in group)
    done = "would be raised" if dry_run else "raised or confirmed"
    echo(f"{judged.events:,} events; {len(judged.findings)} alerts {done}")
    for file in judged.unread:
        echo(f"not judged, as it cannot be read: {shown(file)}", err=True)
    if judged.corrected:
        echo(f"corrected: {' '.join(uid[:8] for uid in judged.corrected)}")
    if judged.withdrawn:
        withdrawn = "would be withdrawn" if dry_run else "withdrawn"
        echo(f"{withdrawn}: {' '.join(uid[:8] for uid in judged.withdrawn)}")


def _say(findings: Iterable[Finding]) -> None:
    """One entry for each alert that they make, in the words of the gravest, earliest event."""
    alerts: dict[str, list[Finding]] = {}
    for finding in findings:
        alerts.setdefault(finding.uid, []).append(finding)
    for uid, group in alerts.items():
        lead = min(group, key=lambda one: (-one.severity, _spoke(one)))
        count = len({piece.event_uid for one in group for piece in one.evidence})
        echo(f"{lead.severity.name:8} {uid[:8]}  {count} events")
        echo(f"  {shown(lead.what.ja)}\n  {shown(lead.what.en)}")


def _spoke(finding: Finding) -> tuple[datetime, str]:
    lead = next(piece for piece in finding.evidence if piece.event_uid == finding.lead)
    return lead.time, lead.event_uid


def _records(path: Path, source: str, limit: int, now: int) -> Iterator[Records]:
    left = limit
    for chunk in log_files.read_path(path):
        bodies = chunk.bodies[:left]
        left -= len(bodies)
        if bodies:
            yield Records(source, "file", chunk.wrapping, printable(path), "", now, bodies, chunk.attributes)


def _unjudged(settings: Settings) -> dict[str, dict[str, int]]:
    """Stored events that rules cannot judge with the master data of now, by rule and reason."""
    found: dict[str, dict[str, int]] = {}
    for (rule, reason), number in sorted(wiring.still_unjudged(settings).items()):
        found.setdefault(rule, {})[reason] = number
    return found


def _recent(folder: Path, columns: Sequence[str]) -> pa.Table | None:
    """These columns of the newest stored events; None if nothing is stored."""
    if not (folder / manifest.FILE).exists():
        return None
    stored = reader.snapshot(folder)
    wanted = pa.schema([EVENT_SCHEMA.field(name) for name in columns])
    tables: list[pa.Table] = []
    for path in reversed(stored.paths(sorted(stored.files, key=lambda file: file.time_max))):
        file = pq.ParquetFile(path)
        names = [name for name in columns if name in file.schema_arrow.names]
        tables.append(lake_files.shaped(file.read(columns=names), wanted))
        if sum(table.num_rows for table in tables) >= _RECENT:
            break
    return pa.concat_tables(tables) if tables else None


def _since(text: str, zone: ZoneInfo, now: datetime) -> datetime:
    """A length of time back from ``now`` (``30d``), or any time that `sekisho search` takes."""
    try:
        return span(f"now-{text}" if _LENGTH.fullmatch(text) else text, zone, now).start
    except (ValueError, OverflowError) as error:
        raise Refused(f"--since: {error}", "e.g. 12h, 30d or 2026-05-01") from error


def _rule(rule_id: str) -> Rule:
    found = {rule.id: rule for rule in rules(discover())}
    if rule_id in discover().standing:
        raise Refused(
            f"{rule_id} judges what is absent from the whole store, not records of a file",
            f"sekisho rules replay {rule_id} --dry-run",
        )
    if rule_id not in found:
        raise Refused(f"there is no rule {rule_id!r}", "one of: " + " ".join(found))
    return found[rule_id]


def _rule_or_file(name: str) -> Rule:
    path = Path(name)
    if path.suffix not in (".yml", ".yaml") or not path.is_file():
        return _rule(name)
    loaded = load(path, path.stem, shown=name, own=False)
    if isinstance(loaded, SigmaRule):
        return loaded
    problem = loaded[0]
    raise Refused(f"{problem.where}: {problem.why}", problem.remedy)


def _summary(rule: Rule | StandingRule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "title": {"ja": rule.title.ja, "en": rule.title.en},
        "advisory": rule.advisory,
        "attack": rule.attack,
        "author": rule.author,
        "tables": rule.tables if isinstance(rule, Rule) else (),
        "standing": isinstance(rule, StandingRule),
        "columns": rule.columns,
    }
