"""What sealing costs the journal, and how long proofs take in a large tree.

    python -m bench.sealing [--leaves 10000000]

Appends groups of 8 batches of 500 records (about 330 kB each, as 8 connections send them) with one fsync per
group, as the group commit does; then the share of hashing and of writing leaves in it, timed alone in the same
run. Then a tree of 10 million random leaves: appending, roots, inclusion and consistency proofs from the disk.
To compare with a version without sealing, run it with that version on PYTHONPATH: only the first part is then
printed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

import zstandard

from sekisho.journal import JournalWriter
from sekisho.journal import format as fmt
from sekisho.model import Records

GROUPS = 60
BATCHES = 8
RECORDS = 500


def batches(seed: int) -> list[Records]:
    """Records of about 660 bytes that resemble each other as log lines do."""
    dice = random.Random(seed)
    made = []
    for _ in range(BATCHES):
        bodies = tuple(
            json.dumps(
                {
                    "eventType": dice.choice(("user.session.start", "policy.evaluate", "app.access")),
                    "uuid": f"{dice.getrandbits(128):032x}",
                    "published": f"2026-05-{dice.randrange(1, 29):02d}T{dice.randrange(24):02d}:00:00.000Z",
                    "actor": {
                        "alternateId": f"emp{dice.randrange(900):04d}@exchange.example",
                        "type": "User",
                    },
                    "client": {
                        "ipAddress": f"192.0.2.{dice.randrange(256)}",
                        "userAgent": "Mozilla/5.0 " * 8,
                    },
                    "debug": {"requestId": f"{dice.getrandbits(160):040x}", "padding": "x" * 200},
                }
            ).encode()
            for _ in range(RECORDS)
        )
        made.append(Records("okta", "hec", "none", "192.0.2.7:50000", "edge", 1_770_000_000 * 10**9, bodies))
    return made


def appends() -> None:
    groups = [batches(i) for i in range(6)]
    raw = sum(len(body) for records in groups[0] for body in records.bodies)
    rates = []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as folder:
            writer = JournalWriter(Path(folder))
            began = time.perf_counter()
            for i in range(GROUPS):
                writer.append(groups[i % len(groups)])
            rates.append(GROUPS / (time.perf_counter() - began))
            writer.close()
    rate = statistics.median(rates)
    print(f"append, fsync per group of {BATCHES} x {RECORDS} records ({raw / 1e6:.2f} MB):")
    print(
        f"  median of 5: {rate * BATCHES * RECORDS:,.0f} records/s, {rate * raw / 1e6:,.0f} MB/s of records"
        f" (from {min(rates) * raw / 1e6:,.0f} to {max(rates) * raw / 1e6:,.0f})"
    )


def share() -> None:
    from sekisho.journal.merkle import leaf_hash

    group = batches(0)
    compressor = zstandard.ZstdCompressor(level=1)
    began = time.perf_counter()
    for _ in range(10):
        frames = [fmt.encode(i, records, compressor) for i, records in enumerate(group)]
    encoding = (time.perf_counter() - began) / 10
    began = time.perf_counter()
    for _ in range(10):
        for frame in frames:
            leaf_hash(frame)
    hashing = (time.perf_counter() - began) / 10
    size = sum(map(len, frames))
    print(
        f"  of one group: encode {encoding * 1e3:.2f} ms, leaf hashes {hashing * 1e3:.2f} ms"
        f" ({size / hashing / 1e6:,.0f} MB/s over {size / 1e6:.2f} MB of frames)"
    )


def proofs(count: int) -> None:
    from sekisho.journal import merkle
    from sekisho.journal.growing import GrowingTree
    from sekisho.journal.leaves import StoredTree

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / f"{0:016d}.leaf").open("wb") as file:
            for _ in range(0, count, 1 << 16):
                file.write(os.urandom(min(1 << 16, count) * merkle.HASH))
            file.truncate(count * merkle.HASH)
        tree = GrowingTree(folder)
        began = time.perf_counter()
        tree.next = count
        tree._open_nodes()  # noqa: SLF001
        tree._fill_nodes(0, count)  # noqa: SLF001
        print(f"{count:,} leaves: inner nodes made anew in {time.perf_counter() - began:.1f} s")
        stored = StoredTree(folder)
        began = time.perf_counter()
        root = stored.frontier(count).root()
        print(f"  root at a start of the collector: {(time.perf_counter() - began) * 1e3:.1f} ms")
        dice = random.Random(1)
        times = []
        for _ in range(50):
            index = dice.randrange(count)
            began = time.perf_counter()
            path = merkle.inclusion(stored.node, index, count)
            times.append(time.perf_counter() - began)
            leaf = stored.leaves(index, index + 1)
            assert merkle.root_from_inclusion(leaf, index, count, path) == root
        print(
            f"  inclusion proof: median {statistics.median(times) * 1e3:.1f} ms, max {max(times) * 1e3:.1f} ms"
        )
        times = []
        for _ in range(50):
            old = count - dice.randrange(1, 100_000)
            began = time.perf_counter()
            proof = merkle.consistency(stored.node, old, count)
            times.append(time.perf_counter() - began)
            assert merkle.consistent(old, merkle.root(stored.node, old), count, root, proof)
        print(
            f"  consistency proof: median {statistics.median(times) * 1e3:.1f} ms, max {max(times) * 1e3:.1f} ms"
        )
        frontier = merkle.Frontier()
        leaf = hashlib.sha256().digest()
        began = time.perf_counter()
        for _ in range(200_000):
            frontier.append(leaf)
        print(f"  appending a leaf in memory: {(time.perf_counter() - began) / 0.2:.1f} µs")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--leaves", type=int, default=10_000_000)
    options = parser.parse_args()
    appends()
    try:
        share()
    except ImportError:
        print("  this version does not seal")
        return
    proofs(options.leaves)


if __name__ == "__main__":
    main()
