"""Archive, restore and backup of a journal: MB/s of each, through the program's own functions.

    python -m bench.keeping                 a little more than 2 GB of journal
    python -m bench.keeping --gb 4 --folder /var/tmp

The bodies are random bytes, so compression neither helps nor hides anything. Printed as a table, with a plain
copy and a plain SHA-256 of the same bytes in the same run, which bound everything else. The object store is
versitygw if it is on the PATH, else moto's server (Python, in this process, so its time counts here). CPU seconds
are of this process: they say more than the clock where other work is on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import logging
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import boto3

from sekisho import settings
from sekisho.journal import JournalWriter
from sekisho.keeping import backup as backing
from sekisho.keeping.archive import Archive, Folder, Place, Throttle, Wanted, restore
from sekisho.keeping.archive.s3 import S3, Credentials
from sekisho.keeping.backup import box
from sekisho.keeping.backup.description import place
from sekisho.keeping.backup.facts import journal_faults
from sekisho.keeping.catalogue import Catalogue
from sekisho.lake.engines.duckdb import DuckDB
from sekisho.model import Records

EVER = 1 << 62
KEY = Credentials("bench", "bench-secret", None)


def fill(journal: Path, size: int) -> int:
    """Write so many bytes; gives the bytes of finished segments."""
    dice = random.Random(1)
    blocks = [dice.randbytes(4 << 20) for _ in range(8)]
    writer = JournalWriter(journal)
    at = int(datetime(2026, 5, 1, tzinfo=UTC).timestamp()) * 1_000_000_000
    for number in range(size // (4 << 20) + 1):
        block = blocks[number % len(blocks)]
        cut = number % 4096
        turned = block[cut:] + block[:cut]
        bodies = tuple(turned[i : i + 4096] for i in range(0, len(turned), 4096))
        writer.append(
            [Records("syslog", "hec", "none", "192.0.2.1", "bench", at + number * 1_000_000_000, bodies)]
        )
    writer.close()
    return sum(path.stat().st_size for path in sorted(journal.glob("*.seg"))[:-1])


def timed(name: str, size: int, work: Callable[[], object]) -> None:
    os.sync()
    began, used = time.perf_counter(), time.process_time()
    work()
    seconds, used = time.perf_counter() - began, time.process_time() - used
    rate, per_cpu = size / 1e6 / seconds, size / 1e6 / max(0.01, used)
    print(
        f"| {name} | {size / 1e6:,.0f} | {seconds:.1f} | {rate:,.0f} | {used:.1f} | {per_cpu:,.0f} |",
        flush=True,
    )


def plain_copy(source: Path, target: Path) -> None:
    target.mkdir()
    for path in sorted(source.glob("*.seg")):
        shutil.copyfile(path, target / path.name)
    os.sync()


def plain_hash(source: Path) -> None:
    for path in sorted(source.glob("*.seg")):
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")


def archived(name: str, target: Place, journal: Path, folder: Path, size: int) -> None:
    with Catalogue(folder / f"keeping-{name}") as known:
        archive = Archive(target, known, time.time_ns)
        for path in sorted(journal.glob("*.seg"))[:-1]:
            known.learn(path)
        timed(f"archive to {name}", size, lambda: archive.run(journal, EVER))
        timed(f"read back from {name} (verify)", size, lambda: list(archive.verify(deep=True)))
        into = folder / f"back-{name}"
        timed(
            f"restore from {name}",
            size,
            lambda: restore(archive, None, into, Wanted(), dry=False, now_ns=time.time_ns),
        )
        for path in into.glob("*.seg"):
            assert path.read_bytes() == (journal / path.name).read_bytes()
        shutil.rmtree(into)


def bucket(url: str) -> S3:
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=KEY.key,
        aws_secret_access_key=KEY.secret,
    )
    client.create_bucket(Bucket="bench")
    options = settings.Archive(bucket="bench", endpoint=url)
    return S3(options, KEY, Throttle(0), lambda: datetime.now(UTC))


@contextlib.contextmanager
def moto() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@contextlib.contextmanager
def versitygw(folder: Path) -> Iterator[str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    folder.mkdir()
    program = shutil.which("versitygw")
    assert program is not None
    words = ["--port", f"127.0.0.1:{port}", "--access", KEY.key, "--secret", KEY.secret, "posix", str(folder)]
    process = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(2)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def backed_up(data: Path, folder: Path, size: int) -> None:
    engine = DuckDB(settings.Lake())

    def keys(salt: bytes) -> box.Keys | None:
        return box.keys("a passphrase of the benchmark", salt)

    def make() -> None:
        backing.make(
            data,
            folder / "backup",
            engine,
            keys=keys,
            since_us=0,
            now=datetime.now(UTC),
            with_lake=True,
            dry=False,
        )

    timed("backup, first", size, make)
    timed("backup, again (nothing new)", size, make)
    at = place(folder / "backup")
    held = backing.newest(at)
    timed("backup verify", size, lambda: list(backing.verify(at, held, keys(at.salt))))
    new = folder / "new"
    timed("backup restore", size, lambda: backing.bring(at, held, new, keys(at.salt)))
    timed("checksum of every frame (drill)", size, lambda: journal_faults(new / "journal"))
    engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=2.3)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sekisho-bench-", dir=given.folder))
    try:
        data = folder / "data"
        for name in ("journal", "keeping", "secrets"):
            (data / name).mkdir(parents=True)
        size = fill(data / "journal", int(given.gb * 1e9))
        print("| what | MB | s | MB/s | CPU s | MB per CPU s |\n|---|---|---|---|---|---|")
        timed("plain copy, synced", size, lambda: plain_copy(data / "journal", folder / "plain"))
        timed("plain SHA-256", size, lambda: plain_hash(data / "journal"))
        shutil.rmtree(folder / "plain")
        backed_up(data, folder, size)
        shutil.rmtree(folder / "backup")
        shutil.rmtree(folder / "new")
        mount = folder / "mount"
        mount.mkdir()
        archived("folder", Folder(mount, Throttle(0)), data / "journal", folder, size)
        shutil.rmtree(mount)
        if shutil.which("versitygw"):
            with versitygw(folder / "versity") as url:
                archived("S3 (versitygw)", bucket(url), data / "journal", folder, size)
        else:
            with moto() as url:
                archived("S3 (moto)", bucket(url), data / "journal", folder, size)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
