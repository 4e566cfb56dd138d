"""Runs all rules over a batch in one private DuckDB and makes findings of what they match.

Planning and scanning cost more than judging, so the columns that rules name are put into one table once a
batch, all statements are prepared once (DuckDB 2.0 binds and optimises at each EXECUTE all the same: that is
most of what a small batch costs), and a rule none of whose events are there does not run. Only
what matches is taken from the batch in full width.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from sekisho.contract import TABLES, Context, Rule
from sekisho.detect.facts import Facts, account_keys
from sekisho.detect.findings import findings
from sekisho.detect.sigma import SigmaRule
from sekisho.model import Finding
from sekisho.ocsf import EVENT_SCHEMA

#: Sigma conditions in one query (DuckDB plans a very wide projection slowly).
_TOGETHER = 250

#: Every batch has these in ``events``, whatever rules name.
_ALWAYS = frozenset(["event_uid", "time", "source", "class_uid"])


class _Asked(NamedTuple):
    """The prepared statements for Sigma rules of one log source."""

    rules: tuple[SigmaRule, ...]
    columns: tuple[str, ...]
    fill: str
    run: str
    clear: str


class Detector:
    """``rules`` as content gives them (``sekisho.detect.rules``). ``systems`` says under which systems of
    the table ``accounts`` the accounts of a source are kept; rules read it as table ``source_systems``.

    Not for several threads at once. ``unjudged`` counts, by (rule, reason), the events a rule could not
    judge since the start, or since the caller last emptied it.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        systems: Mapping[str, tuple[str, ...]] | None = None,
        memory: str = "256MB",
        threads: int = 1,
    ) -> None:
        self.rules = tuple(rules)
        self.unjudged: Counter[tuple[str, str]] = Counter()
        self._queried = [rule for rule in rules if not isinstance(rule, SigmaRule)]
        by_scope: dict[str, list[SigmaRule]] = defaultdict(list)
        for rule in rules:
            if isinstance(rule, SigmaRule):
                by_scope[rule.scope].append(rule)
        self._sigma = [
            (scope, tuple(together[start : start + _TOGETHER]))
            for scope, together in by_scope.items()
            for start in range(0, len(together), _TOGETHER)
        ]
        self._scopes = {scope: n for n, scope in enumerate(dict.fromkeys(rule.scope for rule in rules))}
        texts = [f"{rule.query} {rule.unjudged}" for rule in self._queried]
        self._columns = _named(*self._scopes, *texts)
        self._asked: dict[tuple[str, str], _Asked] = {}
        self._facts: Facts | None = None
        self._db = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": memory,
                "threads": threads,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "enable_external_access": False,
            },
        )
        self._db.execute("SET TimeZone = 'UTC'")
        self._systems = dict(systems or {})
        pairs = [(source, name) for source, names in (systems or {}).items() for name in names]
        self._table(
            "source_systems",
            pa.table(
                {
                    "source": pa.array([source for source, _ in pairs], pa.string()),
                    "system": pa.array([name for _, name in pairs], pa.string()),
                }
            ),
        )
        self._table("batch", EVENT_SCHEMA.empty_table().select(self._columns))

    def run(self, events: pa.Table, context: Context) -> list[Finding]:
        """Findings of ``events`` (EVENT_SCHEMA), ordered by rule, subject and anchor."""
        if not self.rules:
            return []
        facts = self._load(context)
        if events.num_rows == 0:
            return []
        self._fill(events)
        present = self._present()
        found = [
            finding
            for rule, matched in self._matches(events, present)
            if matched.num_rows
            for finding in findings(rule, matched, facts)
        ]
        self._count_unjudged(present)
        return sorted(found, key=lambda finding: (finding.rule, finding.subject, finding.anchor))

    def _fill(self, events: pa.Table) -> None:
        self._db.execute("TRUNCATE batch")
        self._db.register("incoming", events.select(self._columns))
        try:
            self._db.execute("INSERT INTO batch SELECT * FROM incoming")
        finally:
            self._db.unregister("incoming")

    def _present(self) -> frozenset[str]:
        """The scopes that at least one event is in."""
        (row,) = zip(*self._execute("scopes").to_pydict().values(), strict=True)
        return frozenset(scope for scope, flag in zip(self._scopes, row, strict=True) if flag)

    def _matches(self, events: pa.Table, present: frozenset[str]) -> Iterator[tuple[Rule, pa.Table]]:
        for rule in self._queried:
            if rule.scope in present:
                yield rule, _whole(self._query(rule, "query"), events, rule)
        for scope, together in self._sigma:
            if scope in present:
                yield from self._sigma_matches(scope, together, events)

    def _sigma_matches(
        self, scope: str, together: tuple[SigmaRule, ...], events: pa.Table
    ) -> Iterator[tuple[Rule, pa.Table]]:
        """All conditions of one log source in one query that yields only the rows that any matches."""
        asked = self._asked.get((scope, together[0].id)) or self._prepare(scope, together)
        slim = events.select(asked.columns).append_column(
            "_row", pa.array(range(events.num_rows), pa.int64())
        )
        self._db.register("sigma_events", slim)
        try:
            self._db.execute(asked.clear)
            self._db.execute(asked.fill)
        finally:
            self._db.unregister("sigma_events")
        found: dict[int, list[int]] = defaultdict(list)
        for number, row in self._db.execute(asked.run).fetchall():
            found[number].append(row)
        for number in sorted(found):
            yield together[number], _rows(events, sorted(found[number]))

    def _prepare(self, scope: str, together: tuple[SigmaRule, ...]) -> _Asked:
        """Planning some hundred conditions takes longer than a batch: it is done once."""
        name = f"sigma_{len(self._asked)}"
        named = {alias: sql for rule in together for alias, sql in rule.fields}
        fields = "".join(f", {sql} AS {alias}" for alias, sql in named.items())
        # a filter stops at the first condition that fails; a projection would compute them all
        branches = " UNION ALL ".join(
            f"SELECT {n} AS rule, _row FROM {name} WHERE {rule.condition}"  # noqa: S608 - compiled, values escaped
            for n, rule in enumerate(together)
        )
        columns = tuple(sorted({column for rule in together for column in rule.columns}))
        select = f"SELECT _row{fields} FROM sigma_events WHERE {scope}"  # noqa: S608 - compiled, values escaped
        empty = EVENT_SCHEMA.empty_table().select(columns).append_column("_row", pa.array([], pa.int64()))
        self._db.register("sigma_events", empty)
        self._db.execute(f"CREATE TABLE {name} AS {select}")
        self._db.unregister("sigma_events")
        self._db.execute(f"PREPARE {name}_run AS {branches}")
        asked = _Asked(
            together, columns, f"INSERT INTO {name} {select}", f"EXECUTE {name}_run", f"TRUNCATE {name}"
        )
        self._asked[scope, together[0].id] = asked
        return asked

    def _query(self, rule: Rule, kind: str) -> pa.Table:
        try:
            return self._execute(_statement(rule, kind))
        except duckdb.Error as error:
            error.add_note(f"in the {kind} of rule {rule.id}")
            raise

    def _execute(self, name: str) -> pa.Table:
        return self._db.sql(f"EXECUTE {name}").to_arrow_table()

    def _plan(self) -> None:
        """Statements of all rules; a rule with a broken one fails here, whatever the batch holds."""
        flags = ", ".join(f"coalesce(bool_or({scope}), false)" for scope in self._scopes)
        self._db.execute(f"PREPARE scopes AS SELECT {flags} FROM batch")  # noqa: S608 - rules are code
        for rule in self._queried:
            for kind, query in (("query", rule.query), ("unjudged", rule.unjudged)):
                events = f"events AS NOT MATERIALIZED (SELECT * FROM batch WHERE {rule.scope})"  # noqa: S608 - as above
                try:
                    if query:
                        self._db.execute(
                            f"PREPARE {_statement(rule, kind)} AS WITH {events} SELECT * FROM ({query})"  # noqa: S608 - as above
                        )
                except duckdb.Error as error:
                    error.add_note(f"in the {kind} of rule {rule.id}")
                    raise

    def _count_unjudged(self, present: frozenset[str]) -> None:
        for rule in self._queried:
            if rule.unjudged and rule.scope in present:
                for row in self._query(rule, "unjudged").to_pylist():
                    if row["events"]:
                        self.unjudged[rule.id, row["reason"]] += row["events"]

    def _load(self, context: Context) -> Facts:
        if self._facts is None or self._facts.version != context.version:
            for name in TABLES:
                self._table(name, context.tables[name])
            self._table("account_keys", account_keys(context.tables["accounts"], self._systems))
            if self._facts is None:
                self._plan()
            self._facts = Facts(context)
        return self._facts

    def _table(self, name: str, content: pa.Table) -> None:
        self._db.register("incoming", content)
        self._db.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM incoming")  # noqa: S608 - our names
        self._db.unregister("incoming")


