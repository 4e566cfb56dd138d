"""How fast `sekisho verify` reads a journal, beside plain hashing of the same bytes in the same run.

    python -m bench.verify [--gb 4] [--jobs 2] [--folder DIR]

Writes a journal of so many GB with the real writer, seals it, drops it from the page cache where that is allowed
(root), and verifies it: with one process and with several, with and without unpacking the records. The limits:
reading alone, CRC-32C alone, SHA-256 alone (hashlib) over the same files.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import msgspec

from bench.sealing import batches
from sekisho.journal import JournalWriter, keys
from sekisho.journal.sealer import Sealer
from sekisho.journal.trust import judge
from sekisho.journal.verify import verify


def make(folder: Path, size: int) -> keys.KeyFiles:
    files = keys.KeyFiles(folder / "seal.key", folder / "sekisho.vkey")
    keys.create(files, "bench.example/sekisho")
    writer = JournalWriter(folder / "journal", fsync=lambda fd: None)
    sealer = Sealer(folder / "journal", writer.tree, files, now=lambda: 1_770_000_000)
    shapes = [records for i in range(8) for records in batches(i)]
    dice = random.Random(2)
    written = count = 0
    while written < size:
        chosen = [dice.choice(shapes) for _ in range(32)]
        stamp = dice.randbytes(16).hex().encode()
        writer.append(
            [msgspec.structs.replace(records, bodies=(*records.bodies, stamp)) for records in chosen]
        )
        count += 32
        if count % 3200 == 0:
            sealer.seal()
            written = sum(path.stat().st_size for path in (folder / "journal").glob("*.seg"))
    sealer.seal()
    sealer.close()
    writer.close()
    return files


def drop_cache() -> bool:
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("1")
    except OSError:
        return False
    return True


def timed(name: str, size: int, work: Callable[[], object], *, cold: bool = False) -> float:
    dropped = drop_cache() if cold else False
    began = time.perf_counter()
    work()
    took = time.perf_counter() - began
    print(f"  {name:<44}{size / took / 1e6:>9,.0f} MB/s{'  (cold)' if dropped else ''}", flush=True)
    return took


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gb", type=float, default=4)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        run(folder, options.gb, options.jobs)
    finally:
        shutil.rmtree(folder)


def run(folder: Path, gb: float, jobs: int) -> None:
    began = time.perf_counter()
    files = make(folder, int(gb * 1e9))
    journal = folder / "journal"
    paths = sorted(journal.glob("*.seg"))
    size = sum(path.stat().st_size for path in paths)
    print(
        f"journal of {size / 1e9:.2f} GB in {len(paths)} segments (made in {time.perf_counter() - began:.0f} s)"
    )

    def each(work: Callable[[bytes], object]) -> Callable[[], None]:
        def go() -> None:
            for path in paths:
                with path.open("rb", buffering=0) as file:
                    while data := file.read(1 << 20):
                        work(data)

        return go

    def hashed() -> None:
        for path in paths:
            state = hashlib.sha256()
            with path.open("rb", buffering=0) as file:
                while data := file.read(1 << 20):
                    state.update(data)

    timed("reading alone", size, each(len), cold=True)
    timed("reading alone, from memory", size, each(len))
    timed("CRC-32C alone", size, each(google_crc32c.value))
    plain = timed("SHA-256 alone (hashlib), one core", size, hashed)
    pinned = keys.published(files.public)

    def go(processes: int, *, decode: bool) -> Callable[[], None]:
        def work() -> None:
            report = verify(journal, judge(journal, pinned), jobs=processes, decode=decode)
            assert report.code == 0, (report.faults[:3], report.cannot)

        return work

    one = timed("verify, 1 process", size, go(1, decode=True), cold=True)
    timed(f"verify, {jobs} processes", size, go(jobs, decode=True), cold=True)
    quick = timed("verify --quick, 1 process", size, go(1, decode=False))
    timed(f"verify --quick, {jobs} processes", size, go(jobs, decode=False))
    print(f"  plain hashing takes {plain / one:.0%} of verify's time, {plain / quick:.0%} of that of --quick")


if __name__ == "__main__":
    main()
