"""What somebody may see of the lake: which sources, whether the records themselves, how far back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from sekisho import settings
from sekisho.lake.engines import Engine, Rows
from sekisho.lake.query import Condition, micros
from sekisho.lake.terms import Sql, all_of
from sekisho.model import Refused

#: What a role without ``raw`` never sees: the record as received, and what the mapping left over.
RAW = ("raw", "unmapped")
#: Rows of one question for a role that may not export.
WITHOUT_EXPORT = 1_000
_DAY = 86_400_000_000


class Rights(NamedTuple):
    """``sources``: None = all. ``longest``: µs that one question may span, 0 = any."""

    role: str
    sources: frozenset[str] | None = None
    raw: bool = True
    sql: bool = True
    export: bool = True
    hunt: bool = True
    longest: int = 0

    def demand(self, what: str) -> None:
        """Raises ``Refused`` if the role lacks the right ``what`` (``sql``, ``export``, ``hunt``)."""
        if not getattr(self, what):
            raise Refused(
                f"the role {self.role} may not use: {what}", f"ask the owner of the data folder for '{what}'"
            )

    def limit(self, condition: Condition, now: datetime) -> Condition:
        """The same question within these rights. Raises ``Refused`` where it asks for a longer time."""
        if self.sources is not None:
            allowed = Sql("source IN (SELECT unnest(?))", (sorted(self.sources),))
            both = all_of([allowed, Sql(condition.sql, condition.params)])
            named = condition.sources
            kept = self.sources if named is None else named & self.sources
            condition = condition._replace(sql=both.text, params=both.params, sources=kept)
        if not self.longest:
            return condition
        low, high = condition.time_from, condition.time_to
        if low is not None and high is not None and high - low > self.longest:
            raise Refused(
                f"the question spans {(high - low) / _DAY:.1f} days; the role {self.role} may ask for"
                f" {self.longest / _DAY:g} days at once",
                "narrow it with --since and --until",
            )
        if low is not None:
            return condition.during(low, min(high or low + self.longest, low + self.longest))
        end = micros(now) if high is None else high
        return condition.during(end - self.longest, high)

    @property
    def narrow(self) -> bool:
        """Whether anything is hidden."""
        return self.sources is not None or not self.raw


#: The owner of the data folder.
ADMIN = Rights("admin")


def of(
    access: settings.Access,
    uid: int,
    gids: Iterable[int],
    *,
    user_name: Callable[[int], str | None],
    group_name: Callable[[int], str | None],
) -> Rights:
    """The rights of the first role that names the person. Raises ``Refused`` if none does."""
    users = {str(uid), user_name(uid)}
    groups = {name for gid in gids for name in (str(gid), group_name(gid))}
    for role in access.roles:
        if users & set(role.users) or groups & set(role.groups):
            return Rights(
                role.name,
                frozenset(role.sources) or None,
                role.raw,
                role.sql,
                role.export,
                role.hunt,
                role.longest_days * _DAY,
            )
    raise Refused(
        f"user {user_name(uid) or uid} has no role here",
        "the owner of the data folder can name you in [[access.roles]] of sekisho.toml",
    )


class Narrowed:
    """An engine that shows only what the rights allow, whatever the statement says. See ``engines.Engine``.

    The result is a set: sort it. (An ORDER BY with LIMIT chooses the right rows.)
    """

    def __init__(self, engine: Engine, rights: Rights) -> None:
        self._engine = engine
        self._sources = None if rights.sources is None else sorted(rights.sources)
        hidden = "" if rights.raw else f" REPLACE ({', '.join(f'NULL::VARCHAR AS {name}' for name in RAW)})"
        allowed = "" if self._sources is None else " WHERE source IN (SELECT unnest(?))"
        self._view = f"SELECT *{hidden} FROM events{allowed}"  # noqa: S608 - constants
        self._counted = f"SELECT * FROM events{allowed}"  # noqa: S608 - constants

    def select(
        self, files: Sequence[Path], sql: str, params: Sequence[object], rows: Mapping[Path, Rows] = {}
    ) -> pa.Table:
        return self._engine.select(files, self._narrowed(self._view, sql), self._bound(params), rows)

    def counts(self, files: Sequence[Path], sql: str, params: Sequence[object]) -> pa.Table:
        """Counts hold sources, and nothing of ``raw``."""
        return self._engine.counts(files, self._narrowed(self._counted, sql), self._bound(params))

    @staticmethod
    def _narrowed(view: str, sql: str) -> str:
        return f"SELECT * FROM (WITH events AS ({view}) {sql})"  # noqa: S608 - constants and our own SQL

    def _bound(self, params: Sequence[object]) -> tuple[object, ...]:
        return (*(() if self._sources is None else (self._sources,)), *params)

    def close(self) -> None:
        self._engine.close()
