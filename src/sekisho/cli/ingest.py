"""`sekisho ingest`: files, folders and standard input into the journal, each content once."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from sekisho import wiring
from sekisho.cli.main import Global
from sekisho.cli.outside import echo_json, literal, shown
from sekisho.collect import local
from sekisho.collect.evtx_worker import Worker
from sekisho.collect.intake import LINK, Append, Intake, Order, Outcome, printable, walk
from sekisho.collect.ledger import Ledger
from sekisho.collect.unpack import Limits
from sekisho.model import Refused
from sekisho.settings import Settings

LEDGER = "ingest.sqlite3"
#: Troubles that are told, but do not make the command fail.
_NO_FAILURE = frozenset({"not-recognised", LINK})


@click.command(short_help="Read log files, folders or standard input.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--source", default="auto", metavar="ID", help="Source of the records; recognised if not given."
)
@click.option("--zone", default="", metavar="TZ", help="Zone of times without offset, e.g. Asia/Tokyo.")
@click.option("--dry-run", is_flag=True, help="Read and count; store nothing.")
@click.option("--again", is_flag=True, help="Read also what was read before (the same events still fold).")
@click.option("--json", "as_json", is_flag=True, help="Summary as JSON on standard output.")
@click.pass_obj
def command(
    obj: Global, paths: tuple[Path, ...], source: str, zone: str, dry_run: bool, again: bool, as_json: bool
) -> None:
    """Read log files, folders or standard input (-) into Sekisho.

    EVTX, Windows event XML, JSON, NDJSON, CSV, syslog files and plain lines, also inside gz, zst, zip and
    tar; the format is recognised by content. The same content is stored once, whatever its name, and an
    interrupted run goes on where it stopped. A file that has grown is read from where it ended. Links inside
    a folder are told and not followed.

    \b
    Examples:
      sekisho ingest /var/log/auth.log
      sekisho ingest --zone Asia/Tokyo exports/ Security.evtx
      sekisho ingest --source cloudtrail --dry-run cloudtrail-2026-05.tar.gz
      journalctl -o short-iso | sekisho ingest -
    """
    settings = obj.settings
    order = Order(_source(source), _zone(zone), again, dry_run, Limits(record=settings.collect.max_record))
    err = Console(stderr=True)
    outcomes: list[Outcome] = []
    interrupted = False
    try:
        with _append(settings, err, dry_run) as append, _ledger(settings, dry_run) as ledger:
            _read(list(paths), ledger, append, order, err, outcomes)
    except KeyboardInterrupt:
        interrupted = True
    if as_json:
        echo_json(_plain(outcomes, interrupted=interrupted))
    else:
        _show(outcomes, settings.language, dry_run=dry_run)
    if interrupted:
        err.print("Interrupted. What was acknowledged is stored; run the same command again to go on.")
        sys.exit(130)
    if any(trouble.code not in _NO_FAILURE for outcome in outcomes for trouble in outcome.troubles):
        sys.exit(1)


def _source(source: str) -> str:
    if source == "auto":
        return source
    ids = wiring.content().receivable()
    if source not in ids:
        raise Refused(f"--source {source}: there is no such source", "use one of: auto, " + ", ".join(ids))
    return source


def _zone(zone: str) -> str:
    if zone:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise Refused(
                f"--zone {zone}: there is no such time zone", "use an IANA name such as Asia/Tokyo"
            ) from error
    return zone


@contextmanager
def _append(settings: Settings, err: Console, dry_run: bool) -> Iterator[Append]:
    """Way into the journal: the running collector, or this process until all is searchable."""
    if dry_run:
        yield lambda records: -1
    elif local.answers(settings.run_dir / "collect.sock"):
        with wiring.appending(settings) as append:
            yield append
    else:
        with err.status("") as status, ExitStack() as stack:

            def left(frames: int) -> None:
                status.update(f"making it searchable: {frames} batches left")

            status.stop()
            append = stack.enter_context(wiring.offline(settings, left))
            yield append
            if err.is_terminal:
                status.start()


@contextmanager
def _ledger(settings: Settings, dry_run: bool) -> Iterator[Ledger | None]:
    path = settings.data / LEDGER
    if dry_run and not path.exists():
        yield None
        return
    with Ledger(path) as ledger:
        yield ledger


def _read(
    paths: list[Path],
    ledger: Ledger | None,
    append: Append,
    order: Order,
    err: Console,
    outcomes: list[Outcome],
) -> None:
    found = list(walk([path for path in paths if str(path) != "-"]))
    total = sum(item.stat().st_size for item in found if isinstance(item, Path))
    with _progress(err, total) as bar, Worker() as parser:
        for item in found:
            if isinstance(item, tuple):
                outcomes.append(Outcome(printable(item[0]), troubles=[item[1]]))
                continue
            tell = bar.file(item)
            intake = Intake(
                ledger, append, now=wiring.now_ns, wait=time.sleep, order=order, tell=tell, parser=parser
            )
            outcomes.append(intake.path(item))
            bar.done(item)
        if any(str(path) == "-" for path in paths):
            intake = Intake(ledger, append, now=wiring.now_ns, wait=time.sleep, order=order, parser=parser)
            outcomes.append(intake.stream(sys.stdin.buffer))


class _Bar:
    """Progress over all files on a terminal: bytes, records, rate, time left. Otherwise silent."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self._bytes = 0
        self._records = 0
        self._current = 0
        self._started = time.monotonic()

    def file(self, path: Path) -> Callable[[int, int], None]:
        size = path.stat().st_size
        self._current = 0

        def tell(read: int, records: int) -> None:
            self._current = records
            total = self._records + records
            rate = total / max(time.monotonic() - self._started, 0.001)
            self._progress.update(
                self._task,
                description=literal(printable(path.name)[-40:]),
                completed=self._bytes + min(read, size),
                records=f"{total:,} records, {rate:,.0f}/s",
            )

        return tell

    def done(self, path: Path) -> None:
        self._bytes += path.stat().st_size
        self._records += self._current
        self._progress.update(self._task, completed=self._bytes)


