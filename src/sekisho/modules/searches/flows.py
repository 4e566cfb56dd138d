"""Keeping, giving and removing saved searches. The clock is handed in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction

from sekisho.model import Refused
from sekisho.modules.outbox.flows import owe_audit
from sekisho.modules.searches.models import Saved

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_PARAMETER = re.compile(r"\{([a-z][a-z0-9_]{0,31})\}")


class Search(NamedTuple):
    """``kind``: ``search`` or ``sql``; ``since`` as a person writes a time, empty = all."""

    name: str
    query: str
    kind: str = "search"
    since: str = ""
    about_ja: str = ""
    about_en: str = ""

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_PARAMETER.findall(self.query)))


def all_() -> list[Search]:
    return [_search(row) for row in Saved.objects.order_by("name")]


def get(name: str) -> Search:
    """Raises ``Refused`` if there is none of that name."""
    row = Saved.objects.filter(name=name).first()
    if row is None:
        raise Refused(f"there is no saved search {name!r}", "`sekisho saved list` shows those there are")
    return _search(row)


def add(search: Search, *, by: str, now: datetime, told: Sequence[Mapping[str, Any]]) -> None:
    """Keep it; ``told`` are the audit events. Raises ``Refused`` if the name is taken or not a name."""
    if not _NAME.fullmatch(search.name):
        raise Refused(f"{search.name!r} is no name", "use small letters, digits, - and _, at most 64")
    if not search.query.strip():
        raise Refused("the search is empty", "give the query in single quotes")
    try:
        with transaction.atomic():
            Saved.objects.create(
                name=search.name,
                kind=search.kind,
                query=search.query,
                since=search.since,
                about_ja=search.about_ja,
                about_en=search.about_en,
                made_by=by,
                made_at=now,
            )
            owe_audit(told, now=now)
    except IntegrityError as error:
        raise Refused(
            f"there is a saved search {search.name!r} already", f"sekisho saved remove {search.name}"
        ) from error


def remove(name: str, *, now: datetime, told: Sequence[Mapping[str, Any]]) -> None:
    """Raises ``Refused`` if there is none of that name."""
    with transaction.atomic():
        gone, _ = Saved.objects.filter(name=name).delete()
        if not gone:
            raise Refused(f"there is no saved search {name!r}", "`sekisho saved list` shows those there are")
        owe_audit(told, now=now)


def filled(search: Search, values: Mapping[str, str]) -> str:
    """The query with its parameters put in, quoted so that a value can never become syntax.

    Raises ``Refused`` if one is missing, or is not asked for.
    """
    missing = [name for name in search.parameters if name not in values]
    unknown = [name for name in values if name not in search.parameters]
    if missing or unknown:
        asked = " ".join(f"{name}=…" for name in search.parameters) or "no parameters"
        problem = (
            f"{', '.join(missing)} is missing" if missing else f"{', '.join(unknown)} is not a parameter"
        )
        raise Refused(f"{search.name}: {problem}", f"it takes {asked}")
    quote = _sql if search.kind == "sql" else _phrase
    return _PARAMETER.sub(lambda found: quote(values[found[1]]), search.query)


def _phrase(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _sql(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _search(row: Saved) -> Search:
    return Search(row.name, row.query, row.kind, row.since, row.about_ja, row.about_en)
