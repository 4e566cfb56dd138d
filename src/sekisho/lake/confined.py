"""The process in which a person's SQL runs: limits of the operating system, and no way to anything else.

``python -m sekisho.lake.confined`` reads one ``Order`` (MessagePack) from standard input and writes the
result as an Arrow IPC stream to standard output; a refusal is one line of JSON on standard error.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from sekisho import settings
from sekisho.lake import statement
from sekisho.lake.engines.duckdb import connect, table_of
from sekisho.lake.files import SCHEMA
from sekisho.lake.rights import RAW
from sekisho.model import Refused

#: Exit status with a refusal on standard error.
REFUSED = 3
#: Memory beside DuckDB's own limit: result batches, Arrow, the interpreter's growth.
_REASON = 65_536
_BESIDE = 512 * 1024 * 1024
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


class Order(msgspec.Struct, frozen=True):
    """``sources``: None = all. ``seconds``: after them the parent kills; here processor time is bounded.

    ``since``  events before are not seen (µs since 1970 UTC)
    """

    files: tuple[str, ...]
    sql: str
    rows: int
    seconds: float
    memory: str
    threads: int
    raw: bool = True
    sources: tuple[str, ...] | None = None
    since: int | None = None


def main() -> int:
    """Do one order; gives the exit status."""
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Order)
    try:
        _answer(order)
    except Refused as error:
        _say("refused", error.why, error.remedy)
    except (duckdb.OutOfMemoryException, MemoryError):
        _say("memory", "", "")
    except (duckdb.PermissionException, duckdb.IOException) as error:
        _say("refused", f"not allowed or not readable: {error}", "only the table `events` can be read")
    except duckdb.Error as error:
        _say("refused", str(error), "")
    except pa.ArrowException as error:
        _say("memory" if isinstance(error, pa.ArrowMemoryError) else "refused", str(error), "")
    else:
        return 0
    return REFUSED


def _say(kind: str, why: str, remedy: str) -> None:
    sys.stderr.write(json.dumps({"kind": kind, "why": why[:4000], "remedy": remedy}) + "\n")
    sys.stderr.flush()


def _answer(order: Order) -> None:
    options = settings.Lake(duckdb_memory=order.memory, duckdb_threads=order.threads)
    connection = connect(options)
    statement.check(connection, order.sql)
    _events(connection, order)
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    _confine(order)
    _stream(connection, order)


def _events(connection: duckdb.DuckDBPyConnection, order: Order) -> None:
    """Make the table. What a role must not see is not in it: no path to a file is allowed then at all."""
    if order.raw and order.sources is None and order.since is None:
        paths = [Path(file) for file in order.files]
        connection.execute(f"CREATE VIEW events AS SELECT * FROM {table_of(paths)}")  # noqa: S608 - our own files
        connection.execute("SET allowed_paths = ?", [list(order.files)])
        return
    schema = SCHEMA if order.raw else pa.schema([field for field in SCHEMA if field.name not in RAW])
    held = ds.dataset(list(order.files), schema=schema, format="parquet")
    if order.sources is not None:
        held = held.filter(pc.field("source").isin(list(order.sources)))
    if order.since is not None:
        held = held.filter(pc.field("time") >= pa.scalar(order.since, pa.timestamp("us", "UTC")))
    connection.register("events", held)


def _stream(connection: duckdb.DuckDBPyConnection, order: Order) -> None:
    """Read as a stream, so that a huge result takes no memory beyond the limit; one row more than asked."""
    reader = connection.sql(order.sql).to_arrow_reader(2048)
    left = order.rows + 1
    with pa.ipc.new_stream(pa.PythonFile(sys.stdout.buffer, "w"), reader.schema) as out:
        for batch in reader:
            out.write_batch(batch.slice(0, left))
            left -= min(left, batch.num_rows)
            if left <= 0:
                break
    sys.stdout.buffer.flush()


# -- limits of the operating system ------------------------------------------------------------------------


def _confine(order: Order) -> None:
    """From here on: so much memory, so much processor time, no new file, no new process image's rights."""
    room = _virtual() + 2 * _bytes(order.memory) + _BESIDE
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    cpu = int(order.seconds * order.threads) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    # standard error is a file, for the reason of a refusal; nothing larger can be written anywhere
    resource.setrlimit(resource.RLIMIT_FSIZE, (_REASON, _REASON))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _prctl(38, 1)  # PR_SET_NO_NEW_PRIVS


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _virtual() -> int:
    """Bytes of address space that the process has taken so far (Linux, proc(5))."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _bytes(text: str) -> int:
    number = text.rstrip("BKMGTibkmgt ")
    unit = text[len(number) :].strip().upper() or "B"
    try:
        return int(float(number) * _UNITS[unit])
    except (KeyError, ValueError):
        raise Refused(
            f"[lake] duckdb_memory = {text!r} is no size", "write a number with MB or GB, such as 256MB"
        ) from None


if __name__ == "__main__":
    _prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: ends with whoever asked
    sys.exit(main())
