"""Owing and settling. The clock is handed in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sekisho.modules.outbox.models import Kind, Owed

_BATCH = 500
_AT_ONCE = 5_000


class Pending(NamedTuple):
    """``body``: for ``Kind.AUDIT`` an OCSF event as JSON, always of the same bytes, so that it folds."""

    id: int
    body: bytes


def owe_audit(events: Sequence[Mapping[str, Any]], *, now: datetime) -> None:
    """The platform's own events (OCSF) are to be journaled. Call it in the transaction of the change."""
    Owed.objects.bulk_create(
        (Owed(kind=Kind.AUDIT, at=now, body=json.dumps(event, ensure_ascii=False)) for event in events),
        batch_size=_BATCH,
    )


def owe_tables(*, now: datetime) -> None:
    """Master data changed: publish them, judge by them. Call it in the transaction of the change."""
    Owed.objects.bulk_create(Owed(kind=kind, at=now) for kind in (Kind.PUBLISH, Kind.JUDGE))


def pending(kind: Kind, limit: int = _AT_ONCE, *, before: datetime | None = None) -> list[Pending]:
    """The oldest first; only what is owed since before that moment."""
    rows = Owed.objects.filter(kind=kind)
    if before is not None:
        rows = rows.filter(at__lt=before)
    chosen = rows.order_by("id").values_list("id", "body")[:limit]
    return [Pending(number, body.encode()) for number, body in chosen]


def settle(rows: Sequence[Pending]) -> None:
    """These are done."""
    for start in range(0, len(rows), _BATCH):
        Owed.objects.filter(id__in=[row.id for row in rows[start : start + _BATCH]]).delete()
