"""Retention, archive and holds, put together for one installation."""

from __future__ import annotations

import configparser
import os
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sekisho import settings as shape
from sekisho.contract.source import WindowsEvents
from sekisho.journal import JournalReader, sealed
from sekisho.journal.writer import segments
from sekisho.keeping import retention
from sekisho.keeping.archive import Archive, Folder, Throttle
from sekisho.keeping.archive.s3 import S3, Credentials
from sekisho.keeping.catalogue import Catalogue
from sekisho.keeping.holds import Holds
from sekisho.keeping.policy import DAY_US, Becomes, Policy, iso
from sekisho.keeping.retention import Done, Means, Plan
from sekisho.lake import Lake, manifest, reader
from sekisho.lake.engines.duckdb import DuckDB
from sekisho.model import Refused
from sekisho.settings import Settings
from sekisho.wiring.clock import now, now_ns
from sekisho.wiring.found import content

#: Sources and segments that one record of a deletion names.
NAMED = 500


def sealed_upto(settings: Settings) -> int:
    """Frames below this number are in finished segments and under a signed checkpoint; 0 without any."""
    paths = segments(settings.journal_dir) if settings.journal_dir.is_dir() else []
    newest = sealed.last(settings.journal_dir)
    if not paths or newest is None:
        return 0
    return min(int(paths[-1].stem), newest.checkpoint.size)


def becomes() -> Becomes:
    """Which sources records may turn out to be that came in under a label."""
    known = content().sources
    windows = {source.id for source in known.values() if isinstance(source.decode, WindowsEvents)}

    def run(label: str) -> Collection[str] | None:
        if label in windows:
            return windows
        return {label} if label in known else None

    return run


@contextmanager
def catalogue(settings: Settings) -> Iterator[Catalogue]:
    with Catalogue(settings.keeping_dir) as opened:
        yield opened


def holds(settings: Settings, known: Catalogue) -> Holds:
    return Holds(settings.keeping_dir, known)


# -- archive -------------------------------------------------------------------------------------------


def open_archive(settings: Settings, known: Catalogue, *, rate_mb: float | None = None) -> Archive:
    """Raises ``Refused`` if none is configured or there are no credentials."""
    options = settings.keep.archive
    if options is None:
        raise Refused(
            "no archive is configured",
            "add [keep.archive] with folder or bucket to sekisho.toml (docs/operate/en/keeping.md)",
        )
    throttle = Throttle((options.rate_mb if rate_mb is None else rate_mb) * 1e6)
    if options.folder:
        return Archive(Folder(Path(options.folder), throttle), known, now_ns)
    return Archive(S3(options, credentials(options, os.environ.get), throttle, now), known, now_ns)


def credentials(options: shape.Archive, environment: Callable[[str], str | None]) -> Credentials:
    """From the file, else from the environment; never from the network. Raises ``Refused``."""
    if not options.credentials_file:
        key, secret = environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY")
        if not key or not secret:
            raise Refused(
                "there are no credentials for the archive",
                "set keep.archive.credentials_file, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
        return Credentials(key, secret, environment("AWS_SESSION_TOKEN"))
    path = Path(options.credentials_file)
    parser = configparser.ConfigParser(interpolation=None)
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise Refused(f"{path}: others may read these credentials", f"run: chmod 600 {path}")
        parser.read_string(path.read_text(encoding="utf-8"))
        section = parser[parser.sections()[0]]
        return Credentials(
            section["aws_access_key_id"],
            section["aws_secret_access_key"],
            section.get("aws_session_token"),
        )
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError, IndexError) as error:
        raise Refused(
            f"{path}: not readable as credentials ({type(error).__name__})",
            "write [default], aws_access_key_id = … and aws_secret_access_key = … into it",
        ) from None


# -- retention -----------------------------------------------------------------------------------------


