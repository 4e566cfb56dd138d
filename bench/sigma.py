# ruff: noqa: E501 - tables and SQL
"""Sigma: our runner against Zircolite's published way, on the same events and the same rules.

Zircolite flattens each event into a row of one SQLite table and runs each rule's SQL over it. The baseline
below does that in our own words: the columns that the rules need, in SQLite in memory, one SELECT per rule,
with the same compiled conditions (DuckDB's functions put into SQLite's words). Both must match equally.

``python -m bench.sigma [--events 20000] [--rules FOLDER] [--count 100]``
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from sekisho.contract import Context
from sekisho.contract.discovery import discover
from sekisho.detect import Detector, rules
from sekisho.detect.sigma import SigmaRule, load
from sekisho.ocsf import EVENT_SCHEMA

IMAGES = (
    "chrome.exe",
    "node.exe",
    "svchost.exe",
    "powershell.exe",
    "cmd.exe",
    "Code.exe",
    "git.exe",
    "whoami.exe",
)
LINES = (
    "--type=renderer",
    "/c dir",
    "-k netsvcs -p",
    "-NoProfile -Command Get-Date",
    "status --short",
    "certutil -urlcache",
)


def events(count: int) -> pa.Table:
    """Process starts as Sysmon records them, seeded; every 500th would interest somebody."""
    chance = random.Random(7)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        image, parent = chance.choice(IMAGES), chance.choice(IMAGES)
        line = (
            f'"C:\\Program Files\\{image}" {chance.choice(LINES)} --id={chance.randrange(1 << 30):x} '
            + "x" * 60
        )
        if number % 500 == 0:
            image, line = "powershell.exe", "powershell.exe -EncodedCommand " + "SQBFAFgA" * 8
        rows.append(
            {
                "time": 1_780_000_000_000_000 + number, "event_uid": f"{number:032x}", "source": "sysmon", "class_uid": 1007,
                "activity_id": 1, "metadata_log_provider": "Microsoft-Windows-Sysmon", "metadata_event_code": "1",
                "device_hostname": f"pc{number % 100}", "actor_user_name": "seki", "actor_user_domain": "CORP",
                "process_file_path": f"C:\\Program Files\\{image}", "process_cmd_line": line,
                "process_parent_process_file_path": f"C:\\Windows\\{parent}", "raw": line,
                "unmapped": json.dumps({"OriginalFileName": image, "IntegrityLevel": "Medium", "Hashes": "SHA256=00"}),
            }
        )  # fmt: skip
    return pa.Table.from_arrays(
        [pa.array([row.get(field.name) for row in rows], field.type) for field in EVENT_SCHEMA],
        schema=EVENT_SCHEMA,
    )


def ours(table: pa.Table, chosen: list[SigmaRule], batch: int) -> tuple[float, dict[str, int]]:
    detector = Detector(chosen, threads=2)
    detector.run(table.slice(0, 10), Context())
    counts: dict[str, int] = {}
    start = time.perf_counter()
    for offset in range(0, table.num_rows, batch):
        for finding in detector.run(table.slice(offset, batch), Context()):
            counts[finding.rule] = counts.get(finding.rule, 0) + finding.count
    return time.perf_counter() - start, counts


def sqlite_words(sql: str) -> str:
    """The few functions that differ."""
    return (
        sql.replace("json_extract_string(", "json_extract(")
        .replace("CAST(", "CAST(")
        .replace("AS VARCHAR", "AS TEXT")
    )


def baseline(table: pa.Table, chosen: list[SigmaRule], batch: int) -> tuple[float, dict[str, int]]:
    """Flatten into SQLite, then one query per rule, batch by batch."""
    columns = sorted({column for rule in chosen for column in rule.columns} | {"event_uid"})
    queries = [
        (
            rule.id,
            (
                f"SELECT count(*) FROM (SELECT {', '.join(f'{sqlite_words(sql)} AS {alias}' for alias, sql in rule.fields)}"
                f" FROM logs WHERE {sqlite_words(rule.scope)}) WHERE {sqlite_words(rule.condition)}"
            ),
        )
        for rule in chosen
    ]
    counts: dict[str, int] = {}
    start = time.perf_counter()
    for offset in range(0, table.num_rows, batch):
        rows = table.slice(offset, batch).select(columns).to_pylist()
        connection = sqlite3.connect(":memory:")
        _functions(connection)
        connection.execute(f"CREATE TABLE logs ({', '.join(columns)})")
        connection.executemany(
            f"INSERT INTO logs VALUES ({', '.join('?' * len(columns))})",
            [tuple(row.values()) for row in rows],
        )
        for rule_id, query in queries:
            found = connection.execute(query).fetchone()[0]
            if found:
                counts[rule_id] = counts.get(rule_id, 0) + found
        connection.close()
    return time.perf_counter() - start, counts


def _functions(connection: sqlite3.Connection) -> None:
    def null(function: Any) -> Any:
        return lambda *values: None if None in values else function(*values)

    for name, count, function in (
        ("contains", 2, lambda text, part: part in text),
        ("starts_with", 2, str.startswith),
        ("ends_with", 2, str.endswith),
        ("regexp_matches", 2, lambda text, pattern: re.search(pattern, text) is not None),
        ("chr", 1, chr),
    ):
        connection.create_function(name, count, null(function), deterministic=True)
    connection.create_function(
        "concat_ws", -1, lambda glue, *parts: glue.join(p for p in parts if p is not None)
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument(
        "--rules", type=Path, help="folder of public Sigma rules (process_creation/windows is taken)"
    )
    parser.add_argument("--count", type=int, default=100, help="how many of them")
    args = parser.parse_args(argv)
    chosen = [rule for rule in rules(discover()) if isinstance(rule, SigmaRule)]
    chosen = [
        rule
        for rule in chosen
        if rule.scope.startswith("class_uid = 1007") and "Linux-Sysmon' OR" not in rule.scope
    ]
    if args.rules:
        for path in sorted(args.rules.rglob("windows/process_creation/*.yml")):
            rule = load(path, path.stem, shown=path.name, own=False)
            if isinstance(rule, SigmaRule) and "TRY_CAST" not in rule.condition and len(chosen) < args.count:
                chosen.append(rule)
    table = events(args.events)
    seconds, found = ours(table, chosen, args.batch)
    slower, found_there = baseline(table, chosen, args.batch)
    print(f"{len(chosen)} rules, {args.events:,} events, batches of {args.batch:,}")
    print(
        f"Sekisho   {args.events / seconds:12,.0f} events/s  ({seconds / args.events * args.batch * 1e3:.0f} ms a batch)"
    )
    print(f"baseline  {args.events / slower:12,.0f} events/s  (SQLite table per batch, one query per rule)")
    same = found == found_there
    print(
        f"matches   {sum(found.values())} and {sum(found_there.values())}: {'equal by rule' if same else 'DIFFERENT'}"
    )
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
