"""The store at size: fill a lake with mixed events, compact it, ask the analyst's questions; chDB beside it.

    python -m bench.store --rows 20000000 --dir FOLDER [--days 20] [--keep] [--no-peer]

Events are those of ``bench.store_events`` (six sources, raw JSON). They go through ``Lake.commit`` and
``cold.compact``. The peer is chDB, ClickHouse's MergeTree embedded: the same events (from the Parquet files),
zstd, ordered like our cold files, bloom filters on the needles and on the words of ``raw``. Each question
is asked 5 times; the median counts. *Cold*: the page cache is dropped before (root only), and ours is a new
process state (no file open). A run goes on where it was stopped (--keep).
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
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench import store_events
from sekisho import settings
from sekisho.lake import Lake, files, reader, sandbox
from sekisho.lake import query as language
from sekisho.lake.cold import index
from sekisho.lake.cold.compact import Compaction
from sekisho.lake.engines.duckdb import DuckDB
from sekisho.lake.search import Search

BATCH = 50_000
TIMES = 5
OPTIONS = settings.Lake()


def clock(days: int) -> Callable[[], datetime]:
    """A clock that stands two days after the last event, so that every day is closed."""
    at = datetime.fromtimestamp(store_events.START / 1e6, UTC) + timedelta(days=days + 2)
    return lambda: at


def fill(folder: Path, rows: int, days: int) -> None:
    company = store_events.Company()
    spent = 0.0
    with Lake(folder, OPTIONS, now=clock(days)) as lake:
        offset = lake.offset()
        first = 0 if offset is None else offset + 1
        for number in range(first, rows // BATCH):
            events = store_events.batch(company, number, BATCH, rows, days)
            start = time.perf_counter()
            lake.commit(events, number)
            spent += time.perf_counter() - start
            if number % 64 == 63:
                lake.merge()
                print(f"  {(number + 1) * BATCH:>11,} events committed", flush=True)
        if spent:
            print(f"commit {(rows - first * BATCH) / spent:,.0f} events/s")


def compact(folder: Path, days: int) -> None:
    now = clock(days)
    start, rows = time.perf_counter(), 0
    with Compaction(folder, now=now, after=timedelta(hours=6), least=1) as compaction:
        while done := compaction.step():
            rows += sum(done.days.values())
            with Lake(folder, OPTIONS, now=lambda: now() + timedelta(hours=1)) as lake:
                lake.sweep()  # as the grace period would do
            rate = rows / (time.perf_counter() - start)
            print(f"  {rows:>11,} events compacted, {rate:,.0f} events/s", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"most memory of this process, generator included: {peak:,.0f} MiB")


class Question(NamedTuple):
    """``ours``: to a new ``Search``; ``peer``: ClickHouse SQL (rows) with the same answer."""

    name: str
    ours: Callable[[Path], int]
    peer: str


def search(folder: Path, text: str) -> tuple[Search, DuckDB]:
    engine = DuckDB(OPTIONS)
    condition = language.compile(text, ZoneInfo("UTC"), datetime(2030, 1, 1, tzinfo=UTC))
    return Search(reader.snapshot(folder), engine, condition), engine


def newest(text: str, limit: int = 200) -> Callable[[Path], int]:
    def run(folder: Path) -> int:
        asked, engine = search(folder, text)
        found = sum(int(table.num_rows) for table in asked.rows(limit))
        engine.close()
        return found

    return run


def by_hour(text: str) -> Callable[[Path], int]:
    def run(folder: Path) -> int:
        asked, engine = search(folder, text)
        found = int(asked.histogram(3_600_000_000).num_rows)
        engine.close()
        return found

    return run


def statement(sql: str) -> Callable[[Path], int]:
    def run(folder: Path) -> int:
        result = sandbox.run(reader.snapshot(folder), OPTIONS, sql, rows=1000, seconds=300)
        return int(result.table.num_rows)

    return run


def questions(folder: Path, days: int) -> list[Question]:
    """Values that occur, taken from the middle of the time."""
    snapshot = reader.snapshot(folder)
    middle = snapshot.files[len(snapshot.files) // 2]
    rows = pq.ParquetFile(files.path_of(folder, middle)).read_row_group(0)
    row: dict[str, Any] = {}
    for name in (
        "src_endpoint_ip",
        "session_uid",
        "device_uid",
        "query_hostname",
        "event_uid",
        "metadata_uid",
    ):
        row[name] = _value(folder, snapshot, name)
    rare = row["metadata_uid"]
    del rows
    day = datetime.fromtimestamp(store_events.START / 1e6, UTC) + timedelta(days=days // 2)
    span = f"time:[{day:%Y-%m-%dT%H:%M:%SZ} TO {day + timedelta(hours=23, minutes=59):%Y-%m-%dT%H:%MZ}]"
    peer_span = f"time >= '{day:%Y-%m-%d %H:%M:%S}' AND time < '{day + timedelta(days=1):%Y-%m-%d %H:%M:%S}'"
    last = "ORDER BY time DESC LIMIT 200"
    ips = "(src_endpoint_ip = '{0}' OR dst_endpoint_ip = '{0}')"
    user = "(user_email_addr = '{0}' OR actor_user_email_addr = '{0}' OR account = '{0}')"
    who = "emp0420@example.jp"

    def listing(where: str) -> str:
        return f"SELECT * FROM events WHERE {where} {last}"

    return [
        Question("address", newest(f"ip:{row['src_endpoint_ip']}"), listing(ips.format(row["src_endpoint_ip"]))),
        Question("user, newest 200", newest(f"user:{who}"), listing(user.format(who))),
        Question(
            "session", newest(f"session:{row['session_uid']}"), listing(f"session_uid = '{row['session_uid']}'")
        ),
        Question(
            "device id, newest 200",
            newest(f"device:{row['device_uid']}"),
            listing(f"device_uid = '{row['device_uid']}'"),
        ),
        Question(
            "domain, newest 200",
            newest(f"domain:{row['query_hostname']}"),
            listing(
                f"(query_hostname = '{row['query_hostname']}' OR http_request_url_hostname = '{row['query_hostname']}')"
            ),
        ),
        Question("event id", newest(f"event_uid:{row['event_uid']}"), listing(f"event_uid = '{row['event_uid']}'")),
        Question("address that is nowhere", newest("ip:198.51.100.77"), listing(ips.format("198.51.100.77"))),
        Question("rare word in raw", newest(f'"{rare}"'), listing(f"hasToken(raw, '{rare}')")),
        Question("word that is nowhere", newest('"zznowherezz"'), listing("hasToken(raw, 'zznowherezz')")),
        Question(
            "histogram by hour, failed sign-ins",
            by_hour("source:okta status:failure"),
            "SELECT toStartOfHour(time) AS t, count() FROM events WHERE source = 'okta' AND status_id = 2 GROUP BY t",
        ),
        Question(
            "histogram by hour, one user",
            by_hour(f"user:{who}"),
            f"SELECT toStartOfHour(time) AS t, count() FROM events WHERE {user.format(who)} GROUP BY t",
        ),
        Question("one user's day", newest(f"user:{who} {span}", 100_000), f"SELECT * FROM events WHERE {user.format(who)} AND {peer_span} ORDER BY time DESC"),
        Question("newest 200 of everything", newest(""), f"SELECT * FROM events {last}"),
        Question(
            "SQL: events by source and class",
            statement("SELECT source, class_uid, count(*) FROM events GROUP BY ALL"),
            "SELECT source, class_uid, count() FROM events GROUP BY source, class_uid",
        ),
        Question(
            "SQL: ten most frequent accounts",
            statement("SELECT account, count(*) AS n FROM events GROUP BY ALL ORDER BY n DESC LIMIT 10"),
            "SELECT account, count() AS n FROM events GROUP BY account ORDER BY n DESC LIMIT 10",
        ),
    ]  # fmt: skip


def _value(folder: Path, snapshot: reader.Snapshot, name: str) -> str:
    for file in snapshot.files[len(snapshot.files) // 2 :]:
        held = pq.ParquetFile(files.path_of(folder, file))
        for group in range(held.num_row_groups):
            column = held.read_row_group(group, columns=[name])[name].drop_null()
            if len(column):
                return str(column[len(column) // 2].as_py())
    raise SystemExit(f"no event has {name}")


def drop_cache() -> bool:
    """Forget what the operating system has read; False where that is not allowed."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def timed(run: Callable[[], int]) -> tuple[float | None, float, int]:
    """Seconds cold (None = cannot be measured here), seconds warm, rows."""
    cold: float | None = None
    index.opened.cache_clear()
    if drop_cache():
        start = time.perf_counter()
        run()
        cold = time.perf_counter() - start
    taken = []
    found = 0
    for _ in range(TIMES):
        start = time.perf_counter()
        found = run()
        taken.append(time.perf_counter() - start)
    return cold, statistics.median(taken), found


