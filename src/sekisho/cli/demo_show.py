"""How the demo shows things: progress, alerts in reading order, the comparison with the ledger."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from sekisho.cli.demo_judge import Row, Shown, Verdict
from sekisho.cli.demo_platform import Count
from sekisho.cli.demo_words import WORDS
from sekisho.model import Language
from sekisho.range import STREAMS, Act, Range

JST = ZoneInfo("Asia/Tokyo")
COLOURS = {1: "dim", 2: "cyan", 3: "yellow", 4: "red", 5: "bold white on red"}
EVIDENCE_SHOWN = 3


def screen() -> Console:
    """The terminal; wide enough where nobody looks, so that a pipe does not cut cells."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=160)


def program() -> str:
    """What to type: ``sekisho`` where the shell finds it, else the path by which this one was started."""
    return "sekisho" if shutil.which("sekisho") else os.path.relpath(sys.argv[0])


class Screen:
    """Everything that is printed, in one language."""

    def __init__(self, language: Language, console: Console | None = None) -> None:
        self.language = language
        self.console = console or screen()

    def word(self, key: str, **facts: Any) -> str:
        return WORDS[key].fill(facts).get(self.language)

    def say(self, key: str, **facts: Any) -> None:
        self.console.print(escape(self.word(key, **facts)), soft_wrap=True)

    def head(self, key: str) -> None:
        self.console.print()
        self.console.rule(f"[bold]{escape(self.word(key))}", align="left")

    # -- sending -------------------------------------------------------------------------------

    @contextmanager
    def progress(self, simulated: Range) -> Iterator[Bars]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=self.console) as bars:
            tasks = {
                name: bars.add_task(f"{stream.product} [dim]{stream.transport}", total=len(records))
                for name, stream in STREAMS.items()
                if (records := simulated.streams.get(name))
            }
            done = bars.add_task(f"[bold]{escape(self.word('processing'))}", total=simulated.total)
            yield Bars(bars, tasks, done)

    def account(
        self, sent: int, count: Count, reasons: Sequence[tuple[str, str, int]], seconds: float
    ) -> None:
        key = "account" if count.settled == sent else "account_off"
        facts = {name: f"{value:,}" for name, value in count._asdict().items()}
        self.say(key, sent=f"{sent:,}", **facts)
        for source, code, number in reasons:
            self.say("reject", source=source, code=code, count=f"{number:,}")
        self.say("rate", seconds=f"{seconds:.0f}", rate=f"{sent / max(seconds, 0.1):,.0f}")

    # -- alerts --------------------------------------------------------------------------------

    def alerts(self, alerts: Sequence[Shown], data: Path) -> None:
        self.head("alerts")
        for number, alert in enumerate(alerts, 1):
            self._alert(number, alert, data)

    def _alert(self, number: int, alert: Shown, data: Path) -> None:
        out = partial(self.console.print, soft_wrap=True)
        colour = COLOURS.get(alert.severity, "")
        severity = self.word(f"sev{alert.severity}")
        out(f"\n[bold]{number:2d}.[/] [{colour}] {severity} [/] [bold]{escape(alert.title)}[/]")
        out("    " + escape(alert.what))
        reason = " ".join((*alert.advisory, *alert.attack))
        out(f"    [dim]{self.word('why')}:[/] {escape(alert.why)} [cyan]({escape(reason)})[/]")
        rows = alert.evidence
        for row in rows[:EVIDENCE_SHOWN]:
            out(f"    [dim]{self.word('evidence')}:[/] {_evidence(row, alert.zone)}")
        if len(rows) > EVIDENCE_SHOWN:
            out(f"    [dim]… {len(rows) - EVIDENCE_SHOWN} +[/]")
        for step, text in enumerate(alert.todo, 1):
            out(f"    [dim]{self.word('todo')} {step}:[/] {escape(text)}")
        command = f"{program()} --data {data} alerts show {alert.uid[:8]}"
        out(f"    [dim]{escape(self.word('more', command=command))}[/]")

    # -- the ledger ----------------------------------------------------------------------------

    def compare(self, simulated: Range, verdict: Verdict) -> None:
        self.head("compare")
        table = Table(show_edge=False, pad_edge=False)
        for key in ("when", "act", "ids", "by"):
            table.add_column(self.word(key), no_wrap=key == "when", overflow="fold")
        for act in simulated.ledger.planted:
            begins = simulated.ledger.begins(act).astimezone(JST)
            said = self._found(act, verdict)
            table.add_row(f"{begins:%m-%d %H:%M}", escape(self._title(act)), " ".join(act.advisory), said)
        self.console.print(table)
        self.head("alike")
        for act in simulated.ledger.look_alikes:
            rules = sorted({alert.rule for alert in verdict.wrongly[act.id]})
            said = (
                f"[red]{escape(self.word('spoke', rules=', '.join(rules)))}"
                if rules
                else f"[green]{self.word('silent')}"
            )
            self.console.print(f"  {said}[/]  {escape(self._title(act))}")
        self._strays(simulated, verdict)
        required = [act for act in simulated.ledger.planted if act.required]
        self.console.print()
        self.say(
            "score",
            required=len(required),
            found=len(required) - len(verdict.missed),
            false=verdict.false_alarms,
            not_yet=len(simulated.ledger.planted) - len(required),
        )

    def _title(self, act: Act) -> str:
        return f"{act.id} {act.title.get(self.language)}"

    def _found(self, act: Act, verdict: Verdict) -> str:
        parts = [_by(alert, "green") for alert in _one_each(verdict.found[act.id])]
        parts += [_by(alert, "dim") for alert in _one_each(verdict.also[act.id])]
        if act in verdict.missed:
            parts.insert(0, f"[bold red]{escape(self.word('missed', rules=', '.join(act.rules)))}[/]")
        if not parts:
            parts.append(f"[yellow]{self.word('not_yet')}[/]")
        return "\n".join(parts)

    def _strays(self, simulated: Range, verdict: Verdict) -> None:
        planted = sum(map(len, simulated.ledger.records.values()))
        if not verdict.strays:
            self.say("no_strays", records=f"{simulated.total - planted:,}")
            return
        self.head("strays")
        for alert in verdict.strays:
            when = f"{alert.evidence[0].time.astimezone(JST):%m-%d %H:%M:%S}" if alert.evidence else "?"
            self.console.print(f"  [red]{escape(alert.rule)}[/] {when} {escape(alert.what)}")

    def searches(self, data: Path, queries: Sequence[str]) -> None:
        self.head("searches")
        for number, query in enumerate(queries, 1):
            self.console.print(f"  {number}. {escape(self.word(f'search{number}'))}")
            self.console.print(f"     {program()} --data {data} search {escape(query)}", soft_wrap=True)


