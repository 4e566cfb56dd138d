"""Runs all rules over a batch in one private DuckDB and makes findings of what they match."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from sekisho.contract import TABLES, Context, Rule, Told
from sekisho.detect.facts import Facts
from sekisho.detect.sigma import SigmaRule
from sekisho.model import Evidence, Finding
from sekisho.ocsf import EVENT_SCHEMA

#: Pieces of evidence that one finding of one batch carries; ``count`` says how many there were.
EVIDENCE_KEPT = 1000

#: Sigma conditions in one query (DuckDB plans a very wide projection slowly).
_TOGETHER = 250

#: Shown for each piece of evidence where the rule does not say.
_SHOWN = (
    "account",
    "src_endpoint_ip",
    "device_hostname",
    "activity_name",
    "metadata_event_code",
    "status",
    "process_cmd_line",
    "api_operation",
    "resource_name",
    "message",
)

#: The table ``accounts`` by source and folded name, for the joins of rules (``*``: every source).
_ACCOUNT_KEYS = """
CREATE OR REPLACE TABLE account_keys AS
SELECT CASE WHEN a.system = '*' THEN '*' ELSE coalesce(s.source, lower(trim(a.system))) END AS source,
       lower(trim(a.account)) AS key, a.person_id, a.kind, a.privileged, a.mfa_required,
       a.valid_from, a.valid_to