class Peer:
    """chDB with its own folder; loads from our cold files."""

    def __init__(self, folder: Path) -> None:
        from chdb import session

        self.folder = folder
        self._session: Any = cast(Any, session).Session(str(folder))
        self._session.query("SET max_threads = 2")

    def load(self, lake: Path) -> None:
        snapshot = reader.snapshot(lake)
        names = sorted({n for f in snapshot.files for n in pq.read_schema(files.path_of(lake, f)).names})
        columns = ", ".join(f"{name} {_peer_type(name)}" for name in names)
        needles = [n for n in names if n in index.NEEDLES]
        filters = ", ".join(f"INDEX i_{n} {n} TYPE bloom_filter(0.01) GRANULARITY 1" for n in needles)
        self._session.query("CREATE DATABASE IF NOT EXISTS d ENGINE = Atomic")
        self._session.query("USE d")
        self._session.query(
            f"CREATE TABLE events ({columns}, {filters}, INDEX i_raw raw TYPE tokenbf_v1(131072, 4, 0) GRANULARITY 2)"
            " ENGINE = MergeTree PARTITION BY toDate(time) ORDER BY (source, account, time)"
            " SETTINGS index_granularity = 8192"
        )
        start = time.perf_counter()
        for file in snapshot.files:
            path = files.path_of(lake, file)
            held = ", ".join(pq.read_schema(path).names)
            self._session.query(f"INSERT INTO events ({held}) SELECT {held} FROM file('{path}', Parquet)")
        print(f"  chDB loaded in {time.perf_counter() - start:,.0f} s", flush=True)
        self._session.query("OPTIMIZE TABLE events FINAL")
        print(f"  chDB loaded and merged in {time.perf_counter() - start:,.0f} s", flush=True)

    def use(self) -> None:
        self._session.query("USE d")

    def size(self) -> tuple[float, float]:
        """Bytes of data, bytes of secondary indexes."""
        found = self._session.query(
            "SELECT sum(data_compressed_bytes), sum(secondary_indices_compressed_bytes) FROM system.parts"
            " WHERE active AND table = 'events'",
            "CSV",
        )
        data, beside = str(found).strip().split(",")
        return float(data), float(beside)

    def ask(self, sql: str) -> int:
        """How many rows the answer has; it is fetched whole, as Arrow."""
        data = self._session.query(sql, "Arrow").bytes()
        return int(pa.ipc.open_file(data).read_all().num_rows) if data else 0