def _statement(rule: Rule, kind: str) -> str:
    return '"' + f"{kind} {rule.id}".replace('"', "") + '"'


def _named(*sql: str) -> list[str]:
    """The event columns that these texts name, in the schema's order."""
    words = {word.lower() for text in sql for word in re.findall(r"\w+", text)} | _ALWAYS
    return [name for name in EVENT_SCHEMA.names if name in words]


def _rows(events: pa.Table, rows: Sequence[int]) -> pa.Table:
    """Few rows are copied one by one: ``take`` would first join the chunks of every column."""
    if len(rows) > 100:
        return events.take(pa.array(rows, pa.int64()))
    return pa.concat_tables([events.slice(row, 1) for row in rows]).combine_chunks()


def _whole(matched: pa.Table, events: pa.Table, rule: Rule) -> pa.Table:
    """The matching rows with all columns of the events and the facts that the query added."""
    if matched.num_rows == 0:
        return matched
    if "event_uid" not in matched.column_names:
        raise ValueError(f"rule {rule.id}: its query must return all columns of events (SELECT e.*, ...)")
    rows = pc.index_in(matched.column("event_uid"), events.column("event_uid"))
    whole = _rows(events, rows.to_pylist())
    for name in matched.column_names:
        if name not in EVENT_SCHEMA.names:
            whole = whole.append_column(name, matched.column(name))
    return whole
