"""`sekisho alerts`: read, judge and export what was found."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text as Styled

from sekisho import wiring
from sekisho.cli.main import Global
from sekisho.cli.outside import echo, echo_json, shown
from sekisho.model import Language, Refused, Severity
from sekisho.tabular import write

if TYPE_CHECKING:  # models load only once Django is configured
    from sekisho.modules.alerts.models import Alert

_STYLE = {5: "bold white on red", 4: "bold red", 3: "yellow", 2: "cyan", 1: "dim"}
_language = click.option("--lang", type=click.Choice(["ja", "en"]), help="Language; default: the settings'.")
_note = click.option("--note", default="", help="Why; it goes into the history.")
_REASONS = ("true-positive", "false-positive", "benign", "test", "duplicate")


@click.group(
    help="""Alerts: what was found, worst first.

    \b
    Examples:
      sekisho alerts list --state new --severity high
      sekisho alerts show 3f9a --lang en
      sekisho alerts ack 3f9a --note "calling the person"
      sekisho alerts close 3f9a --reason true-positive --note "account locked"
      sekisho alerts list --since 24h --json
      sekisho alerts export alerts.xlsx
      sekisho alerts deliveries
    """
)
@click.pass_obj
def command(given: Global) -> None:
    wiring.migrate(given.existing())


def _filters(run: Callable[..., None]) -> Callable[..., None]:
    names = [severity.name.lower() for severity in Severity]
    for option in (
        click.option(
            "--since", metavar="TIME|AGE", help="Last seen since: 24h, 7d, or a time with UTC offset."
        ),
        click.option("--person", help="Employee number."),
        click.option("--rule", help="Id of the rule."),
        click.option("--severity", type=click.Choice(names), help="This severity or worse."),
        click.option(
            "--state", type=click.Choice(["new", "acknowledged", "closed", "open", "all"]), default="open"
        ),
    ):
        run = option(run)
    return run


def _chosen(state: str, severity: str | None, rule: str | None, person: str | None, since: str | None) -> Any:
    from sekisho.modules.alerts.models import Alert

    found = Alert.objects.all()
    if state == "open":
        found = found.exclude(state="closed")
    elif state != "all":
        found = found.filter(state=state)
    if severity:
        found = found.filter(severity__gte=Severity[severity.upper()])
    if rule:
        found = found.filter(rule=rule)
    if person:
        found = found.filter(person=person)
    return found.filter(last_time__gte=_since(since)) if since else found


def _since(text: str) -> datetime:
    units = {"m": "minutes", "h": "hours", "d": "days"}
    if text[:-1].isdecimal() and len(text) < 8 and text[-1] in units:
        return wiring.now() - timedelta(**{units[text[-1]]: int(text[:-1])})
    at: datetime | None = None
    with suppress(ValueError):
        at = datetime.fromisoformat(text)
    if at is None or at.tzinfo is None:
        raise Refused(
            f"'{text}' is neither an age nor a time with UTC offset",
            "write 24h, 7d or 2026-04-01T09:00:00+09:00",
        )
    return at


# -- reading ---------------------------------------------------------------------------------------


@command.command("list")
@_filters
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for machines.")
@_language
@click.pass_obj
def listing(given: Global, /, as_json: bool, lang: Language | None, **wanted: Any) -> None:
    """List alerts in the order in which a person should read them. Closed ones only with --state."""
    from sekisho.modules.alerts import render

    found = _chosen(**wanted)
    if as_json:
        echo_json([_plain(alert) for alert in found])
        return
    language: Language = lang or given.settings.language
    ja = language == "ja"
    heads = (
        ("id", "重要度", "状態", "最初", "件数", "アラート", "対象")
        if ja
        else ("id", "severity", "state", "first", "events", "alert", "subject")
    )
    grid = Grid(*heads, box=None, pad_edge=False)
    for alert in found.iterator(chunk_size=500):
        severity = render.SEVERITY[Severity(alert.severity)].get(language)
        grid.add_row(
            alert.uid[:8],
            Styled(severity, _STYLE[alert.severity]),
            render.STATE[alert.state].get(language),
            render.when(alert.first_time),
            render.count(alert, language),
            Styled(render.plain(alert.title.get(language))),
            Styled(render.plain(alert.subject)),
        )
    _screen().print(grid)


@command.command()
@click.argument("uid")
@click.option("--json", "as_json", is_flag=True, help="With all kept evidence, for machines.")
@_language
@click.pass_obj
def show(given: Global, uid: str, as_json: bool, lang: Language | None) -> None:
    """Show one alert whole. UID may be cut as long as it is unique."""
    from sekisho.modules.alerts import flows, render

    alert = flows.find(uid)
    if as_json:
        echo_json(_plain(alert) | {"evidence": _evidence(alert)})
        return
    url = given.settings.notify.console_url
    echo(render.text(alert, lang or given.settings.language, url, history=True), nl=False)


@command.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_filters
@click.pass_obj
def export(given: Global, /, file: Path, **wanted: Any) -> None:
    """Write alerts to FILE.csv, FILE.xlsx or FILE.json (json with the evidence)."""
    found = _chosen(**wanted)
    kind = file.suffix.lower()
    if kind == ".json":
        whole = [_plain(alert) | {"evidence": _evidence(alert)} for alert in found]
        file.write_text(json.dumps(whole, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        echo(f"{shown(file)}: {len(whole)} alerts")
        return
    if kind not in (".csv", ".xlsx"):
        raise Refused(f"{file}: neither .csv, .xlsx nor .json", "give the file one of these endings")
    rows = [{name: _cell(value) for name, value in _plain(alert).items()} for alert in found]
    header = list(rows[0]) if rows else ["uid"]
    file.write_bytes(
        write(header, (list(row.values()) for row in rows), "csv" if kind == ".csv" else "xlsx", "alerts")
    )
    echo(f"{shown(file)}: {len(rows)} alerts")


@command.command()
@click.option("--retry", is_flag=True, help="Try again what was given up.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def deliveries(retry: bool, as_json: bool) -> None:
    """Show messages to people: sent, waiting, given up, and why. Newest first."""
    from sekisho.modules.alerts import notify
    from sekisho.modules.alerts.models import Message

    if retry:
        echo(f"{notify.retry_dead(wiring.now())} messages will be tried again")
        return
    rows = [
        {
            "created": message.created.isoformat(timespec="seconds"),
            "channel": message.channel,
            "state": message.state,
            "tries": str(message.tries),
            "next": message.due_at.isoformat(timespec="seconds") if message.state == "waiting" else "",
            "alerts": str(message.deliveries.count()),
            "reason": message.error,
        }
        for message in Message.objects.order_by("-id")[:200]
    ]
    if as_json:
        echo_json({"counts": notify.counts(), "messages": rows})
        return
    _grid(rows, ("created", "channel", "state", "tries", "next", "alerts", "reason"))


# -- judging ---------------------------------------------------------------------------------------


@command.command()
@click.argument("uid")
@_note
@click.pass_obj
def ack(given: Global, uid: str, note: str) -> None:
    """Say that you look after this alert."""
    from sekisho.modules.alerts import flows

    alert = flows.find(uid)
    flows.acknowledge(alert.uid, getpass.getuser(), note, now=wiring.now())
    _done(given, alert)


@command.command()
@click.argument("uid")
@click.option("--reason", required=True, type=click.Choice(_REASONS))
@_note
@click.pass_obj
def close(given: Global, uid: str, reason: str, note: str) -> None:
    """Say how this alert was judged. New evidence opens it again."""
    from sekisho.modules.alerts import flows

    alert = flows.find(uid)
    flows.close(alert.uid, getpass.getuser(), reason, note, now=wiring.now())
    _done(given, alert)


@command.command()
@click.argument("uid")
@_note
@click.pass_obj
def reopen(given: Global, uid: str, note: str) -> None:
    """Take a judgement back."""
    from sekisho.modules.alerts import flows

    alert = flows.find(uid)
    flows.reopen(alert.uid, getpass.getuser(), note, now=wiring.now())
    _done(given, alert)


def _done(given: Global, alert: Alert) -> None:
    wiring.deliver_audit(given.settings)
    alert.refresh_from_db()
    echo(f"{alert.uid[:8]} {alert.state}")


# -- shapes ----------------------------------------------------------------------------------------


def _plain(alert: Alert) -> dict[str, Any]:
    """Times in ISO 8601 with offset; severity as its name."""
    return {
        "uid": alert.uid,
        "rule": alert.rule,
        "severity": Severity(alert.severity).name.lower(),
        "state": alert.state,
        "reason": alert.reason,
        "closed_by": alert.closed_by,
        "subject": alert.subject,
        "anchor": alert.anchor,
        "person": alert.person,
        "zone": alert.zone,
        "first_time": alert.first_time.isoformat(),
        "last_time": alert.last_time.isoformat(),
        "created": alert.created.isoformat(),
        "count": alert.count,
        "more": alert.more,
        "title": {"ja": alert.title_ja, "en": alert.title_en},
        "what": {"ja": alert.what_ja, "en": alert.what_en},
        "why": {"ja": alert.why_ja, "en": alert.why_en},
        "todo": [{"ja": ja, "en": en} for ja, en in alert.todo],
        "advisory": alert.advisory,
        "attack": alert.attack,
        "author": alert.author,
    }


def _evidence(alert: Alert) -> list[dict[str, Any]]:
    return [
        {
            "event_uid": piece.event_uid,
            "time": piece.time.isoformat(),
            "source": piece.source,
            "facts": dict(piece.facts),
        }
        for piece in alert.evidence.all()
    ]


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return " / ".join(value.values())
    if isinstance(value, list):
        return "\n".join(_cell(item) for item in value)
    return str(value)


def _grid(rows: Iterable[dict[str, str]], heads: tuple[str, ...]) -> None:
    grid = Grid(*heads, box=None, pad_edge=False)
    for row in rows:
        grid.add_row(*(Styled(shown(row[head])) for head in heads))
    _screen().print(grid)


def _screen() -> Console:
    """Wide enough where nobody looks: a pipe must not cut cells."""
    return Console() if sys.stdout.isatty() else Console(width=400)
