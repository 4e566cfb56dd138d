"""SQL that a person types: reading only, over ``events`` only, within limits of time, rows and memory.

It runs in a process of its own (``lake.confined``) that is killed at the deadline: an engine can be asked to
stop, but a single function call (``repeat('x', 2e9)``) does not listen.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, NamedTuple

import msgspec
import pyarrow as pa

from sekisho import settings
from sekisho.lake.confined import REFUSED, Order
from sekisho.lake.reader import Snapshot
from sekisho.lake.rights import ADMIN, Rights
from sekisho.model import Refused

#: Bytes of a result at most, as Arrow has them.
LARGEST = 1 << 30
_NARROW = "narrow it by time or columns, or raise [lake] duckdb_memory in sekisho.toml"
#: Signals and statuses with which a process ends that was denied memory (SIGABRT, SIGSEGV, SIGBUS).
_STARVED = {-6, -11, -7, 134, 139, 135}


class Result(NamedTuple):
    """``cut``: there were more rows than the limit."""

    table: pa.Table
    cut: bool


def run(
    snapshot: Snapshot,
    options: settings.Lake,
    sql: str,
    *,
    rows: int,
    seconds: float,
    rights: Rights = ADMIN,
    since: int | None = None,
) -> Result:
    """The first ``rows`` rows of one SELECT. Raises ``Refused`` with the reason and what to do."""
    batches = []
    held = 0
    schema = None
    for batch in stream(snapshot, options, sql, rows=rows + 1, seconds=seconds, rights=rights, since=since):
        schema = batch.schema
        batches.append(batch)
        held += batch.num_rows
    table = pa.Table.from_batches(batches, schema=schema)
    return Result(table.slice(0, rows), held > rows)


def stream(
    snapshot: Snapshot,
    options: settings.Lake,
    sql: str,
    *,
    rows: int,
    seconds: float,
    rights: Rights = ADMIN,
    since: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """The first ``rows`` rows as they come; at least one batch, which may be empty. Raises as ``run``."""
    order = Order(
        files=tuple(str(path) for path in snapshot.paths(snapshot.files)),
        sql=sql,
        rows=rows,
        seconds=seconds,
        memory=options.duckdb_memory,
        threads=options.duckdb_threads,
        raw=rights.raw,
        sources=None if rights.sources is None else tuple(sorted(rights.sources)),
        since=since,
    )
    with tempfile.TemporaryFile() as said, _child(said) as child, _deadline(child, seconds) as expired:
        yield from _batches(child, order, rows, lambda: _why(child, said, expired, options, seconds))


def _batches(
    child: subprocess.Popen[bytes], order: Order, rows: int, why: Callable[[], Refused | None]
) -> Iterator[pa.RecordBatch]:
    assert child.stdin is not None
    assert child.stdout is not None
    left = rows
    taken = 0
    try:
        child.stdin.write(msgspec.msgpack.encode(order))
        child.stdin.close()
        reader = pa.ipc.open_stream(child.stdout)
        yield pa.RecordBatch.from_pylist([], schema=reader.schema)
        for batch in reader:
            taken += batch.nbytes
            if taken > LARGEST:
                raise Refused(f"the result is larger than {LARGEST >> 20} MiB", "ask for fewer columns")
            yield batch.slice(0, left)
            left -= min(left, batch.num_rows)
    except (OSError, pa.ArrowInvalid) as error:
        refusal = why()
        raise refusal or Refused(f"the statement's process ended early: {error}", _NARROW) from error
    refusal = why()
    if refusal is not None:
        raise refusal


def _why(
    child: subprocess.Popen[bytes],
    said: IO[bytes],
    expired: threading.Event,
    options: settings.Lake,
    seconds: float,
) -> Refused | None:
    """Why the process ended; None if it did all it should."""
    code = child.wait()
    memory = Refused(f"needs more than the {options.duckdb_memory} of memory that are allowed", _NARROW)
    if code == 0:
        return None
    if expired.is_set() or code in {-24, 152}:  # SIGXCPU: all processor time was used
        return Refused(f"stopped after {seconds:g} s", "narrow it by time, or allow more with --timeout")
    said.seek(0)
    text = said.read(100_000).decode("utf-8", "replace").strip()
    if code == REFUSED:
        told = json.loads(text.splitlines()[-1])
        return memory if told["kind"] == "memory" else Refused(told["why"], told["remedy"])
    if code in _STARVED or "MemoryError" in text or "bad_alloc" in text or "Cannot allocate memory" in text:
        return memory
    return Refused(f"the statement's process ended with status {code}: {text[-500:]}", _NARROW)


@contextmanager
def _child(said: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The process, killed at the end however that comes. It inherits no variable but where modules lie."""
    environment = {"TZ": "UTC", "MALLOC_ARENA_MAX": "2"}
    if "PYTHONPATH" in os.environ:
        environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "sekisho.lake.confined"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        cwd="/",
        env=environment,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None and not pipe.closed:
                _close(pipe)


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        return  # the process ended before it had read everything


@contextmanager
def _deadline(child: subprocess.Popen[bytes], seconds: float) -> Iterator[threading.Event]:
    expired = threading.Event()

    def stop() -> None:
        expired.set()
        child.kill()

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()
