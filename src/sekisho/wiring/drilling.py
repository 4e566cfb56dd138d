"""The drill: a backup is brought back beside the running platform, looked at from inside, and thrown away."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sekisho import first_run
from sekisho.keeping.backup import Backup, Facts, Tables, bring, facts
from sekisho.keeping.backup.box import Keys
from sekisho.keeping.backup.description import Place
from sekisho.keeping.durably import Told
from sekisho.lake.engines import FileUnreadable
from sekisho.lake.engines.duckdb import DuckDB
from sekisho.settings import load
from sekisho.wiring.clock import now
from sekisho.wiring.handing import drain


class Check(NamedTuple):
    """One thing that was compared. ``fault`` is empty if it was as it should be; ``seconds`` it took."""

    what: str
    found: str
    fault: str
    seconds: float


def drill(
    at: Place,
    backup: Backup,
    into: Path,
    keys: Keys | None,
    *,
    rebuild: bool,
    told: Told,
    progress: Callable[[int], None],
) -> list[Check]:
    """Restore into ``into`` (new; the caller removes it), then compare with what the backup says of itself.

    ``rebuild``: make the lake anew from the journal instead of opening the one in the backup.
    Raises ``Refused`` if it cannot even be restored.
    """
    done: list[Check] = []
    began = time.perf_counter()

    def note(what: str, found: str, fault: str) -> None:
        nonlocal began
        at = time.perf_counter()
        done.append(Check(what, found, fault, at - began))
        began = at

    bring(at, backup, into, keys, told)
    size = sum(entry.size for entry in backup.files)
    note("restored", f"{len(backup.files)} files, {size / 1e6:,.1f} MB, each hash right", "")
    faults = facts.journal_faults(into / "journal")
    frames = "frames {} to {}".format(*backup.facts.frames)
    note("journal", f"{frames}, each checksum right" if not faults else frames, "; ".join(faults))
    if rebuild or not backup.lake:
        shutil.rmtree(into / "lake", ignore_errors=True)
        first_run.prepare(into, now().timestamp())
        drain(load(into), progress)
        note("rebuilt", "the lake from the journal", "")
        _events(into, backup.facts, note, rebuilt=True)
    else:
        _events(into, backup.facts, note, rebuilt=False)
    rows, alerts = facts.console(into / "console.sqlite3")
    wanted = backup.facts.console.get("alerts_alert", 0)
    fault = (
        ""
        if alerts == backup.facts.alerts
        else f"{rows.get('alerts_alert', 0)} alerts, {wanted} were backed up, or others"
    )
    note("alerts", f"{wanted:,} alerts with their states", fault)
    if not rebuild and backup.lake:
        differ = [name for name, count in backup.facts.console.items() if rows.get(name) != count]
        note("database", f"{len(rows)} tables", f"rows differ in {', '.join(differ)}" if differ else "")
    return done


def _events(into: Path, wanted: Facts, note: Callable[[str, str, str], None], *, rebuilt: bool) -> None:
    settings = load(into)
    engine = DuckDB(settings.lake)
    try:
        damaged = facts.damaged(settings.lake_dir)
        _, events, since = facts.lake(settings.lake_dir, engine, wanted.since_us, wanted.offset)
    except FileUnreadable as error:
        note("events", "", str(error))
        return
    finally:
        engine.close()
    mine, theirs = (since, wanted.since) if rebuilt else (events, wanted.events)
    what = "events since the oldest period" if rebuilt and wanted.since_us else "events"
    note(
        what,
        f"{sum(mine.counts.values()):,} by count and digest",
        _differ(mine, theirs) or "; ".join(damaged),
    )


def _differ(mine: Tables, theirs: Tables) -> str:
    names = sorted({*mine.counts, *theirs.counts})
    return "; ".join(
        f"{name}: {mine.counts.get(name, 0)} events, {theirs.counts.get(name, 0)} were backed up"
        if mine.counts.get(name) != theirs.counts.get(name)
        else f"{name}: other events than were backed up"
        for name in names
        if (mine.counts.get(name), mine.digests.get(name))
        != (theirs.counts.get(name), theirs.digests.get(name))
    )
