"""Which account an event is about, and who holds it at that time."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sekisho.enrich.timeline import (
    NEVER,
    NO_STEPS,
    NOTHING,
    Coded,
    Ints,
    Span,
    Steps,
    micros,
    resolve,
    spread,
    steps,
)
from sekisho.model.folding import fold, plain
from sekisho.model.spelling import spellings

#: Distinct (source, name) pairs that are remembered.
REMEMBERED = 1 << 16

#: A name or mail address that has but one spelling.
_USUAL = re.compile(r"[^\\/%#]*").fullmatch

_ABOUT_USER = pa.array([3001, 3002], pa.int32())
#: ``user`` is somebody else, to whom or from whom a right is given: never the one who acted.
_USER_IS_TARGET = pa.array([3005, 3006], pa.int32())
_MANAGEMENT = pa.scalar(3001, pa.int32())
_PARTS = ("email_addr", "name", "uid", "domain")


class Identity(NamedTuple):
    """One party of each event, part by part (Arrow text columns)."""

    email: pa.Array
    name: pa.Array
    uid: pa.Array
    domain: pa.Array
    credential: pa.Array

    def account(self) -> pa.Array:
        """Folded mail address, else name, else id, else credential."""
        coded = Coded.of(pc.coalesce(self.email, self.name, self.uid, self.credential))
        folded = pa.array([plain(value) for value in coded.values], pa.string())
        return folded.take(pa.array(coded.codes, mask=coded.codes < 0))


class Parties(NamedTuple):
    """Whom each event is about, and who acted where that is somebody else.

    ``about`` has every event; ``by`` only those at ``places``. ``alone``: who it is about acted.
    """

    about: Identity
    by: Identity
    places: Ints
    alone: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, events: pa.Table) -> Parties:
        """About: of classes 3001 and 3002 the ``user``, of others the ``actor``; if absent, the other one."""
        user = {part: _column(events, f"user_{part}") for part in _PARTS}
        actor = {part: _column(events, f"actor_user_{part}") for part in _PARTS}
        credential = _column(events, "actor_user_credential_uid")
        classes = _column(events, "class_uid")
        has_user = _any(user)
        has_actor = _any(actor)
        about_user = pc.fill_null(pc.is_in(classes, value_set=_ABOUT_USER), False)
        spare = pc.and_(pc.invert(has_actor), pc.invert(pc.is_in(classes, value_set=_USER_IS_TARGET)))
        take_user = pc.and_(has_user, pc.or_(about_user, spare))
        picked = {part: _choose(take_user, user[part], actor[part]) for part in _PARTS}
        managed = pc.and_(take_user, pc.fill_null(pc.equal(classes, _MANAGEMENT), False))
        # the credential is the actor's: of an account that is managed it tells nothing
        own = credential
        if credential.null_count < len(credential):
            own = pc.if_else(managed, pa.scalar(None, pa.string()), credential)
        acted = pc.or_(has_actor, pc.and_(managed, pc.is_valid(credential)))
        places = np.flatnonzero(_flags(pc.and_(take_user, acted)))
        rows = pa.array(places)
        email, name, uid, domain = (actor[part].take(rows) for part in _PARTS)
        by = Identity(email, name, uid, domain, credential.take(rows))
        email, name, uid, domain = (picked[part] for part in _PARTS)
        about = Identity(email, name, uid, domain, own)
        return cls(about, by, places, _flags(pc.invert(take_user)))


class Held(NamedTuple):
    """Of one party: the account, the person who holds it, its name in the table (Arrow text columns)."""

    account: pa.Array
    person: pa.Array
    ref: pa.Array


def _flags(column: pa.Array) -> npt.NDArray[np.bool_]:
    return np.asarray(column.to_numpy(zero_copy_only=False), np.bool_)


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
        numbers: dict[str, int] = {}
        self._refs = [fold(account) for account in accounts.column("account").to_pylist()]
        self._starts = micros(accounts.column("valid_from"), 0)
        self._ends = micros(accounts.column("valid_to"), NEVER)
        self._person = np.array(
            [
                numbers.setdefault(person, len(numbers)) if person else NOTHING
                for person in accounts.column("person_id").to_pylist()
            ],
            np.int64,
        )
        self._persons = list(numbers)
        self._rows: dict[str, list[tuple[str, Span]]] = defaultdict(list)
        spans = zip(self._starts.tolist(), self._ends.tolist(), strict=True)
        systems_of = accounts.column("system").to_pylist()
        for row, (ref, system, (start, end)) in enumerate(zip(self._refs, systems_of, spans, strict=True)):
            self._rows[ref].append((fold(system), Span(start, end, row)))
        self._known = lru_cache(maxsize=REMEMBERED)(self._look)

    def _look(self, source: str, name: str) -> Steps:
        rows = self._rows.get(name)
        if rows is None:
            return NO_STEPS
        systems = self._systems.get(source, frozenset((source,)))
        return steps([span for system, span in rows if system == "*" or system in systems], lasting=True)

    def held(self, parties: Parties, sources: Coded, times: Ints) -> tuple[Held, Held]:
        """Of whom each event is about and of who acted (whoever it is about, where nobody else did)."""
        rows = self._find(parties.about, sources, times)
        about = Held(parties.about.account(), *self._told(rows))
        if not len(parties.places):
            return about, about if parties.alone.all() else _only(about, parties.alone)
        places = parties.places
        others = self._find(parties.by, Coded(sources.codes[places], sources.values), times[places])
        acting = np.where(parties.alone, rows, NOTHING)
        acting[places] = others
        accounts = pc.if_else(pa.array(parties.alone), about.account, pa.scalar(None, pa.string()))
        flags = np.zeros(len(times), np.bool_)
        flags[places] = True
        accounts = pc.replace_with_mask(accounts, pa.array(flags), parties.by.account())
        return about, Held(accounts, *self._told(acting))

    def _told(self, rows: Ints) -> tuple[pa.Array, pa.Array]:
        if not len(self._refs):
            nothing = pa.nulls(len(rows), pa.string())
            return nothing, nothing
        return spread(self._persons, self._persons_of(rows)), spread(self._refs, rows)

    def _persons_of(self, rows: Ints) -> Ints:
        return np.where(rows >= 0, self._person[rows], NOTHING)

    def _find(self, identity: Identity, sources: Coded, times: Ints) -> Ints:
        """Row of the table for each event, ``NOTHING`` where the account is in none.

        The first name that leads to a person decides who it is; of that person's accounts that the event
        names one that was valid then goes before one that was not.
        """
        result = np.full(len(times), NOTHING, np.int64)
        if not self._rows:
            return result
        for part in (identity.email, identity.name, identity.uid, identity.credential):
            coded = Coded.of(part)
            if not coded.values:
                continue
            domains = identity.domain if part is identity.name else None
            found = self._part(coded, domains, sources, times)
            result = np.where(self._better(found, result, times), found, result)
        return result

    def _better(self, new: Ints, old: Ints, times: Ints) -> npt.NDArray[np.bool_]:
        person, known = self._persons_of(new), self._persons_of(old)
        fresher = (person == known) & self._valid(new, times) & ~self._valid(old, times)
        better: npt.NDArray[np.bool_] = (new >= 0) & (
            (old < 0) | ((known < 0) & (person >= 0)) | ((old >= 0) & fresher)
        )
        return better

    def _valid(self, rows: Ints, times: Ints) -> npt.NDArray[np.bool_]:
        valid: npt.NDArray[np.bool_] = (self._starts[rows] <= times) & (times < self._ends[rows])
        return valid & (rows >= 0)

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
        if known.starts or _USUAL(value):
            return known
        others = (self._known(source, form) for form in spellings(value)[1:])
        return next((steps for steps in others if steps.starts), NO_STEPS)


def _only(held: Held, flags: npt.NDArray[np.bool_]) -> Held:
    chosen = pa.array(flags)
    return Held(*(pc.if_else(chosen, column, pa.scalar(None, pa.string())) for column in held))


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
