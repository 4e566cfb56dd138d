"""Which index finds a word in ``raw``: our filters of row groups, posting lists of row groups, or tantivy.

    python -m bench.text_index [--rows 200000]

The same events (``bench.store_events``), sorted as in a cold file; row groups of 16,384. Printed: bytes an event,
time to build, and how many row groups are read for a word that is in one of them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import tantivy
import zstandard

from bench import store_events
from sekisho.lake.cold import build, index, tokens
from sekisho.lake.cold.sorting import keys_of


def rows(count: int) -> list[pa.Table]:
    events = store_events.batch(store_events.Company(), 1, count, count, 1)
    order = keys_of(events).append_column("at", pa.array(np.arange(count)))
    events = events.take(
        order.sort_by([("source", "ascending"), ("who", "ascending"), ("time", "ascending")])["at"]
    )
    return [events.slice(at, build.ROW_GROUP) for at in range(0, count, build.ROW_GROUP)]


def ours(groups: list[pa.Table], folder: Path, words: list[str]) -> str:
    path = folder / "cold-20260101-00000000.parquet"
    start = time.perf_counter()
    only = [group.select(["raw"]) for group in groups]
    index.write(path.with_suffix(index.SUFFIX), only)
    spent = time.perf_counter() - start
    read = sum(len(index.groups(path, [], [[word]]) or ()) for word in words) / len(words)
    return _line(
        "filters of row groups (chosen)", path.with_suffix(index.SUFFIX).stat().st_size, spent, groups, read
    )


def postings(groups: list[pa.Table]) -> str:
    """Sorted 32-bit hashes with the number of the row group, as differences, zstd."""
    start = time.perf_counter()
    parts = [
        tokens.of_texts(group["raw"]) >> np.uint64(32) << np.uint64(16) | np.uint64(n)
        for n, group in enumerate(groups)
    ]
    held = tokens.distinct(parts)
    hashes = np.diff(held >> np.uint64(16), prepend=np.uint64(0)).astype(np.uint32)
    places = (held & np.uint64(0xFFFF)).astype(np.uint16)
    size = sum(len(zstandard.compress(column.tobytes(), 3)) for column in (hashes, places))
    return _line("posting lists of row groups", size, time.perf_counter() - start, groups, 1.0)


def by_tantivy(groups: list[pa.Table], folder: Path) -> str:
    schema = tantivy.SchemaBuilder().add_text_field("raw", stored=False, index_option="basic").build()
    place = folder / "tantivy"
    place.mkdir()
    start = time.perf_counter()
    made = tantivy.Index(schema, path=str(place))
    writer = made.writer(heap_size=256 << 20, num_threads=1)
    for group in groups:
        for text in group["raw"].to_pylist():
            writer.add_document(tantivy.Document(raw=text))
    writer.commit()
    writer.wait_merging_threads()
    spent = time.perf_counter() - start
    size = sum(path.stat().st_size for path in place.iterdir() if path.is_file())
    return _line("tantivy, without positions", size, spent, groups, 1.0)


def _line(name: str, size: int, spent: float, groups: list[pa.Table], read: float) -> str:
    count = sum(group.num_rows for group in groups)
    return f"| {name} | {size / count:.1f} | {spent / count * 1e6:.1f} µs | {read:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=200_000)
    groups = rows(parser.parse_args().rows)
    words = [max((w for w, _ in tokens.of_text(group["raw"][5].as_py())), key=len) for group in groups]
    print("| way | bytes/event | time/event | row groups read for a rare word |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as held:
        print(ours(groups, Path(held), words))
        print(postings(groups))
        print(by_tantivy(groups, Path(held)))


if __name__ == "__main__":
    main()