@contextmanager
def _progress(err: Console, total: int) -> Iterator[_Bar]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[records]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        yield _Bar(progress, progress.add_task("", total=total, records=""))


def _plain(outcomes: list[Outcome], *, interrupted: bool) -> dict[str, object]:
    return {
        "interrupted": interrupted,
        "records": sum(outcome.records for outcome in outcomes),
        "already_stored": sum(outcome.already for outcome in outcomes),
        "files": [
            {
                "file": outcome.path,
                "formats": sorted(outcome.formats),
                "source": outcome.source,
                "members": outcome.members,
                "records": outcome.records,
                "already_stored": outcome.already,
                "same_as": outcome.same_as,
                "problems": [
                    {"code": t.code, "place": t.place, "en": t.text.en, "ja": t.text.ja}
                    for t in outcome.troubles
                ],
            }
            for outcome in outcomes
        ],
    }


def _show(outcomes: list[Outcome], language: str, *, dry_run: bool) -> None:
    """Summary table and the problems beneath it."""
    out = Console(width=None if sys.stdout.isatty() else 160)
    title = "Would be stored (dry run)" if dry_run else None
    table = Table(title=title, box=None, pad_edge=False)
    table.add_column("file", overflow="fold")
    table.add_column("format")
    table.add_column("source")
    top = _top(outcomes)
    for name in ("records", "already stored", "problems"):
        table.add_column(name, justify="right")
    for outcome in outcomes:
        same = outcome.same_as.removeprefix(top)
        table.add_row(
            literal(outcome.path[len(top) :]),
            ", ".join(sorted(outcome.formats)) or "-",
            outcome.source,
            f"{outcome.records:,}",
            f"{outcome.already:,}" + (f" (same as {literal(same)})" if same else ""),
            str(len(outcome.troubles)) if outcome.troubles else "",
        )
    records = sum(outcome.records for outcome in outcomes)
    already = sum(outcome.already for outcome in outcomes)
    table.add_row(f"{len(outcomes)} files", "", "", f"{records:,}", f"{already:,}", "", style="bold")
    if top:
        out.print(shown(top), markup=False, highlight=False, soft_wrap=True)
    out.print(table)
    if records and not dry_run:
        out.print("What could not become an event, and why: sekisho rejects list", highlight=False)
    for outcome in outcomes:
        for trouble in outcome.troubles:
            place = f"{outcome.path} {trouble.place}".strip()
            text = trouble.text.ja if language == "ja" else trouble.text.en
            out.print(shown(f"{place}: {text}"), markup=False, highlight=False, soft_wrap=True)


def _top(outcomes: list[Outcome]) -> str:
    """The folder above all files, with its slash; said once and not in every row."""
    if len(outcomes) < 2 or any(not outcome.path.startswith("/") for outcome in outcomes):
        return ""
    return os.path.commonpath([Path(outcome.path).parent for outcome in outcomes]).rstrip("/") + "/"
