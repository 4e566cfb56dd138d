"""Retro-hunt: 10,000 indicators against millions of events in one pass, beside what one would do otherwise.

python -m bench.hunt [--rows 5000000] [--indicators 10000] [--dir FOLDER]

Baselines in the same run over the same files: one search per indicator (a sample, extrapolated), and a plain
DuckDB semi-join per column (equal values only: no subdomains, no networks).
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from bench.lake import BATCH, batch
from sekisho import settings
from sekisho.lake import Lake, reader
from sekisho.lake import query as language
from sekisho.lake.engines.duckdb import DuckDB
from sekisho.lake.hunt import Hunt, table
from sekisho.lake.indicators import Indicator, make
from sekisho.lake.reader import Snapshot
from sekisho.lake.search import Search

PER_FILE = 10
SAMPLE = 40


def fill(folder: Path, rows: int) -> None:
    dice = np.random.default_rng(1)
    with Lake(folder, settings.Lake(), now=lambda: datetime(2026, 7, 1, tzinfo=UTC)) as lake:
        for number in range(0, rows // BATCH, PER_FILE):
            parts = [batch(number + n, dice) for n in range(PER_FILE)]
            lake.commit(pa.concat_tables(parts), number)


def wanted(count: int) -> list[Indicator]:
    """Mostly indicators that never occur, as in life; some that do."""
    dice = np.random.default_rng(2)
    found = [make("", f"h{n}.example.com") for n in range(50)]
    found += [make("", f"203.0.{n}.{n}") for n in range(50)]
    found += [make("", "198.51.100.0/24"), make("", "203.0.113.0/24"), make("", "evil.example")]
    while len(found) < count:
        n = len(found)
        kind = n % 5
        if kind == 0:
            found.append(make("", f"c2-{n}.bad{n % 97}.example"))
        elif kind == 1:
            found.append(make("", f"198.18.{n % 256}.{dice.integers(0, 256)}"))
        elif kind == 2:
            found.append(make("", f"{n:064x}"))
        elif kind == 3:
            found.append(make("", f"https://bad{n}.example/a/{n}"))
        else:
            found.append(make("", f"mallory{n}@bad.example"))
    return found


def cpu() -> float:
    """Processor seconds of this process: what a busy machine does not change."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def hunt(snapshot: Snapshot, indicators: list[Indicator]) -> tuple[float, dict[str, int]]:
    engine = DuckDB(settings.Lake())
    start = time.perf_counter()
    one = Hunt(snapshot, engine, indicators)
    one.run(lambda _: None)
    result = table(one.found.values())
    took = time.perf_counter() - start
    engine.close()
    return took, dict(zip(result["value"].to_pylist(), result["n"].to_pylist(), strict=True))


FIELD = {"domain": "domain", "ip": "ip", "net": "ip", "sha256": "hash", "url": "url", "email": "user"}


def one_by_one(snapshot: Snapshot, indicators: list[Indicator]) -> tuple[float, dict[str, int]]:
    """Seconds for all of them, from a sample; and the counts of the sample."""
    engine = DuckDB(settings.Lake())
    step = max(1, len(indicators) // SAMPLE)
    chosen = indicators[::step][:SAMPLE]
    counts = {}
    start = time.perf_counter()
    for held in chosen:
        query = f'{FIELD[held.kind]}:"{held.value}"'
        condition = language.compile(query, ZoneInfo("Asia/Tokyo"), datetime(2026, 7, 1, tzinfo=UTC))
        counts[held.value] = Search(snapshot, engine, condition).count()
    took = (time.perf_counter() - start) / len(chosen) * len(indicators)
    engine.close()
    return took, counts


COLUMNS = (
    "src_endpoint_ip",
    "dst_endpoint_ip",
    "device_ip",
    "query_hostname",
    "http_request_url_hostname",
    "dst_endpoint_hostname",
    "src_endpoint_hostname",
    "tls_sni",
    "answers_rdata",
    "http_request_url_url_string",
    "user_email_addr",
    "actor_user_email_addr",
    "user_name",
    "actor_user_name",
    "account",
    "process_file_hash_sha256",
    "file_hash_sha256",
)


def semi_join(snapshot: Snapshot, indicators: list[Indicator]) -> tuple[float, int]:
    engine = DuckDB(settings.Lake(duckdb_memory="2GB"))
    values = [held.value for held in indicators]
    paths = snapshot.paths(snapshot.files)
    start = time.perf_counter()
    hits = 0
    for column in COLUMNS:
        sql = (
            f"SELECT {column} AS v, count(*) AS n, min(time) AS a, max(time) AS b FROM events"
            f" WHERE lower({column}) IN (SELECT unnest(?)) GROUP BY ALL"
        )
        hits += sum(engine.select(paths, sql, [values])["n"].to_pylist())
    took = time.perf_counter() - start
    engine.close()
    return took, hits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--indicators", type=int, default=10_000)
    parser.add_argument("--dir", type=Path)
    options = parser.parse_args()
    folder = options.dir or Path(tempfile.mkdtemp(prefix="sekisho-hunt-"))
    if not (folder / "manifest.sqlite3").exists():
        fill(folder, options.rows)
    snapshot = reader.snapshot(folder)
    indicators = wanted(options.indicators)
    print(f"{snapshot.rows:,} events in {len(snapshot.files)} files, {len(indicators):,} indicators")
    hunt(snapshot, indicators[:10])  # the files are in the page cache for all that follows
    marks = [cpu()]
    took, counts = hunt(snapshot, indicators)
    marks.append(cpu())
    one, _ = hunt(snapshot, indicators[:1])
    marks.append(cpu())
    joined, hits = semi_join(snapshot, indicators)
    marks.append(cpu())
    slow, sample = one_by_one(snapshot, indicators)
    used = [after - before for before, after in pairwise(marks)]
    agree = all(counts.get(value, 0) == n for value, n in sample.items())
    print("| way | seconds | processor seconds |")
    print("|---|---|---|")
    print(f"| one pass, {len(indicators):,} indicators | {took:.1f} | {used[0]:.1f} |")
    print(f"| one pass, 1 indicator | {one:.1f} | {used[1]:.1f} |")
    print(f"| plain DuckDB semi-join, equal values only | {joined:.1f} | {used[2]:.1f} |")
    print(f"| one search per indicator ({SAMPLE} measured, extrapolated) | {slow:,.0f} | |")
    print(f"hits of the pass {sum(counts.values()):,}, of the semi-join {hits:,}; sample agrees: {agree}")
    print(f"greatest memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")
    if options.dir is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
