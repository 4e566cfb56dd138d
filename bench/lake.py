"""Lake: commit and fold rates at batches of 10,000 over 5 million stored events; merge; search latencies.

python -m bench.lake [--rows 5000000] [--dir FOLDER]
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sekisho import settings
from sekisho.lake import Lake, reader
from sekisho.lake.engines.duckdb import DuckDB
from sekisho.lake.query import compile as compile_query
from sekisho.lake.search import Search
from sekisho.ocsf import EVENT_SCHEMA

BATCH = 10_000
START = 1_778_684_400_000_000  # 2026-05-14 00:00 JST in µs
GAP = 100_000  # µs between events


def batch(number: int, dice: np.random.Generator) -> pa.Table:
    """Sign-ins, DNS and web events of 2,000 people, raw JSON of about 700 bytes."""
    n = BATCH
    at = START + (number * n + np.arange(n)) * GAP + dice.integers(0, 5_000_000, n)
    person = dice.integers(0, 2000, n)
    names = pa.array([f"emp{i:04d}@example.jp" for i in range(2000)])
    user = names.take(pa.array(person))
    octet = pa.array([str(i) for i in range(256)])
    ip = pc.binary_join_element_wise(
        "203.0",
        octet.take(pa.array(dice.integers(0, 256, n))),
        octet.take(pa.array(dice.integers(0, 256, n))),
        ".",
    )
    host = pa.array([f"h{i}.example.com" for i in range(5000)]).take(pa.array(dice.integers(0, 5000, n)))
    session = pa.array([os.urandom(12).hex() for _ in range(200)]).take(pa.array(dice.integers(0, 200, n)))
    noise = pa.array([os.urandom(90).hex() for _ in range(n)])
    raw = pc.binary_join_element_wise(
        '{"eventType":"user.session.start","actor":{"alternateId":"',
        user,
        '","type":"User"},"client":{"ipAddress":"',
        ip,
        '","userAgent":{"rawUserAgent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36"},"zone":"null"},'
        '"outcome":{"result":"SUCCESS","reason":null},"severity":"INFO","debugContext":{"debugData":{"requestId":"',
        noise,
        '","url":"https://',
        host,
        '/login?"}},"legacyEventType":"core.user_auth.login_success","transaction":{"type":"WEB","detail":{}}}',
        "",
    )
    when = pa.array(at, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    uid = pa.array([os.urandom(16).hex() for _ in range(n)])

    def word(*choices: object) -> pa.Array:
        return pa.array(choices).take(pa.array(dice.integers(0, len(choices), n)))

    columns = {
        "time": when,
        "class_uid": word(3002, 4003, 4002, 6003).cast(pa.int32()),
        "activity_id": word(1, 2).cast(pa.int32()),
        "severity_id": word(1, 1, 1, 2, 3).cast(pa.int32()),
        "status_id": word(1, 1, 1, 2).cast(pa.int32()),
        "status": word("SUCCESS", "FAILURE"),
        "message": word("User login", "Session start", "Query"),
        "metadata_uid": pc.utf8_slice_codeunits(uid, 0, 30),
        "metadata_event_code": word("user.session.start", "user.authentication.sso", "query"),
        "metadata_product_name": word("Okta", "Unbound", "Squid"),
        "metadata_log_name": word("system", "query"),
        "user_name": user,
        "user_email_addr": user,
        "actor_user_email_addr": user,
        "actor_user_uid": user,
        "session_uid": session,
        "is_mfa": word(True, False),
        "src_endpoint_ip": ip,
        "src_endpoint_port": pa.array(dice.integers(1024, 65535, n)),
        "dst_endpoint_port": word(443, 53, 8080).cast(pa.int64()),
        "http_request_user_agent": word("Mozilla/5.0 (Windows NT 10.0)", "curl/8.5"),
        "http_request_url_hostname": host,
        "query_hostname": host,
        "device_hostname": word("tyo-gw-1", "tyo-gw-2"),
        "service_name": word("Wallet Console", "GitHub", "Slack", "AWS"),
        "category_uid": word(3, 4).cast(pa.int32()),
        "type_uid": word(300201, 400301).cast(pa.int64()),
        "event_uid": uid,
        "source": word("okta", "unbound", "squid", "cloudtrail"),
        "journal_offset": pa.array((number << 20) + np.arange(n)),
        "ingested_at": pc.add(when, pa.scalar(1_500_000, pa.duration("us"))),
        "receiver": word("hec"),
        "raw": raw,
        "account": user,
        "person_uid": pc.utf8_slice_codeunits(user, 0, 7),
        "src_country": word("JP", "US"),
        "src_asn": word(64500, 64501).cast(pa.int64()),
        "src_net_class": word("own-egress", "fixed"),
        "context_version": word("20260514-1"),
    }
    return pa.table(
        [columns.get(f.name, pa.nulls(n, f.type)) for f in EVENT_SCHEMA], names=EVENT_SCHEMA.names
    ).cast(EVENT_SCHEMA)


def resident() -> float:
    """MiB in memory now."""
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def median(run: Callable[[], object], times: int = 3) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def fill(folder: Path, rows: int) -> list[pa.Table]:
    """Commit ``rows`` events; prints rates. Returns some batches that are stored."""
    dice = np.random.default_rng(1)
    ready = [batch(number, dice) for number in range(8)]
    kept: list[pa.Table] = []
    fold = commit = merge = 0.0
    late: list[float] = []
    with Lake(folder, settings.Lake(), now=lambda: datetime.now(tz=UTC)) as lake:
        for number in range(rows // BATCH):
            events = _again(ready[number % 8], number)
            start = time.perf_counter()
            folded = lake.fold(events)
            folded_at = time.perf_counter()
            assert folded.events.num_rows == BATCH
            lake.commit(folded.events, number)
            done = time.perf_counter()
            fold, commit = fold + folded_at - start, commit + done - folded_at
            late.append(folded_at - start)
            if number % 64 == 63:
                lake.merge()
                merge += time.perf_counter() - done
            if number % 97 == 0:
                kept.append(events)
            if number % 100 == 99:
                print(f"  {(number + 1) * BATCH:>9,} events, {resident():.0f} MiB resident")
        count = rows // BATCH * BATCH
        print(f"commit            {count / commit:>10,.0f} events/s   {commit / count * 1e6:.2f} µs/event")
        print(f"fold, no hit      {count / fold:>10,.0f} events/s   {fold / count * 1e6:.2f} µs/event")
        tail = sum(late[-50:]) / len(late[-50:]) / BATCH * 1e6
        print(
            f"  of it the last 50 batches          {tail:.2f} µs/event, slowest {max(late) / BATCH * 1e6:.2f}"
        )
        print(f"merge             {count / merge if merge else 0:>10,.0f} events/s of those committed")
    return kept


def _again(events: pa.Table, number: int) -> pa.Table:
    """The same shape at another time with new ids (making rows costs more than storing them)."""
    n = events.num_rows
    moved = np.asarray(events["time"].cast(pa.int64())) + (number - number % 8) * BATCH * GAP
    when = pa.array(moved, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    new = {
        "time": when,
        "ingested_at": pc.add(when, pa.scalar(1_500_000, pa.duration("us"))),
        "event_uid": pa.array([os.urandom(16).hex() for _ in range(n)]),
        "journal_offset": pa.array((number << 20) + np.arange(n)),
    }
    for name, column in new.items():
        events = events.set_column(events.schema.get_field_index(name), name, column)
    return events.cast(EVENT_SCHEMA)


def repeated(folder: Path, kept: list[pa.Table]) -> None:
    start = time.perf_counter()
    with Lake(folder, settings.Lake(), now=lambda: datetime.now(tz=UTC)) as lake:
        print(f"open              {time.perf_counter() - start:>10.2f} s")
        start = time.perf_counter()
        for events in kept[:10]:
            assert lake.fold(events).events.num_rows == 0
        taken = time.perf_counter() - start
        count = len(kept[:10]) * BATCH
        print(f"fold, all stored  {count / taken:>10,.0f} events/s   {taken / count * 1e6:.2f} µs/event")
        mixed = pa.concat_tables([events.slice(n * 1000, 1000) for n, events in enumerate(kept[:10])])
        taken = median(lambda: lake.fold(mixed))
        print(f"fold, all stored, from everywhere      {taken / mixed.num_rows * 1e6:.2f} µs/event")


def search(folder: Path, kept: list[pa.Table]) -> None:
    snapshot = reader.snapshot(folder)
    size = sum(file.bytes for file in snapshot.files)
    each = f"{size / snapshot.rows:.0f} bytes/event"
    print(f"stored            {snapshot.rows:,} events in {len(snapshot.files)} files, {each}")
    zone, now = ZoneInfo("Asia/Tokyo"), datetime.now(tz=UTC)
    uid = kept[0]["event_uid"][77].as_py()
    ip = kept[0]["src_endpoint_ip"][5].as_py()
    queries = [
        ("newest 200 of everything", ""),
        ("one user, newest 50", "user:emp0042@example.jp"),
        ("one user, one hour", "person:emp0042 time:[2026-05-15T09:00 TO 2026-05-15T09:59]"),
        ("one address, all history", f"ip:{ip}"),
        ("a range /24, newest 50", "ip:203.0.113.0/24"),
        ("one event id", f"event_uid:{uid}"),
        ("text that is there, newest 50", '"h4711.example.com"'),
        ("text that is nowhere", '"nowhere.evil.example"'),
    ]
    for name, query in queries:
        engine = DuckDB(settings.Lake())
        limit = 200 if not query else 50

        def run(query: str = query, engine: DuckDB = engine, limit: int = limit) -> int:
            found = Search(reader.snapshot(folder), engine, compile_query(query, zone, now))
            return sum(table.num_rows for table in found.rows(limit=limit))

        print(f"  {name:<34}{median(run):>8.3f} s   {run():>4} rows")
        engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--dir", type=Path)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-lake-", dir=given.dir))
    try:
        kept = fill(folder, given.rows)
        repeated(folder, kept)
        search(folder, kept)
        print(f"resident at the end {resident():.0f} MiB")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
