"""What `sekisho rules` and `sekisho status` show of the rules about what is absent."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import click

from sekisho import wiring
from sekisho.contract import StandingRule
from sekisho.detect import Verdict
from sekisho.detect.standing.digest import KEPT_DAYS
from sekisho.model import Refused
from sekisho.settings import Settings

#: Subjects that are named for one reason.
_NAMED = 3
#: Before the days that are judged there must be some to learn from.
_LEARNED = timedelta(days=KEPT_DAYS - 28)


def verdicts(run_dir: Path, rules: Sequence[str]) -> dict[str, Verdict]:
    """By what the running (or last) pipeline found when it looked."""
    seen = wiring.watched(run_dir)
    if seen is None:
        return {rule: Verdict("blind", "has not looked yet; remedy: sekisho up") for rule in rules}
    if seen.trouble:
        return {rule: Verdict("blind", f"could not look: {seen.trouble}") for rule in rules}
    return {rule: _verdict(seen.unjudged.get(rule, [])) for rule in rules}


def _verdict(unjudged: Sequence[tuple[str, str]]) -> Verdict:
    reasons = Counter(reason for _, reason in unjudged)
    parts = []
    for reason, n in reasons.most_common():
        names = [subject for subject, why in unjudged if why == reason]
        more = f" and {n - _NAMED} more" if n > _NAMED else ""
        parts.append(f"cannot judge {', '.join(names[:_NAMED])}{more}: {reason}")
    return Verdict("partly", " / ".join(parts)) if parts else Verdict("working")


def replay(settings: Settings, rule: StandingRule, since: datetime, *, dry_run: bool) -> None:
    """Ask the rule about the days since then, and let its alerts follow."""
    now = wiring.now()
    if since < now - _LEARNED:
        raise Refused(
            f"{rule.id} can look back {_LEARNED.days} days: it needs the weeks before to know what is usual",
            f"--since {_LEARNED.days - 1}d",
        )
    standing = wiring.Standing(settings, [rule])
    try:
        standing.refresh(now, _progress)
        judged = standing.look(now, since=since)
        for finding in judged[0].findings:
            click.echo(f"{finding.severity.name:8} {finding.uid[:8]}  {finding.subject}")
            click.echo(f"  {finding.what.ja}\n  {finding.what.en}")
        for subject, reason in judged[0].unjudged:
            click.echo(f"cannot judge {subject}: {reason}", err=True)
        withdrawn = standing.would_withdraw(judged) if dry_run else standing.carry_out(now, judged).withdrawn
    finally:
        standing.close()
    done = "would be raised" if dry_run else "raised or confirmed"
    click.echo(f"{len(judged[0].findings)} alerts {done}")
    if withdrawn:
        said = "would be withdrawn" if dry_run else "withdrawn"
        click.echo(f"{said}: {' '.join(uid[:8] for uid in withdrawn)}")


def _progress(rows: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{rows:,} events read", nl=False, err=True)
