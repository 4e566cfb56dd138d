"""Whether a rule can judge at all: it fails closed and says what is missing."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

import duckdb
import pyarrow as pa

from sekisho.contract import Context, Rule
from sekisho.detect.sigma import SigmaRule
from sekisho.ocsf import BY_NAME, EVENT_SCHEMA


class Verdict(NamedTuple):
    """``reason`` is empty if the rule works; else it names what is missing and the remedy."""

    state: Literal["working", "partly", "blind"]
    reason: str = ""


def judge(
    rule: Rule,
    context: Context,
    filled: Collection[str] | None = None,
    unjudged: Mapping[str, int] | None = None,
) -> Verdict:
    """Can the rule judge with this master data and these event columns?

    ``filled``    event columns that had at least one value lately (for a Sigma rule: among the events of
                  its log source); None = not known, not judged
    ``unjudged``  events that the rule could not judge, by reason
    """
    blind = [
        f"cannot judge: table {name} is empty; remedy: sekisho {name} import FILE.csv"
        for name in rule.tables
        if context.tables[name].num_rows == 0
    ]
    partly = [f"could not judge {count:,} events: {reason}" for reason, count in (unjudged or {}).items()]
    if filled is not None:
        missing = [name for name in rule.columns if name not in filled]
        if isinstance(rule, SigmaRule):
            words = set(re.findall(r"\w+", " ".join(sql for _, sql in rule.fields)))
            missing = [name for name in missing if name in words]
            if not filled:
                blind.append(
                    "no event of its log source is stored; remedy: connect one (sekisho sources list)"
                )
            elif missing:
                names = ", ".join(missing)
                partly.append(f"no event of its log source had {names} lately: conditions on it are false")
        else:
            blind += [
                f"can never match your events: no event fills {name} ({BY_NAME[name].doc}); remedy: connect"
                " a source that records it (sekisho sources list)"
                for name in missing
            ]
    if blind:
        return Verdict("blind", " / ".join(blind))
    return Verdict("partly", " / ".join(partly)) if partly else Verdict("working")


def columns_needed(rules: Sequence[Rule]) -> list[str]:
    """Event columns by which ``columns_filled`` decides."""
    named = {name for rule in rules for name in rule.columns}
    return [name for name in EVENT_SCHEMA.names if name in named]


def columns_filled(rules: Sequence[Rule], events: pa.Table) -> dict[str, set[str]]:
    """By rule id: its columns that have a value in ``events`` (``columns_needed``, or more), for a Sigma
    rule among the events of its log source."""
    with duckdb.connect(":memory:", config={"enable_external_access": False}) as db:
        db.register("seen", events)
        found: dict[str, dict[str, int]] = {}
        for scope in {_where(rule) for rule in rules}:
            names = columns_needed([rule for rule in rules if _where(rule) == scope])
            counts = ", ".join(f'count("{name}")' for name in names) or "0"
            row = db.execute(f"SELECT {counts} FROM seen WHERE {scope}").fetchone()  # noqa: S608 - rules are code
            found[scope] = dict(zip(names, row or (), strict=False))
    return {rule.id: {name for name in rule.columns if found[_where(rule)].get(name, 0)} for rule in rules}


def _where(rule: Rule) -> str:
    return rule.scope if isinstance(rule, SigmaRule) else "true"


def why_silent(rule: Rule, events: pa.Table) -> list[str]:
    """What of a rule these events (EVENT_SCHEMA) do not give it. Empty: it had all, and nothing matched."""
    with duckdb.connect(":memory:", config={"enable_external_access": False}) as db:
        db.register("seen", events)
        parts = rule.fields if isinstance(rule, SigmaRule) else tuple((name, name) for name in rule.columns)
        counts = "".join(f", count({sql})" for _, sql in parts)
        row = db.execute(f"SELECT count(*){counts} FROM seen WHERE {rule.scope}").fetchone()  # noqa: S608 - rules are code
    assert row is not None  # an aggregate always gives one row
    if not row[0]:
        kind = " ".join(rule.scope.split())
        return [f"none of the {events.num_rows:,} events is of the kind it looks at: {kind}"]
    return [
        f"none of the {row[0]:,} events of its kind has a value in {sql}"
        for (_, sql), count in zip(parts, row[1:], strict=True)
        if not count
    ]
