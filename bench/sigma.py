"""Sigma: our runner against Zircolite's published way, on the same events and the same rules.

The baseline does what Zircolite documents: every event is flattened into a row of one SQLite table (one
``TEXT COLLATE NOCASE`` column per field, an index on EventID), the SQL is that of
``pysigma-backend-sqlite``, and each rule is one SELECT. Both sides begin with the same flat records and
are timed with and without loading them; the matching events must be the same for every rule.

``python -m bench.sigma --rules FOLDER [--events 20000] [--batch 10000] [--count 100]``

FOLDER holds public Sigma rules; the first ``count`` of process_creation/windows that both sides compile
are taken, in a seeded random order.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sqlite3
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from sigma.backends.sqlite import sqliteBackend  # type: ignore[attr-defined]
from sigma.collection import SigmaCollection

from sekisho.contract import Context
from sekisho.detect import Detector
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
LINES = ("--type=renderer", "/c dir", "-k netsvcs -p", "-NoProfile -Command Get-Date", "status --short",
         "certutil -urlcache")  # fmt: skip
Matches = dict[str, set[str]]


class Timed(NamedTuple):
    loading: float
    judging: float
    matches: Matches


def flat(count: int) -> list[dict[str, Any]]:
    """Process starts as Sysmon records them, seeded; every 500th would interest somebody."""
    chance = random.Random(7)
    rows = []
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
                "event_uid": f"{number:032x}", "EventID": "1", "Provider_Name": "Microsoft-Windows-Sysmon",
                "Computer": f"pc{number % 100}", "User": "CORP\\seki", "Image": f"C:\\Program Files\\{image}",
                "CommandLine": line, "ParentImage": f"C:\\Windows\\{parent}", "OriginalFileName": image,
                "IntegrityLevel": "Medium", "Hashes": "SHA256=00",
            }
        )  # fmt: skip
    return rows


def table(rows: list[dict[str, Any]]) -> pa.Table:
    """The same records as events."""
    mapped = [
        {
            "time": 1_780_000_000_000_000, "event_uid": row["event_uid"], "source": "sysmon", "class_uid": 1007,
            "activity_id": 1, "metadata_log_provider": row["Provider_Name"], "metadata_event_code": row["EventID"],
            "device_hostname": row["Computer"], "actor_user_name": "seki", "actor_user_domain": "CORP",
            "process_file_path": row["Image"], "process_cmd_line": row["CommandLine"],
            "process_parent_process_file_path": row["ParentImage"], "raw": row["CommandLine"],
            "unmapped": json.dumps({name: row[name] for name in ("OriginalFileName", "IntegrityLevel", "Hashes")}),
        }
        for row in rows
    ]  # fmt: skip
    return pa.Table.from_arrays(
        [
            pa.array([row[field.name] for row in mapped], field.type)
            if field.name in mapped[0]
            else pa.nulls(len(mapped), field.type)
            for field in EVENT_SCHEMA
        ],
        schema=EVENT_SCHEMA,
    )


def ours(rows: list[dict[str, Any]], rules: list[SigmaRule], batch: int) -> Timed:
    detector = Detector(rules)
    detector.run(table(rows[:10]), Context())
    matches: Matches = defaultdict(set)
    loading = judging = 0.0
    for part in _batches(rows, batch):
        start = time.perf_counter()
        events = table(part)
        loaded = time.perf_counter()
        findings = detector.run(events, Context())
        judging += time.perf_counter() - loaded
        loading += loaded - start
        for finding in findings:
            assert finding.count == len(finding.evidence)
            matches[finding.rule] |= {piece.event_uid for piece in finding.evidence}
    return Timed(loading, judging, dict(matches))


def baseline(rows: list[dict[str, Any]], queries: dict[str, str], fields: list[str], batch: int) -> Timed:
    matches: Matches = defaultdict(set)
    loading = judging = 0.0
    columns = ", ".join(f'"{name}" TEXT COLLATE NOCASE' for name in fields)
    for part in _batches(rows, batch):
        start = time.perf_counter()
        connection = sqlite3.connect(":memory:")
        connection.create_function("REGEXP", 2, _regexp, deterministic=True)
        connection.execute(f"CREATE TABLE logs ({columns})")
        connection.executemany(
            f"INSERT INTO logs VALUES ({', '.join('?' * len(fields))})",
            [tuple(row.get(name) for name in fields) for row in part],
        )
        connection.execute("CREATE INDEX by_event ON logs (EventID)")
        loaded = time.perf_counter()
        for rule_id, query in queries.items():
            if found := connection.execute(query).fetchall():
                matches[rule_id] |= {row[0] for row in found}
        judging += time.perf_counter() - loaded
        loading += loaded - start
        connection.close()
    return Timed(loading, judging, dict(matches))


def _batches(rows: list[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _regexp(pattern: str, value: str | None) -> bool:
    return value is not None and re.search(pattern, value) is not None


def chosen(folder: Path, count: int) -> tuple[list[SigmaRule], dict[str, str], list[str]]:
    """Rules that both compile; the baseline's queries and every field they read."""
    rules: list[SigmaRule] = []
    queries: dict[str, str] = {}
    fields = set(flat(1)[0])
    paths = sorted(folder.rglob("windows/process_creation/*.yml"))
    random.Random(7).shuffle(paths)
    for path in paths:
        rule = load(path, path.stem, shown=path.name, own=False)
        if not isinstance(rule, SigmaRule) or len(rules) >= count:
            continue
        collection = SigmaCollection.from_yaml(path.read_text(encoding="utf-8"))
        backend: Any = sqliteBackend()  # type: ignore[no-untyped-call]
        conditions = backend.convert(collection)
        found: set[str] = set()
        for parsed in collection.rules:
            found |= set(backend.required_fields(parsed))
        rules.append(rule)
        fields |= found
        queries[rule.id] = " UNION ".join(
            sql.replace("SELECT * FROM", "SELECT event_uid FROM", 1) for sql in conditions
        )
    return rules, queries, sorted(fields)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--rules", type=Path, required=True, help="folder of public Sigma rules")
    parser.add_argument("--count", type=int, default=100, help="how many of them")
    args = parser.parse_args(argv)
    rules, queries, fields = chosen(args.rules, args.count)
    rows = flat(args.events)
    mine, theirs = ours(rows, rules, args.batch), baseline(rows, queries, fields, args.batch)
    print(f"{len(rules)} rules, {args.events:,} events, batches of {args.batch:,}")
    for name, timed in (("Sekisho", mine), ("SQLite", theirs)):
        whole = timed.loading + timed.judging
        print(
            f"{name:8} {args.events / whole:10,.0f} events/s with loading,"
            f" {args.events / timed.judging:10,.0f} without"
            f"  ({timed.judging / args.events * args.batch * 1e3:.0f} ms a batch)"
        )
    different = [
        rule.id for rule in rules if mine.matches.get(rule.id, set()) != theirs.matches.get(rule.id, set())
    ]
    total = sum(map(len, mine.matches.values()))
    print(f"matches  {total:,} of {len(mine.matches)} rules; {len(different)} rules differ {different}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
