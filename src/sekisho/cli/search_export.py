"""Writing what was found to a file: streamed, whole or not at all, with a manifest beside it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from sekisho import __version__, wiring
from sekisho.cli.search_show import csv_cell, json_line
from sekisho.lake.questions import Question
from sekisho.model import Refused


class Written(NamedTuple):
    path: Path
    rows: int
    sha256: str


class _Form(Protocol):
    def add(self, table: pa.Table) -> None: ...

    def finish(self) -> None: ...


class _Hashed(io.RawIOBase):
    """A file that knows the SHA-256 of what went through it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._sha = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._sha.update(view)
        done = 0
        while done < len(view):
            done += os.write(self._fd, view[done:])
        return len(view)

    def hex(self) -> str:
        return self._sha.hexdigest()


class _Csv:
    def __init__(self, out: BinaryIO, schema: pa.Schema) -> None:
        self._names = schema.names
        self._out = io.TextIOWrapper(out, "utf-8", newline="", write_through=True)
        self._writer = csv.writer(self._out)
        self._writer.writerow(self._names)

    def add(self, table: pa.Table) -> None:
        self._writer.writerows([csv_cell(row[name]) for name in self._names] for row in table.to_pylist())

    def finish(self) -> None:
        self._out.flush()
        self._out.detach()


class _Lines:
    def __init__(self, out: BinaryIO, _: pa.Schema) -> None:
        self._out = out

    def add(self, table: pa.Table) -> None:
        self._out.writelines(json_line(row).encode() + b"\n" for row in table.to_pylist())

    def finish(self) -> None:
        self._out.flush()


class _Parquet:
    def __init__(self, out: BinaryIO, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(out, schema, compression="zstd")

    def add(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def finish(self) -> None:
        self._writer.close()


_FORMS: dict[str, Callable[[BinaryIO, pa.Schema], _Form]] = {
    ".csv": _Csv,
    ".jsonl": _Lines,
    ".parquet": _Parquet,
}


def check(path: Path) -> None:
    """Raises ``Refused`` before anything is asked if the file could not be written."""
    if path.suffix.lower() not in _FORMS:
        raise Refused(f"--export {path}: not a known kind of file", f"end it in {', '.join(_FORMS)}")
    if not path.parent.is_dir():
        raise Refused(f"--export {path}: there is no folder {path.parent}", "make it first")
    if path.exists():
        raise Refused(f"--export {path}: is there already", "name another file, or move it away")


def write(path: Path, tables: Iterable[pa.Table]) -> Written:
    """Write the tables; the file appears whole or not at all, readable by its owner only."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        hashed = _Hashed(fd)
        out: Any = io.BufferedWriter(hashed, 1 << 20)
        rows = _fill(out, _FORMS[path.suffix.lower()], tables)
        out.flush()
        os.fsync(fd)
        os.link(draft, path)  # never over a file that came meanwhile
    except FileExistsError as error:
        raise Refused(f"--export {path}: is there already", "name another file") from error
    except OSError as error:
        raise Refused(
            f"--export {path}: {error.strerror or error}", "make room, or name another place"
        ) from error
    finally:
        draft.unlink()
        os.close(fd)
    return Written(path, rows, hashed.hex())


def _fill(out: BinaryIO, kind: Callable[[BinaryIO, pa.Schema], _Form], tables: Iterable[pa.Table]) -> int:
    rows = 0
    form: _Form | None = None
    for table in tables:
        if form is None:
            form = kind(out, table.schema)
        form.add(table)
        rows += table.num_rows
    if form is not None:
        form.finish()
    return rows


def manifest(
    written: Written, question: Question, why: wiring.Why, *, offset: int | None, who: str, complete: bool
) -> Path:
    """``FILE.manifest.json``: what was asked, when, by whom, of which state of the store."""
    told = {
        "file": written.path.name,
        "rows": written.rows,
        "sha256": written.sha256,
        "complete": complete,
        "question": {"kind": question.__struct_config__.tag, **_options(question)},
        "purpose": why.purpose,
        "case": why.case,
        "at": wiring.now().isoformat(timespec="seconds"),
        "by": who,
        "snapshot_offset": offset,
        "snapshot_offset_means": "the last journal frame that the searched store held",
        "program": f"Sekisho {__version__}",
    }
    path = written.path.with_name(f"{written.path.name}.manifest.json")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as out:
        json.dump(told, out, ensure_ascii=False, indent=2)
        out.write("\n")
        out.flush()
        os.fsync(fd)
    return path


def _options(question: Question) -> dict[str, Any]:
    held = msgspec.to_builtins(question)
    assert isinstance(held, dict)
    sought = held.pop("sought", None)
    return {**held, **({"indicators": len(sought)} if sought is not None else {})}