class Bars:
    """One bar per stream, and one for what the platform has processed."""

    def __init__(self, bars: Progress, tasks: dict[str, TaskID], done: TaskID) -> None:
        self._bars, self._tasks, self._done = bars, tasks, done

    def sent(self, stream: str, records: int) -> None:
        self._bars.advance(self._tasks[stream], records)

    def processed(self, records: int) -> None:
        self._bars.update(self._done, completed=max(0, records))


def _one_each(alerts: Sequence[Shown]) -> list[Shown]:
    """The worst alert of each rule."""
    best: dict[str, Shown] = {}
    for alert in alerts:
        if alert.rule not in best or alert.severity > best[alert.rule].severity:
            best[alert.rule] = alert
    return list(best.values())


def _by(alert: Shown, colour: str) -> str:
    return f"[{colour}]{escape(alert.rule)} [{alert.uid[:8]}][/]".replace(
        f"[{alert.uid[:8]}]", f"\\[{alert.uid[:8]}]"
    )


def _evidence(row: Row, zone: str) -> str:
    shown = f"{row.time.astimezone(JST):%Y-%m-%d %H:%M:%S} JST"
    if zone and zone != JST.key:
        own = row.time.astimezone(ZoneInfo(zone))
        shown += f" ({own:%m-%d %H:%M} {own:%Z})"
    facts = " ".join(f"{name}={value}" for name, value in row.facts)
    return escape(f"{shown} {row.source} {facts}")
