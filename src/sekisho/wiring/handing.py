"""What commands hand over: records to the journal, master data to the data plane."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import pyarrow as pa

from sekisho import first_run
from sekisho.collect import local
from sekisho.enrich import context_files
from sekisho.model import Records
from sekisho.modules import database
from sekisho.settings import Settings
from sekisho.wiring.clock import now, now_ns
from sekisho.wiring.journaling import open_journal
from sekisho.wiring.plane import open_plane
from sekisho.wiring.seals import seal_offline


def publish(settings: Settings) -> str:
    """Publish the master data as a new version for the data plane; gives the version."""
    database.start(settings.data)
    from sekisho.modules.decoys import emit as decoys
    from sekisho.modules.grants import emit as grants
    from sekisho.modules.people import emit as people

    tables: dict[str, pa.Table] = {}
    for module in (people, grants, decoys):
        tables.update(module.tables())
    return context_files.write(settings.context_dir, tables, now())


def audit(settings: Settings, events: Sequence[Mapping[str, Any]]) -> None:
    """Write the platform's own events (OCSF) into the journal: what was done, by whom."""
    if not events:
        return
    bodies = tuple(msgspec.json.encode(event) for event in events)
    records = Records("sekisho", "internal", "none", f"pid {os.getpid()}", _user(), now_ns(), bodies)
    with appending(settings) as append:
        append(records)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def migrate(settings: Settings) -> None:
    """Bring the control plane's database up to this version."""
    database.start(settings.data)
    database.migrate()


@contextmanager
def appending(settings: Settings) -> Iterator[Callable[[Records], int]]:
    """Journal records: through the running collector, else as the journal's only writer."""
    socket = settings.run_dir / "collect.sock"
    if local.answers(socket):
        with local.client(socket) as append:
            yield append
        return
    first_run.prepare(settings.data, now().timestamp())
    writer = open_journal(settings)
    try:
        yield lambda records: writer.append([records])[0]
    finally:
        seal_offline(settings, writer)
        writer.close()


@contextmanager
def offline(
    settings: Settings, progress: Callable[[int], None] | None = None
) -> Iterator[Callable[[Records], int]]:
    """As ``appending`` without a collector; at the end runs the pipeline until everything is searchable.

    ``progress`` is told the number of frames that are still to do.
    """
    with appending(settings) as append:
        yield append
    drain(settings, progress)


def drain(settings: Settings, progress: Callable[[int], None] | None = None) -> None:
    """Run the pipeline in this process until nothing is left to do."""
    plane = open_plane(settings)
    try:
        while plane.step() is not None:
            if progress is not None:
                progress(plane.backlog())
    finally:
        plane.close()
