"""How a micro-batch becomes durable and searchable: the manifest way against the alternatives, in one run.

    python -m bench.lake_choice [--batches 60]

Each batch is 10,000 real normalised events (Okta, CloudTrail, Winlogbeat shapes, all columns, raw
included). Measured per way: median and slowest commit, events/s, bytes per event on disk.

* manifest: one Parquet file, fsynced, and one SQLite transaction (``sekisho.lake``)
* iceberg:  ``pyiceberg`` append to a table in a SQLite catalogue
* duckdb:   INSERT into a table of one DuckDB file, one transaction per batch
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog

from bench.shapes import records
from sekisho import enrich, lake, normalise, settings
from sekisho.contract import Context
from sekisho.contract.discovery import discover
from sekisho.model import Frame, Records

BATCH = 10_000
SOURCES = ("okta", "cloudtrail", "windows")
Commit = Callable[[pa.Table, int], None]


def batches(count: int) -> list[pa.Table]:
    normaliser = normalise.Normaliser(discover().sources)
    enricher = enrich.Enricher(settings.Enrich(), b"k" * 32, {})
    made = []
    for number in range(count):
        source = SOURCES[number % 3]
        bodies = tuple(records(source, BATCH, start=number * BATCH))
        frame = Frame(number, Records(source, "ndjson", "none", "bench", "", 10**18, bodies))
        made.append(enricher.batch(normaliser.batch([frame]).events, Context()))
    return made


def manifest(folder: Path) -> Commit:
    store = lake.Lake(folder, settings.Lake(), now=lambda: datetime.now(tz=UTC))
    return store.commit


def iceberg(folder: Path) -> Commit:
    catalogue = SqlCatalog("bench", uri=f"sqlite:///{folder}/catalogue.db", warehouse=f"file://{folder}")
    catalogue.create_namespace("logs")
    table = None

    def commit(events: pa.Table, _: int) -> None:
        nonlocal table
        if table is None:
            table = catalogue.create_table("logs.events", schema=events.schema)
        table.append(events)

    return commit


def duckdb_file(folder: Path) -> Commit:
    db = duckdb.connect(str(folder / "events.duckdb"))

    def commit(events: pa.Table, upto: int) -> None:
        db.register("batch", events)
        if upto == 0:
            db.execute("CREATE TABLE events AS SELECT * FROM batch")
        else:
            db.execute("INSERT INTO events SELECT * FROM batch")
        db.unregister("batch")

    return commit


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, default=60)
    arguments = parser.parse_args()
    made = batches(arguments.batches)
    print(f"{arguments.batches} batches of {BATCH:,} events, {made[0].num_columns} columns")
    print(f"{'way':<10}{'median ms':>11}{'slowest ms':>12}{'events/s':>11}{'bytes/event':>13}")
    for name, way in (("manifest", manifest), ("iceberg", iceberg), ("duckdb", duckdb_file)):
        folder = Path(tempfile.mkdtemp(prefix=f"sekisho-{name}-"))
        commit = way(folder)
        took = []
        for upto, events in enumerate(made):
            began = time.perf_counter()
            commit(events, upto)
            took.append(time.perf_counter() - began)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        total = BATCH * len(made)
        print(
            f"{name:<10}{statistics.median(took) * 1e3:>11,.0f}{max(took) * 1e3:>12,.0f}"
            f"{total / sum(took):>11,.0f}{size / total:>13,.0f}"
        )
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