def _peer_type(name: str) -> str:
    kind = str(files.SCHEMA.field(name).type)
    plain = {"string": "String", "int32": "Int32", "int64": "Int64", "bool": "Bool"}.get(
        kind, "DateTime64(6, 'UTC')"
    )
    if name in {"time", "source", "account", "event_uid", "raw", "journal_offset", "ingested_at"}:
        packed = {"time": "Delta, ", "journal_offset": "Delta, ", "ingested_at": "Delta, "}.get(name, "")
        return f"{plain} CODEC({packed}ZSTD(6))"
    few = name in {"status", "metadata_product_name", "src_country", "api_service_name", "receiver", "rcode"}
    return f"{'LowCardinality(String)' if few else f'Nullable({plain})'} CODEC(ZSTD(6))"


def sizes(folder: Path, peer: Peer | None) -> None:
    snapshot = reader.snapshot(folder)
    rows = snapshot.rows
    paths = snapshot.paths(snapshot.files)
    columns: dict[str, int] = {}
    raw = 0
    for path in paths:
        metadata = pq.read_metadata(path)
        for group in range(metadata.num_row_groups):
            for n in range(metadata.num_columns):
                column = metadata.row_group(group).column(n)
                name = column.path_in_schema
                columns[name] = columns.get(name, 0) + column.total_compressed_size
        for part in pq.ParquetFile(path).iter_batches(columns=["raw"]):
            raw += pc.sum(pc.binary_length(part["raw"])).as_py()
    data = sum(path.stat().st_size for path in paths)
    beside = {
        s: sum(p.with_suffix(s).stat().st_size for p in paths if p.with_suffix(s).exists())
        for s in (".index", ".hours")
    }
    whole = data + sum(beside.values())
    print(
        f"\n{rows:,} events in {len(paths)} files ({sum(f.tier == 'cold' for f in snapshot.files)} cold), raw JSON {raw / rows:.0f} bytes/event\n"
    )
    print("| what | bytes/event | of raw |\n|---|---|---|")
    print(f"| events | {data / rows:.1f} | {data / raw:.3f} |")
    for name, size in beside.items():
        print(f"| {name} | {size / rows:.2f} | {size / raw:.3f} |")
    print(f"| **all** | {whole / rows:.1f} | {whole / raw:.3f} |")
    if peer is not None:
        held, extra = peer.size()
        print(
            f"| chDB events | {held / rows:.1f} | {held / raw:.3f} |\n| chDB indexes | {extra / rows:.1f} | {extra / raw:.3f} |"
        )
    print("\n| column | bytes/event |\n|---|---|")
    for name, size in sorted(columns.items(), key=lambda item: -item[1])[:12]:
        print(f"| {name} | {size / rows:.2f} |")


