"""What changes of the control plane still owe: settled after each command, and later after a crash."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import msgspec

from sekisho.collect import local
from sekisho.modules import database
from sekisho.settings import Settings
from sekisho.wiring.handing import audit, publish


def deliver_audit(settings: Settings, *, alone: bool = True) -> int:
    """Publish the master data if they changed, then journal the audit events that are owed; how many.

    ``alone``  without a running collector the journal is opened here. A service says False: it must not
               take the journal from a collector that is just starting, and leaves the events for later.
    The tables must be migrated. Raises what journaling raises (``Retry``, ``Refused``, ``OSError``); then
    everything is still owed. Event ids come from the bodies, so what is journaled twice folds.
    """
    database.start(settings.data)
    from sekisho.modules.outbox import flows
    from sekisho.modules.outbox.models import Kind

    if not (flows.pending(Kind.PUBLISH, 1) or flows.pending(Kind.AUDIT, 1)):
        return 0
    with _one_at_a_time(settings):
        while rows := flows.pending(Kind.PUBLISH):
            publish(settings)
            flows.settle(rows)
        if not alone and not local.answers(settings.run_dir / "collect.sock"):
            return 0
        return _journal(settings)


def _journal(settings: Settings) -> int:
    from sekisho.modules.outbox import flows
    from sekisho.modules.outbox.models import Kind

    count = 0
    while rows := flows.pending(Kind.AUDIT):
        audit(settings, [msgspec.json.decode(row.body) for row in rows])
        flows.settle(rows)
        count += len(rows)
    return count


def judging_owed(settings: Settings, before: datetime | None = None) -> bool:
    """Whether master data changed (before this moment) by which the stored past has not been judged yet."""
    database.start(settings.data)
    from sekisho.modules.outbox import flows
    from sekisho.modules.outbox.models import Kind

    return bool(flows.pending(Kind.JUDGE, 1, before=before))


@contextmanager
def _one_at_a_time(settings: Settings) -> Iterator[None]:
    """Held over reading the tables and publishing them: an older state never replaces a newer one."""
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    with (settings.run_dir / "outbox.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