FROM accounts a LEFT JOIN source_systems s ON lower(trim(s.system)) = lower(trim(a.system))
"""


class _Asked(NamedTuple):
    """The prepared statements for the Sigma rules of one log source."""

    columns: tuple[str, ...]
    fill: str
    run: str
    clear: str


class _Hit(NamedTuple):
    event: Mapping[str, Any]
    told: Told


class Detector:
    """``rules`` as content gives them (``sekisho.detect.rules``). ``systems`` says under which systems of
    the table ``accounts`` the accounts of a source are kept; rules read it as table ``source_systems``.

    Not for several threads at once. ``unjudged`` counts, by (rule, reason), the events a rule could not
    judge since the start.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        systems: Mapping[str, tuple[str, ...]] | None = None,
        memory: str = "256MB",
        threads: int = 2,
    ) -> None:
        self.rules = tuple(rules)
        self.unjudged: Counter[tuple[str, str]] = Counter()
        self._queried = [rule for rule in rules if not isinstance(rule, SigmaRule)]
        self._scopes: dict[str, list[SigmaRule]] = defaultdict(list)
        for rule in rules:
            if isinstance(rule, SigmaRule):
                self._scopes[rule.scope].append(rule)
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

    def run(self, events: pa.Table, context: Context) -> list[Finding]:
        """Findings of ``events`` (EVENT_SCHEMA), ordered by rule, subject and anchor."""
        facts = self._load(context)
        if events.num_rows == 0:
            return []
        self._db.register("events", events)
        try:
            findings = [
                finding
                for rule, matched in self._matches(events)
                if matched.num_rows
                for finding in _findings(rule, matched, facts)
            ]
            self._count_unjudged()
        finally:
            self._db.unregister("events")
        return sorted(findings, key=lambda finding: (finding.rule, finding.subject, finding.anchor))

    def _matches(self, events: pa.Table) -> Iterator[tuple[Rule, pa.Table]]:
        for rule in self._queried:
            yield rule, self._query(rule, rule.query)
        for scope, together in self._scopes.items():
            for start in range(0, len(together), _TOGETHER):
                yield from self._sigma(scope, together[start : start + _TOGETHER], events)

    def _sigma(
        self, scope: str, together: Sequence[SigmaRule], events: pa.Table
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
        found = self._db.execute(asked.run).fetchall()
        for number, rule in enumerate(together, start=1):
            mine = sorted(row[0] for row in found if row[number])
            if mine:
                yield rule, events.take(pa.array(mine, pa.int64()))

    def _prepare(self, scope: str, together: Sequence[SigmaRule]) -> _Asked:
        """Planning some hundred conditions takes longer than a batch: it is done once."""
        name = f"sigma_{len(self._asked)}"
        named = {alias: sql for rule in together for alias, sql in rule.fields}
        fields = "".join(f", {sql} AS {alias}" for alias, sql in named.items())
        flags = ", ".join(f"coalesce({rule.condition}, false) AS m{n}" for n, rule in enumerate(together))
        some = " OR ".join(f"m{n}" for n in range(len(together)))
        columns = tuple(sorted({column for rule in together for column in rule.columns}))
        select = f"SELECT _row{fields} FROM sigma_events WHERE {scope}"  # noqa: S608 - compiled, values escaped
        empty = EVENT_SCHEMA.empty_table().select(columns).append_column("_row", pa.array([], pa.int64()))
        self._db.register("sigma_events", empty)
        self._db.execute(f"CREATE TABLE {name} AS {select}")
        self._db.unregister("sigma_events")
        self._db.execute(
            f"PREPARE {name}_run AS SELECT * FROM (SELECT _row, {flags} FROM {name}) WHERE {some}"  # noqa: S608 - as above
        )
        asked = _Asked(columns, f"INSERT INTO {name} {select}", f"EXECUTE {name}_run", f"TRUNCATE {name}")
        self._asked[scope, together[0].id] = asked
        return asked

    def _query(self, rule: Rule, query: str) -> pa.Table:
        try:
            return self._db.sql(query).to_arrow_table()
        except duckdb.Error as error:
            error.add_note(f"in the query of rule {rule.id}")
            raise

    def _count_unjudged(self) -> None:
        for rule in self._queried:
            if rule.unjudged:
                for row in self._query(rule, rule.unjudged).to_pylist():
                    if row["events"]:
                        self.unjudged[rule.id, row["reason"]] += row["events"]

    def _load(self, context: Context) -> Facts:
        if self._facts is None or self._facts.version != context.version:
            for name in TABLES:
                self._table(name, context.tables[name])
            self._db.execute(_ACCOUNT_KEYS)
            self._facts = Facts(context)
        return self._facts

    def _table(self, name: str, content: pa.Table) -> None:
        self._db.register("incoming", content)
        self._db.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM incoming")  # noqa: S608 - our names
        self._db.unregister("incoming")


def _findings(rule: Rule, matched: pa.Table, facts: Facts) -> list[Finding]:
    """Group by what the rule says it is about. A row that a join doubled counts once."""
    groups: dict[tuple[str, str], dict[str, _Hit]] = defaultdict(dict)
    for row in _rows(matched):
        event = facts.add(row)
        told = rule.tell(event)
        hits = groups[told.subject, told.anchor]
        known = hits.get(event["event_uid"])
        if known is None or _weight(told) > _weight(known.told):
            hits[event["event_uid"]] = _Hit(event, told)
    return [_finding(rule, hits.values()) for hits in groups.values()]


def _rows(matched: pa.Table) -> Iterable[dict[str, Any]]:
    rows: list[dict[str, Any]] = matched.to_pylist()
    for row in rows:
        for name in ("time", "ingested_at"):
            if isinstance(row.get(name), datetime):
                row[name] = row[name].astimezone(UTC)
        yield row


def _weight(told: Told) -> tuple[int, str, str]:
    return told.severity, told.what.ja, told.what.en


def _finding(rule: Rule, hits: Iterable[_Hit]) -> Finding:
    """The gravest event speaks (the earliest of equals); all are evidence."""
    ordered = sorted(hits, key=lambda hit: (hit.event["time"], hit.event["event_uid"]))
    gravest = max(hit.told.severity for hit in ordered)
    first = next(hit for hit in ordered if hit.told.severity == gravest)
    shown = rule.shown or _SHOWN
    return Finding(
        rule=rule.id,
        subject=first.told.subject,
        anchor=first.told.anchor,
        severity=gravest,
        title=rule.title,
        what=first.told.what,
        why=rule.why,
        todo=rule.todo,
        advisory=rule.advisory,
        attack=rule.attack,
        evidence=tuple(_evidence(hit.event, shown) for hit in ordered[:EVIDENCE_KEPT]),
        count=len(ordered),
        person=first.event.get("person_uid") or "",
        zone=first.event["zone"] if first.event.get("person_uid") else "",
        author=rule.author,
    )


def _evidence(event: Mapping[str, Any], shown: Sequence[str]) -> Evidence:
    facts = tuple((name, _text(event[name])) for name in shown if event.get(name) not in (None, ""))
    return Evidence(event["time"], event["event_uid"], event["source"], facts)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)[:2000]


assert set(_SHOWN) <= set(EVENT_SCHEMA.names)
