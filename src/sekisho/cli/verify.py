"""`sekisho verify`: whether every log is, byte for byte, what was sealed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from sekisho.cli.main import Global
from sekisho.journal import keys, verify
from sekisho.journal.note import Verifier
from sekisho.journal.scan import Fault
from sekisho.journal.trust import judge
from sekisho.journal.verify import Report
from sekisho.model import Refused

_SHOWN = 20
_SAY_SECONDS = 2.0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--journal",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A journal folder, such as a copy; otherwise that of the data folder.",
)
@click.option("--vkey", metavar="KEY|FILE", help="Pinned verifier key; it was shown at the first start.")
@click.option(
    "--witness-file",
    "witness_files",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    multiple=True,
    help="Checkpoints that somebody else kept: they must lead to this journal too. Repeatable.",
)
@click.option(
    "--witness-vkey", "witness_keys", multiple=True, metavar="KEY|FILE", help="Key of a witness. Repeatable."
)
@click.option(
    "--tsa-ca",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Certificates (PEM) for RFC 3161 time stamps.",
)
@click.option("--from", "begin", metavar="FRAME|TIME", help="Read only segments from here on.")
@click.option("--to", "end", metavar="FRAME|TIME", help="Read only segments up to here.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes.")
@click.option("--quick", is_flag=True, help="Do not unpack the records: checksums, numbers and hashes only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def command(
    obj: Global,
    journal: Path | None,
    vkey: str | None,
    witness_files: tuple[Path, ...],
    witness_keys: tuple[str, ...],
    tsa_ca: Path | None,
    begin: str | None,
    end: str | None,
    jobs: int,
    quick: bool,
    as_json: bool,
) -> None:
    """Prove that no log was altered, removed, added or re-ordered. Offline; writes nothing.

    \b
    Examples:
      sekisho verify --vkey auditor.vkey
      sekisho verify --vkey auditor.vkey --witness-file /mnt/worm/sekisho-checkpoints --jobs 2
      sekisho verify --journal /mnt/copy/journal --vkey auditor.vkey --json
      sekisho verify --vkey auditor.vkey --from 2026-05-01 --to 2026-05-14

    Without --vkey the key in the data folder is taken: an intruder may have replaced it.

    \b
    Exit codes:
      0  all of it verified
      1  tampering or damage found; the first place is named
      2  cannot verify all of it (no key, no checkpoint, segments that are away, an unsealed end)
    """
    folder = _folder(obj, journal)
    pinned = _pinned(obj, journal, vkey)
    try:
        trusted = judge(
            folder,
            pinned,
            witness_keys=[keys.given(text) for text in witness_keys],
            witness_files=witness_files,
            tsa_ca=tsa_ca,
        )
        frames = (_frame(folder, begin, last=False) or 0, _frame(folder, end, last=True))
        report = verify.verify(
            folder, trusted, frames=frames, jobs=jobs, decode=not quick, progress=_progress(as_json)
        )
    except OSError as error:
        raise Refused(f"{folder}: {error}", "see that the journal can be read") from error
    if as_json:
        click.echo(json.dumps(plain(report, pinned=vkey is not None), ensure_ascii=False))
    else:
        _print(report, ZoneInfo(_zone(obj)), pinned=vkey is not None)
    raise SystemExit(report.code)


def _folder(obj: Global, journal: Path | None) -> Path:
    if journal is not None:
        return journal / "journal" if (journal / "journal").is_dir() else journal
    return obj.existing().journal_dir


def _zone(obj: Global) -> str:
    return obj.settings.zone if obj.data.is_dir() else "Asia/Tokyo"


def _pinned(obj: Global, journal: Path | None, vkey: str | None) -> Verifier | None:
    if vkey:
        return keys.given(vkey)
    if journal is not None:
        return None
    try:
        return keys.published(obj.data / "sekisho.vkey")
    except Refused:
        return None


def _frame(folder: Path, text: str | None, *, last: bool) -> int | None:
    """A frame number, or the first frame of the segment that holds a time. Raises ``Refused``."""
    if text is None:
        return None
    if text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"{text!r} is neither a frame nor a time", "for example 120000 or 2026-05-14") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return verify.frame_at(folder, int(moment.timestamp() * 1e9), last=last)


def _progress(quiet: bool) -> Callable[[int, int], None] | None:
    """To standard error: each second on a terminal, each ten seconds elsewhere."""
    if quiet and not sys.stderr.isatty():
        return None
    began = said = time.monotonic()
    every = _SAY_SECONDS if sys.stderr.isatty() else 5 * _SAY_SECONDS

    def say(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said < every:
            return
        said = now
        speed = done / max(now - began, 1e-6)
        left = (total - done) / max(speed, 1.0)
        click.echo(
            f"verify: {done / 1e9:.2f} of {total / 1e9:.2f} GB, {speed / 1e6:,.0f} MB/s, {left:,.0f} s left",
            err=True,
        )

    return say


# -- what is said -------------------------------------------------------------------------------


def plain(report: Report, *, pinned: bool) -> dict[str, Any]:
    """The report as plain values; times in ns since 1970 UTC."""
    trusted = report.trusted
    return {
        "code": report.code,
        "verdict": ("verified", "tampered", "cannot-verify")[report.code],
        "first_fault": _values(report.faults[0]) if report.faults else None,
        "faults": [_values(fault) for fault in report.faults],
        "faults_untold": report.untold,
        "cannot": [*trusted.cannot, *report.cannot],
        "notices": report.notices,
        "frames": report.frames,
        "bytes": report.bytes,
        "segments": report.segments,
        "sealed_frames": report.sealed,
        "end": report.end,
        "oldest": report.oldest,
        "newest": report.newest,
        "away": [{"first": span.first, "last": span.last, "why": why} for span, why in report.away],
        "skipped": [list(span) for span in report.skipped],
        "key_pinned": pinned,
        "keys": [key.vkey for key in trusted.keys],
        "checkpoints": trusted.checkpoints,
        "cosignatures": dict(trusted.cosigned),
        "stamps": [moment.isoformat() for moment in trusted.stamped],
    }


def _values(fault: Fault) -> dict[str, Any]:
    return dict(fault._asdict())


def _print(report: Report, zone: ZoneInfo, *, pinned: bool) -> None:
    trusted = report.trusted
    if report.faults:
        click.echo(f"TAMPERED OR DAMAGED; first: {_fault(report.faults[0], zone)}")
        for fault in report.faults[1:_SHOWN]:
            click.echo(f"  then: {_fault(fault, zone)}")
        more = len(report.faults) - _SHOWN + report.untold
        if more > 0:
            click.echo(f"  and {more:,} more (--json shows them)")
    for why in (*trusted.cannot, *report.cannot):
        click.echo(f"CANNOT VERIFY: {why}")
    for notice in report.notices:
        click.echo(f"note: {notice}")
    if report.skipped:
        click.echo(
            f"note: {len(report.skipped)} segments outside --from/--to count by their leaf hashes only"
        )
    if not pinned and trusted.keys:
        click.echo(
            "note: the key was taken from the data folder, not pinned with --vkey: it may be an intruder's"
        )
    _summary(report, zone)


def _summary(report: Report, zone: ZoneInfo) -> None:
    trusted = report.trusted
    click.echo(
        f"read       {report.frames:,} frames in {report.segments:,} segments, {report.bytes / 1e6:,.1f} MB"
        + (
            f", received {_clock(report.oldest, zone)} to {_clock(report.newest, zone)}"
            if report.oldest
            else ""
        )
    )
    click.echo(f"sealed     {report.sealed:,} of {report.end:,} frames, {trusted.checkpoints:,} checkpoints")
    for key in trusted.keys:
        click.echo(f"key        {key.vkey}")
    for name, number in trusted.cosigned.items():
        click.echo(f"witness    {name}: {number:,} cosignatures verified")
    if trusted.stamped:
        newest = max(trusted.stamped)
        click.echo(
            f"stamps     {len(trusted.stamped):,} verified, newest of {newest.astimezone(zone):%F %T %Z}"
        )
    click.echo(
        ("VERIFIED", "NOT VERIFIED: tampering or damage", "NOT VERIFIED: not all can be judged")[report.code]
    )


def _fault(fault: Fault, zone: ZoneInfo) -> str:
    frames = ""
    if fault.first >= 0:
        frames = (
            f"frame {fault.first}" if fault.first == fault.last else f"frames {fault.first} to {fault.last}"
        )
    span = ""
    if fault.after and fault.before:
        span = f"; received between {_clock(fault.after, zone)} and {_clock(fault.before, zone)}"
    elif fault.after:
        span = f"; received after {_clock(fault.after, zone)}"
    elif fault.before:
        span = f"; received before {_clock(fault.before, zone)}"
    return f"{fault.kind} {frames} ({fault.where}, byte {fault.position:,}): {fault.why}{span}"


def _clock(ns: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(ns / 1e9, tz=UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")
