"""Fictional findings for the tests of alerts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sekisho.model import Evidence, Finding, Severity, Text

START = datetime(2026, 4, 1, 0, 0, tzinfo=UTC)


def piece(number: int) -> Evidence:
    """The event with this number: later numbers are later, two share each second."""
    return Evidence(
        time=START + timedelta(seconds=number // 2),
        event_uid=f"{number:032x}",
        source="okta",
        facts=(("user_name", f"emp{number:04d}"), ("src_endpoint_ip", "192.0.2.7")),
    )


def finding(
    *pieces: Evidence,
    subject: str = "emp0042",
    severity: Severity = Severity.HIGH,
    what: str = "x",
    rule: str = "leaver-attempt",
    lead: str = "",
) -> Finding:
    ordered = tuple(sorted(pieces))
    return Finding(
        rule=rule,
        subject=subject,
        anchor="2026-04-01",
        severity=severity,
        title=Text(ja="退職者のアカウントへの認証試行", en="Attempt on a leaver's account"),
        what=Text(ja=f"何か {what}", en=f"what {what}"),
        why=Text(ja="なぜ", en="why"),
        todo=(Text(ja="止める", en="lock it"),),
        advisory=("A8",),
        attack=("T1078",),
        evidence=ordered,
        count=len(ordered),
        person=subject,
        zone="Asia/Tokyo",
        author="Sekisho",
        lead=lead,
    )