@contextmanager
def means(
    settings: Settings, *, confirmed: bool = False, at_ns: int | None = None
) -> Iterator[tuple[Means, Archive | None]]:
    """What a retention plan is made from. Raises ``Refused`` where the holds cannot be trusted."""
    engine = DuckDB(settings.lake)
    try:
        with catalogue(settings) as known:
            archive = open_archive(settings, known) if settings.keep.archive is not None else None
            local = settings.keep.archive.local_days if settings.keep.archive is not None else 0
            there = (settings.lake_dir / manifest.FILE).exists()
            stored = reader.snapshot(settings.lake_dir) if there else None
            taken = 0 if stored is None or stored.offset is None else stored.offset + 1
            yield (
                Means(
                    journal=settings.journal_dir,
                    catalogue=known,
                    policy=Policy(settings.keep),
                    holds=holds(settings, known).active(),
                    becomes=becomes(),
                    engine=engine,
                    snapshot=stored,
                    sealed_upto=sealed_upto(settings),
                    taken_upto=taken,
                    archived=None if archive is None else lambda first: archive.holds(first, deep=False),
                    local_us=local * DAY_US,
                    confirmed=confirmed,
                    now_ns=now_ns() if at_ns is None else at_ns,
                ),
                archive,
            )
    finally:
        engine.close()


def retain(
    settings: Settings,
    lake: Lake | None,
    tell: Callable[[list[dict[str, Any]]], None],
    *,
    confirmed: bool = False,
) -> tuple[Plan, Done]:
    """Plan and carry out. ``tell`` journals the events that say what will be deleted; it is called first.

    Raises ``Refused`` and ``Retry``; then what was not deleted yet stays.
    """
    with means(settings, confirmed=confirmed) as (given, archive):
        made = retention.plan(given)
        if archive is not None:
            made.segments = [
                whole
                if whole.waits or archive.holds(whole.known.contents.first, deep=True)
                else whole._replace(waits="its copy in the archive proved bad; it is archived again")
                for whole in made.segments
            ]
        with holds(settings, given.catalogue).steady() as held:
            if held != given.holds:
                raise Refused("a legal hold was changed meanwhile; nothing was deleted", "repeat the run")
            return made, retention.carry_out(made, given, lake, lambda plan: tell(deletions(plan, given)))


def deletions(plan: Plan, given: Means) -> list[dict[str, Any]]:
    """OCSF events (Entity Management, class 3004) of what is about to be deleted, and under which policy.

    One for each ``NAMED`` sources and segments, so that none grows beyond a record.
    """
    parts = [
        f"{row.source}: {row.share.rows} events from {iso(row.share.oldest)} to {iso(row.share.newest)}"
        for row in plan.rows
        if row.share and not row.waits
    ]
    parts += [
        f"segment {whole.path.name} ({whole.why}; frames {whole.known.contents.first} to"
        f" {whole.known.contents.last}; SHA-256 {whole.known.contents.sha256})"
        for whole in plan.going
    ]
    return [_deletion(plan, given, parts[at : at + NAMED], at // NAMED) for at in range(0, len(parts), NAMED)]


def _deletion(plan: Plan, given: Means, parts: list[str], number: int) -> dict[str, Any]:
    return {
        "class_uid": 3004,
        "category_uid": 3,
        "activity_id": 4,
        "type_uid": 300404,
        "time": given.now_ns // 1_000_000,
        "severity_id": 1,
        "status_id": 99,
        "status": "Begun",
        "message": f"retention deletes, under {given.policy.words()}"
        f"{' (confirmed by a person)' if given.confirmed else ''}: {'; '.join(parts)}",
        "entity": {"name": "retention", "type": "policy"},
        "metadata": {
            "version": "1.8.0",
            "uid": f"retention-{plan.uid()}-{number}",
            "event_code": "retention.delete",
            "log_name": "keeping",
            "product": {"name": "Sekisho", "vendor_name": "Sekisho"},
        },
    }


def journal_end(settings: Settings) -> int:
    opened = JournalReader(settings.journal_dir)
    try:
        return opened.end()
    finally:
        opened.close()
