"""Importing, undoing and showing one table. The caller hands in the clock and who it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import models, transaction

from sekisho.contract import Table
from sekisho.model import Problem, Refused
from sekisho.modules.ledger import emit
from sekisho.modules.ledger.models import Import, Version
from sekisho.modules.outbox import flows as outbox
from sekisho.tabular import Parsed, Plan, Row, Stored, Value, parse, plan, read

Values = dict[str, Value]
_BATCH = 500


@dataclass(frozen=True)
class Register:
    """A table of the contract and the model that stores it. ``seal`` turns a parsed row into what may
    be stored (decoys: the identifier becomes a keyed hash before anything else sees it)."""

    table: Table
    model: type[Version]
    seal: Callable[[Row], Row] = lambda row: row


class Upload(NamedTuple):
    """A file that a person gives. ``known``: keys of the tables that this one refers to."""

    content: bytes
    name: str
    by: str
    known: Mapping[str, Set[str]]
    complete: bool = False


class Outcome(NamedTuple):
    """``events``: what is told of it, already owed (``outbox``); empty for a dry run or with problems."""

    plan: Plan[int]
    events: list[dict[str, Any]]

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.plan.problems


def import_file(register: Register, upload: Upload, *, now: datetime, dry_run: bool = False) -> Outcome:
    """Take a file in, whole or not at all. With problems, or as a dry run, nothing is changed."""
    with transaction.atomic():
        planned = _plan(register, upload, now)
        if dry_run or planned.problems or not planned.changes:
            return Outcome(planned, [])
        record = Import.objects.create(
            table=register.table.name,
            at=now,
            by=upload.by,
            file=upload.name,
            digest=hashlib.sha256(upload.content).hexdigest(),
            complete=upload.complete,
            added=len(planned.added),
            changed=len(planned.changed),
            closed=len(planned.closed),
            withdrawn=len(planned.withdrawn),
            unchanged=planned.unchanged,
        )
        _apply(
            register,
            record,
            gone=[change.before.id for change in planned.changes if change.before],
            come=[change.after for change in planned.changes if change.after],
        )
        events = emit.imported(register.table, record, planned)
        _owe(events, now)
    return Outcome(planned, events)


def undo(register: Register, by: str, *, now: datetime) -> Outcome:
    """Take back the last import that is not undone yet; the history keeps both.

    Raises ``Refused`` if there is none.
    """
    with transaction.atomic():
        last = (
            Import.objects.filter(table=register.table.name, undoes=None, undone_by=None)
            .order_by("-id")
            .first()
        )
        if last is None:
            raise Refused(f"no import of {register.table.name} is left to undo", "nothing needs to be done")
        was = _rows(register, _versions(register).filter(_before(last)))
        present = _rows(register, current(register))
        keep = {_frozen(row.values) for row in was} & {_frozen(row.values) for row in present}
        gone = [row for row in present if _frozen(row.values) not in keep]
        come = [row for row in was if _frozen(row.values) not in keep]
        record = Import.objects.create(
            table=register.table.name,
            at=now,
            by=by,
            file=last.file,
            digest=last.digest,
            undoes=last,
            added=len(come),
            withdrawn=len(gone),
            unchanged=len(keep),
        )
        _apply(register, record, gone=[row.id for row in gone], come=[dict(row.values) for row in come])
        events = emit.undone(register.table, record, last)
        _owe(events, now)
    return Outcome(Plan((), (), (), (), len(keep), ()), events)


def current(register: Register) -> models.QuerySet[Version]:
    """Versions that count now, by key."""
    return _versions(register).filter(superseded_at=None).order_by(*register.table.key)


def as_known(register: Register, at: datetime) -> models.QuerySet[Version]:
    """Versions that counted at ``at`` (what Sekisho had been told by then)."""
    still = models.Q(superseded_at=None) | models.Q(superseded_at__gt=at)
    return _versions(register).filter(still, known_from__lte=at).order_by(*register.table.key)


def history(register: Register) -> models.QuerySet[Version]:
    """All versions, by key, oldest first."""
    chosen = _versions(register).select_related("added_by", "superseded_by")
    return chosen.order_by(*register.table.key, "known_from", "id")


def keys(register: Register) -> frozenset[str]:
    """What other tables may refer to: the first key column of the current rows."""
    return frozenset(current(register).values_list(register.table.key[0], flat=True))


def imports(register: Register) -> models.QuerySet[Import]:
    return Import.objects.filter(table=register.table.name).order_by("-id")


def values_of(register: Register, version: Version) -> Values:
    """The columns of the table; empty texts are None."""
    return {field.name: _from_db(getattr(version, field.name)) for field in register.table.fields}


# -- inside ----------------------------------------------------------------------------------------


def _owe(events: list[dict[str, Any]], now: datetime) -> None:
    outbox.owe_tables(now=now)
    outbox.owe_audit(events, now=now)


def _plan(register: Register, upload: Upload, now: datetime) -> Plan[int]:
    sheet, problems = read(upload.content, upload.name, register.table.name)
    if sheet is None:
        return Plan((), (), (), (), 0, tuple(problems))
    parsed = parse(register.table, sheet, upload.known)
    rows = tuple(map(register.seal, parsed.rows))
    sealed = Parsed(rows, parsed.faulty, (*problems, *parsed.problems))
    return plan(register.table, sealed, _rows(register, current(register)), complete=upload.complete, now=now)


def _versions(register: Register) -> models.QuerySet[Version]:
    return register.model._default_manager.all()  # noqa: SLF001 - Django documents _default_manager


def _before(last: Import) -> models.Q:
    """Versions that counted just before that import."""
    still = models.Q(superseded_by=None) | models.Q(superseded_by__gte=last.pk)
    return still & models.Q(added_by__lt=last.pk)


def _rows(register: Register, versions: Iterable[Version]) -> list[Stored[int]]:
    return [Stored(version.pk, values_of(register, version)) for version in versions]


def _frozen(values: Mapping[str, Value]) -> tuple[tuple[str, Value], ...]:
    return tuple(sorted(values.items()))


def _apply(register: Register, record: Import, *, gone: Sequence[int], come: Sequence[Values]) -> None:
    for start in range(0, len(gone), _BATCH):
        _versions(register).filter(pk__in=gone[start : start + _BATCH]).update(
            superseded_at=record.at, superseded_by=record
        )
    empty_time = {f.name for f in register.table.fields if f.kind in ("time", "date-or-time")}
    register.model._default_manager.bulk_create(  # noqa: SLF001 - as above
        register.model(
            known_from=record.at,
            added_by=record,
            **{name: "" if v is None and name not in empty_time else v for name, v in values.items()},
        )
        for values in come
    )


def _from_db(value: Any) -> Value:
    return None if value == "" else value
