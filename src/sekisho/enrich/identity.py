"""Which account an event is about, and who holds it at that time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sekisho.enrich.timeline import NEVER, NO_STEPS, NOTHING, Coded, Ints, Span, Steps, micros, resolve, steps
from sekisho.model.folding import fold, plain

#: Distinct (source, name) pairs that are remembered.
REMEMBERED = 1 << 16

_ABOUT_USER = pa.array([3001, 3002], pa.int32())
#: ``user`` is somebody else, to whom or from whom a right is given: never the one who acted.
_USER_IS_TARGET = pa.array([3005, 3006], pa.int32())
_PARTS = ("email_addr", "name", "uid", "domain")


class Identity(NamedTuple):
    """The identity an event is about, part by part (Arrow text columns)."""

    email: pa.Array
    name: pa.Array
    uid: pa.Array
    domain: pa.Array
    credential: pa.Array

    @classmethod
    def of(cls, events: pa.Table) -> Identity:
        """Of classes 3001 and 3002 the ``user``, of others the ``actor``; if absent, the other one."""
        user = {part: _column(events, f"user_{part}") for part in _PARTS}
        actor = {part: _column(events, f"actor_user_{part}") for part in _PARTS}
        classes = _column(events, "class_uid")
        has_user = _any(user)
        has_actor = _any(actor)
        about_user = pc.fill_null(pc.is_in(classes, value_set=_ABOUT_USER), False)
        spare = pc.and_(pc.invert(has_actor), pc.invert(pc.is_in(classes, value_set=_USER_IS_TARGET)))
        take_user = pc.and_(has_user, pc.or_(about_user, spare))
        picked = {part: _choose(take_user, user[part], actor[part]) for part in _PARTS}
        credential = _column(events, "actor_user_credential_uid")
        return cls(picked["email_addr"], picked["name"], picked["uid"], picked["domain"], credential)

    def account(self) -> pa.Array:
        """Folded mail address, else name, else id, else credential."""
        coded = Coded.of(pc.coalesce(self.email, self.name, self.uid, self.credential))
        folded = pa.array([plain(value) for value in coded.values], pa.string())
        return folded.take(pa.array(coded.codes, mask=coded.codes < 0))


def _column(events: pa.Table, name: str) -> pa.Array:
    return events.column(name).combine_chunks()


def _any(parts: Mapping[str, pa.Array]) -> pa.Array:
    return pc.or_(
        pc.is_valid(parts["name"]), pc.or_(pc.is_valid(parts["email_addr"]), pc.is_valid(parts["uid"]))
    )


def _choose(take: pa.Array, user: pa.Array, actor: pa.Array) -> pa.Array:
    if user.null_count == len(user) and actor.null_count == len(actor):
        return user
    return pc.if_else(take, user, actor)


class Holders:
    """Who holds which account of which system when (table ``accounts``)."""

    def __init__(self, accounts: pa.Table, systems: Mapping[str, tuple[str, ...]]) -> None:
        self._systems = {source: frozenset(fold(name) for name in names) for source, names in systems.items()}
        self.persons: list[str] = []
        numbers: dict[str, int] = {}
        self._rows: dict[str, list[tuple[str, Span]]] = defaultdict(list)
        starts = micros(accounts.column("valid_from"), 0)
        ends = micros(accounts.column("valid_to"), NEVER)
        columns = zip(
            accounts.column("system").to_pylist(),
            accounts.column("account").to_pylist(),
            accounts.column("person_id").to_pylist(),
            starts.tolist(),
            ends.tolist(),
            strict=True,
        )
        for system, account, person, start, end in columns:
            number = NOTHING
            if person:
                number = numbers.setdefault(person, len(numbers))
            self._rows[fold(account)].append((fold(system), Span(start, end, number)))
        self.persons = list(numbers)
        self._known = lru_cache(maxsize=REMEMBERED)(self._look)

    def _look(self, source: str, name: str) -> Steps:
        rows = self._rows.get(name)
        if rows is None:
            return NO_STEPS
        systems = self._systems.get(source, frozenset((source,)))
        return steps([span for system, span in rows if system == "*" or system in systems], lasting=True)

    def find(self, identity: Identity, sources: Coded, times: Ints) -> Ints:
        """Number of the person in ``persons`` for each event, ``NOTHING`` where nobody is known."""
        result = np.full(len(times), NOTHING, np.int64)
        if not self._rows:
            return result
        for part in (identity.email, identity.name, identity.uid, identity.credential):
            coded = Coded.of(part)
            if not coded.values:
                continue
            domains = identity.domain if part is identity.name else None
            found = self._part(coded, domains, sources, times)
            result = np.where(result == NOTHING, found, result)
        return result

    def _part(self, coded: Coded, domains: pa.Array | None, sources: Coded, times: Ints) -> Ints:
        if domains is not None and domains.null_count < len(domains):
            coded = _qualified(coded, Coded.of(domains))
        codes, pairs = coded.with_(sources)
        found = [
            self._forms(sources.values[source] if source >= 0 else "", coded.values[value])
            for value, source in pairs
        ]
        return resolve(found, codes, times)

    def _forms(self, source: str, value: str) -> Steps:
        known = self._known(source, fold(value))
        return known if known.starts or "\\" not in value else self._known(source, plain(value))


def _qualified(names: Coded, domains: Coded) -> Coded:
    r"""Names as DOMAIN\name where the event states the domain apart."""
    codes, pairs = names.with_(domains)
    values = [
        names.values[name]
        if domain < 0 or "\\" in names.values[name]
        else f"{domains.values[domain]}\\{names.values[name]}"
        for name, domain in pairs
    ]
    return Coded(codes, values)
