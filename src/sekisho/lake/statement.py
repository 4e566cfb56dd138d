"""Which SQL a person may run: one SELECT over ``events``, read from the engine's own parse tree.

Whatever the tree holds that is not listed here is refused, so a new way in stays shut until it is judged.
"""

from __future__ import annotations

import json
from typing import Any

import duckdb

from sekisho.model import Refused

LONGEST = 100_000
#: Table functions that make rows of their arguments, and of nothing else.
_FUNCTIONS = frozenset(
    {"range", "generate_series", "unnest", "json_each", "json_tree", "regexp_split_to_table", "repeat"}
)
#: What a FROM may hold.
_REFS = frozenset(
    {"BASE_TABLE", "EMPTY", "EMPTY_FROM", "JOIN", "SUBQUERY", "EXPRESSION_LIST", "TABLE_FUNCTION", "SHOW_REF"}
)
#: Functions that tell of the engine or of the machine instead of the events.
_SCALARS = frozenset(
    {
        "current_setting",
        "getenv",
        "getvariable",
        "current_query",
        "write_log",
        "current_database",
        "current_schemas",
    }
)
_EXAMPLE = "give one SELECT, for example: SELECT source, count(*) FROM events GROUP BY source"


def check(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raises ``Refused`` with the reason unless ``sql`` is one SELECT that reads only ``events``."""
    if len(sql) > LONGEST:
        raise Refused(f"the statement is longer than {LONGEST:,} characters", "shorten it")
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise Refused(str(error)) from error
    if len(statements) != 1:
        raise Refused(f"{len(statements)} statements instead of one", "give one SELECT")
    if statements[0].type != duckdb.StatementType.SELECT:
        raise Refused(f"{statements[0].type.name} is not allowed: the lake is read-only here", _EXAMPLE)
    _walk(_tree(connection, sql))


def _tree(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    try:
        rows = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
    except duckdb.Error as error:
        raise Refused(f"the statement cannot be checked: {error}", _EXAMPLE) from error
    tree = json.loads(rows[0][0])
    if tree.get("error", True):
        raise Refused(f"not allowed: {tree.get('error_message', 'it cannot be read')}", _EXAMPLE)
    return tree


def _walk(root: Any) -> None:
    waiting = [root]
    names: set[str] = set()
    tables: list[str] = []
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            _node(node, tables)
            if "cte_map" in node:
                names.update(str(entry["key"]).lower() for entry in node["cte_map"].get("map", []))
            waiting.extend(node.values())
    for name in tables:
        if name.lower() != "events" and name.lower() not in names:
            raise Refused(f"not allowed: the table or file {name}", "only the table `events` can be read")


def _node(node: dict[str, Any], tables: list[str]) -> None:
    kind = node.get("type")
    if "column_name_alias" in node and kind not in _REFS:
        raise Refused(f"not allowed: {kind}", "only the table `events` can be read")
    if kind == "BASE_TABLE":
        tables.append(_plain_name(node))
    elif kind == "SHOW_REF":
        if node.get("table_name") and not node.get("query"):
            raise Refused(f"not allowed: SHOW {node['table_name']}", "only the table `events` can be read")
    elif kind == "TABLE_FUNCTION":
        name = str((node.get("function") or {}).get("function_name", "?"))
        if name.lower() not in _FUNCTIONS:
            raise Refused(f"not allowed: the table function {name}", "only the table `events` can be read")
    elif kind == "FUNCTION" and str(node.get("function_name")).lower() in _SCALARS:
        raise Refused(f"not allowed: the function {node['function_name']}", "ask about columns of `events`")


def _plain_name(node: dict[str, Any]) -> str:
    place = [str(node.get(part) or "") for part in ("catalog_name", "schema_name")]
    name = str(node.get("table_name"))
    if any(part.lower() not in {"", "main", "memory"} for part in place):
        raise Refused(f"not allowed: {'.'.join([*place, name])}", "only the table `events` can be read")
    if not name.isidentifier():
        raise Refused(f"not allowed: the table or file {name!r}", "only the table `events` can be read")
    return name