def ask(folder: Path, days: int, peer: Peer | None) -> None:
    print(
        "\n| question | rows | warm | cold | chDB warm | chDB cold | chDB rows |\n|---|---|---|---|---|---|---|"
    )
    for question in questions(folder, days):
        cold, warm, found = timed(lambda q=question: q.ours(folder))  # type: ignore[misc]
        cells = [f"{found:,}", _seconds(warm), _seconds(cold)]
        if peer is not None:
            peer_cold, peer_warm, peer_found = timed(lambda q=question: peer.ask(q.peer))  # type: ignore[misc]
            cells += [_seconds(peer_warm), _seconds(peer_cold), f"{peer_found:,}"]
        print(f"| {question.name} | {' | '.join(cells)} |", flush=True)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} s"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument(
        "--days", type=int, default=0, help="Spread over so many days (default: a million a day)."
    )
    parser.add_argument(
        "--dir",
        type=Path,
        help="Folder for the data (default: a temporary one); 200 bytes an event, with the peer 400.",
    )
    parser.add_argument(
        "--keep", action="store_true", help="Keep the data, and go on where an earlier run stopped."
    )
    parser.add_argument("--no-peer", action="store_true", help="Without chDB.")
    given = parser.parse_args()
    days = given.days or max(2, given.rows // 1_000_000)
    place = given.dir or Path(tempfile.mkdtemp(prefix="bench-store-"))
    folder, beside = place / "lake", place / "chdb"
    folder.mkdir(parents=True, exist_ok=True)
    fill(folder, given.rows, days)
    compact(folder, days)
    peer = None
    if not given.no_peer:
        fresh = not beside.exists()
        peer = Peer(beside)
        if fresh:
            peer.load(folder)
        peer.use()
    sizes(folder, peer)
    ask(folder, days, peer)
    if not given.keep:
        shutil.rmtree(folder)
        shutil.rmtree(beside, ignore_errors=True)
        if given.dir is None:
            shutil.rmtree(place)


if __name__ == "__main__":
    main()
