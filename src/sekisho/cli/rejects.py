"""`sekisho rejects`: records that could not become events; why; and trying them again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from sekisho import wiring
from sekisho.cli import audited
from sekisho.cli.main import Global
from sekisho.cli.outside import echo, echo_json, shown
from sekisho.journal import JournalReader, RejectRow, Rejects
from sekisho.model import Offset, Refused


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Records that could not become events. Their bodies stay in the journal until they are mended.

    \b
    Examples:
      sekisho rejects list
      sekisho rejects list --code unknown-format
      sekisho rejects show 1234:5
      sekisho rejects retry --code unknown-format --as okta
    """


def _told(row: RejectRow) -> dict[str, Any]:
    reject = row.reject
    return {
        "offset": str(reject.offset),
        "source": reject.source,
        "code": reject.code,
        "why": reject.why,
        "candidates": list(reject.candidates),
        "received_at": datetime.fromtimestamp(row.received_at / 1e9, tz=UTC).isoformat(),
        "retry_as": row.retry_as,
    }


@command.command("list")
@click.option("--source", default="", help="Only of this source label.")
@click.option("--code", default="", help="Only with this reason code.")
@click.option("--limit", default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def list_(obj: Global, source: str, code: str, limit: int, as_json: bool) -> None:
    """How many, by source and reason; then the newest."""
    rejects = Rejects(obj.existing().journal_dir)
    rows = rejects.rows(source, code, limit)
    if as_json:
        counts = [{"source": s, "code": c, "count": n} for s, c, n in rejects.counts()]
        echo_json({"counts": counts, "newest": list(map(_told, rows))})
        return
    if not rejects.total():
        echo("No rejects: every record became an event.")
        return
    for name, reason, number in rejects.counts():
        echo(f"{number:>10,}  {shown(name)}  {shown(reason)}")
    echo()
    for row in rows:
        found = _told(row)
        echo(f"{found['offset']:>12}  {shown(found['source'])}  {found['code']}: {shown(found['why'])}")
        if found["candidates"]:
            offers = ", ".join(found["candidates"])
            echo(f"{'':>12}  resembles {offers}: sekisho rejects retry --code {found['code']} --as SOURCE")


@command.command()
@click.argument("offset")
@click.pass_obj
def show(obj: Global, offset: str) -> None:
    """One reject with its body. OFFSET as `rejects list` prints it."""
    place = _offset(offset)
    row = Rejects(obj.existing().journal_dir).get(place)
    if row is None:
        raise Refused(f"no reject at {offset}", "see `sekisho rejects list`")
    for name, value in _told(row).items():
        echo(f"{name:>12}: {shown(value)}")
    frame = JournalReader(obj.existing().journal_dir).frame(place.frame)
    if frame is None or place.index >= len(frame.records.bodies):
        echo("        body: the journal frame cannot be read")
        return
    records = frame.records
    identity = shown(records.identity or "no identity")
    echo(f"    received: {records.receiver} from {shown(records.peer)} ({identity})")
    echo("        body:")
    echo(records.bodies[place.index].decode("utf-8", "backslashreplace"))


@command.command()
@click.option("--source", default="", help="Only of this source label.")
@click.option("--code", default="", help="Only with this reason code.")
@click.option("--as", "retry_as", default="", help="Treat them as records of this source.")
@click.option("--dry-run", is_flag=True, help="Only say how many it would be.")
@click.pass_obj
def retry(obj: Global, source: str, code: str, retry_as: str, dry_run: bool) -> None:
    """Try again, after the source was mended, or as another source."""
    if retry_as and retry_as not in wiring.content().receivable():
        known = ", ".join(wiring.content().receivable())
        raise Refused(f"no source is called {retry_as!r}", f"one of: {known}")
    rejects = Rejects(obj.existing().journal_dir)
    chosen = sum(number for s, c, number in rejects.counts() if source in ("", s) and code in ("", c))
    if dry_run:
        echo(f"{chosen:,} rejects would be tried again.")
        return
    rejects.ask_retry(source, code, retry_as)
    rejects.close()
    what = f"source {source or 'any'}, code {code or 'any'}"
    message = f"{chosen} rejects ({what}) are tried again as {retry_as or 'before'}"
    name = f"{source or '*'}/{code or '*'}"
    done = audited.event("rejects", name, audited.UPDATE, "retried", message, now=wiring.now())
    wiring.audit(obj.existing(), [done])
    echo(f"{chosen:,} rejects are tried again by the pipeline; see `sekisho rejects list`.")


def _offset(text: str) -> Offset:
    frame, _, index = text.partition(":")
    if not (frame.isdigit() and index.isdigit()):
        raise Refused(f"{text!r} is no offset", "give it as FRAME:INDEX, for example 1234:5")
    return Offset(int(frame), int(index))
