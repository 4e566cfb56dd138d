"""The index beside a cold file: in which of its row groups a value or a word can be.

Layout: ``MAGIC``, then slabs of words of one or two bytes, then a directory (JSON), its length and CRC-32
(each 4 bytes, little-endian) and ``MAGIC`` again. The directory names the rows of each row group, the
slabs, and a CRC-32 of each page of ``PAGE`` bytes: a lookup reads a few pages and checks just those. What
fails its check is never believed (``Broken``); the file is then searched whole.
"""

from __future__ import annotations

import base64
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Literal

import msgspec
import numpy as np
import pyarrow as pa

from sekisho.lake import files
from sekisho.lake.cold import blooms, tokens
from sekisho.lake.cold.tokens import Hashes

MAGIC = b"SEKISHO-INDEX-1\n"
PAGE = 4096
#: Row groups whose keys are held in memory before their slabs are written.
SPAN = 64
SUFFIX = ".index"

Kind = Literal["needles", "tokens"]

#: Columns whose values are looked for whole; all in one list, so that one lookup answers for all.
NEEDLES = frozenset(
    {
        "event_uid",
        "metadata_uid",
        "metadata_correlation_uid",
        "api_request_uid",
        "finding_info_uid",
        "decoy_uid",
        "user_name",
        "user_uid",
        "user_email_addr",
        "actor_user_name",
        "actor_user_uid",
        "actor_user_email_addr",
        "actor_user_credential_uid",
        "account",
        "actor_account",
        "account_ref",
        "actor_account_ref",
        "person_uid",
        "actor_person_uid",
        "session_uid",
        "actor_session_uid",
        "src_endpoint_ip",
        "dst_endpoint_ip",
        "device_ip",
        "src_endpoint_hostname",
        "dst_endpoint_hostname",
        "device_hostname",
        "query_hostname",
        "http_request_url_hostname",
        "tls_sni",
        "src_endpoint_uid",
        "device_uid",
        "device_asset",
        "process_file_hash_sha256",
        "file_hash_sha256",
    }
)
#: Columns whose words are indexed.
TEXTS = frozenset({"raw", "message"})


class Broken(Exception):  # noqa: N818 - a fact about a file that the caller handles
    """The index cannot be believed; the message says why."""


class _Entry(msgspec.Struct, frozen=True):
    kind: Kind
    groups: tuple[int, ...]
    at: int
    words: int
    width: int  # bytes of a word


class _Directory(msgspec.Struct, frozen=True):
    """``rows``: rows of each row group; ``checks``: CRC-32 of each page of the slabs, packed, base64."""

    rows: tuple[int, ...]
    entries: tuple[_Entry, ...]
    checks: str


class Writer:
    """Collects the keys of one row group after the other; ``finish`` writes the directory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._rows: list[int] = []
        self._entries: list[_Entry] = []
        self._checks: list[int] = []
        self._page = bytearray()
        self._at = 0
        self._keys: dict[Kind, dict[int, Hashes]] = {"needles": {}, "tokens": {}}
        file.write(MAGIC)

    def add(self, rows: pa.Table) -> None:
        """The next row group."""
        number = len(self._rows)
        self._rows.append(rows.num_rows)
        held = [tokens.of_values(rows[name]) for name in rows.column_names if name in NEEDLES]
        self._keys["needles"][number] = tokens.distinct(held)
        words = [tokens.of_texts(_once(rows[name])) for name in rows.column_names if name in TEXTS]
        self._keys["tokens"][number] = tokens.distinct(words)
        if len(self._keys["tokens"]) >= SPAN:
            self._flush()

    def finish(self) -> None:
        self._flush()
        if self._page:
            self._check_page()
        checks = base64.b64encode(struct.pack(f"<{len(self._checks)}I", *self._checks)).decode()
        directory = msgspec.json.encode(_Directory(tuple(self._rows), tuple(self._entries), checks))
        self._file.write(directory)
        self._file.write(struct.pack("<II", len(directory), zlib.crc32(directory)))
        self._file.write(MAGIC)

    def _flush(self) -> None:
        for kind, keys in self._keys.items():
            for slab in blooms.slabs(keys):
                self._entries.append(
                    _Entry(kind, slab.groups, self._at, len(slab.words), slab.words.itemsize)
                )
                self._write(slab.words.tobytes())
            keys.clear()

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._at += len(data)
        view = memoryview(data)
        while view:
            part = view[: PAGE - len(self._page)]
            self._page += part
            view = view[len(part) :]
            if len(self._page) == PAGE:
                self._check_page()

    def _check_page(self) -> None:
        self._checks.append(zlib.crc32(self._page))
        self._page.clear()


def _once(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Messages repeat themselves: each text once."""
    return pa.chunked_array([column.unique()], column.type)


class Index:
    """The opened index of one cold file. Raises ``Broken``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise Broken(f"{path}: {error.strerror}") from error
        try:
            self._directory, self._size = self._read_directory()
        except Broken:
            self._file.close()
            raise
        self._checks = np.frombuffer(base64.b64decode(self._directory.checks), dtype="<u4")

    def close(self) -> None:
        self._file.close()

    @property
    def rows(self) -> Sequence[int]:
        """Rows of each row group."""
        return self._directory.rows

    def perhaps(self, kind: Kind, keys: Iterable[int]) -> set[int]:
        """Row groups that can hold at least one of these keys."""
        wanted = list(keys)
        found: set[int] = set()
        for entry in self._directory.entries:
            if entry.kind == kind:
                bits = 0
                for key in wanted:
                    bits |= self._bits(entry, key)
                found.update(group for bit, group in enumerate(entry.groups) if bits >> bit & 1)
        return found

    def _bits(self, entry: _Entry, key: int) -> int:
        bits = (1 << len(entry.groups)) - 1
        for place in blooms.places(key, entry.words):
            if not bits:
                break
            bits &= self._word(entry.at + entry.width * place, entry.width)
        return bits

    def _word(self, at: int, width: int) -> int:
        page = self._read_page(at // PAGE)  # a slab begins at an even place: no word lies on two pages
        return int.from_bytes(page[at % PAGE : at % PAGE + width], "little")

    def _read_page(self, number: int) -> bytes:
        size = min(PAGE, self._size - number * PAGE)
        try:
            page = os.pread(self._file.fileno(), size, len(MAGIC) + number * PAGE)
        except OSError as error:
            raise Broken(f"{self._path}: {error.strerror}") from error
        if len(page) != size or number >= len(self._checks) or zlib.crc32(page) != self._checks[number]:
            raise Broken(f"{self._path}: page {number} is damaged")
        return page

    def _read_directory(self) -> tuple[_Directory, int]:
        tail = 8 + len(MAGIC)
        try:
            length = os.fstat(self._file.fileno()).st_size
            end = os.pread(self._file.fileno(), tail, max(0, length - tail))
            if length < tail + len(MAGIC) or end[8:] != MAGIC:
                raise Broken(f"{self._path}: cut short or not an index")
            size, check = struct.unpack("<II", end[:8])
            at = length - tail - size
            text = os.pread(self._file.fileno(), size, max(at, 0))
        except OSError as error:
            raise Broken(f"{self._path}: {error.strerror}") from error
        if at < len(MAGIC) or zlib.crc32(text) != check:
            raise Broken(f"{self._path}: its directory is damaged")
        return msgspec.json.decode(text, type=_Directory), at - len(MAGIC)


@lru_cache(maxsize=4096)
def opened(path: Path, size: int, changed: int) -> Index:
    """An index kept open for the next question; ``size`` and ``changed`` (ns) say which file it was."""
    del size, changed
    return Index(path)


def of_file(path: Path) -> Index:
    """The index of the cold file ``path``. Raises ``Broken``."""
    beside = path.with_suffix(SUFFIX)
    try:
        found = beside.stat()
    except OSError as error:
        raise Broken(f"{beside}: {error.strerror}") from error
    return opened(beside, found.st_size, found.st_mtime_ns)


def groups(path: Path, needles: Sequence[Sequence[str]], words: Sequence[Sequence[str]]) -> set[int] | None:
    """Row groups of a cold file that can hold, of every group of alternatives, at least one.

    None = every row group (nothing was asked). Raises ``Broken``.
    """
    if not needles and not words:
        return None
    index = of_file(path)
    found = set(range(len(index.rows)))
    for kind, keys in _asked(needles, words):
        found &= index.perhaps(kind, keys)
        if not found:
            break
    return found


def _asked(
    needles: Sequence[Sequence[str]], words: Sequence[Sequence[str]]
) -> Iterator[tuple[Kind, list[int]]]:
    for group in needles:
        yield "needles", [tokens.of_value(value) for value in group]
    for group in words:
        yield "tokens", [tokens.of_token(token) for token in group]


def spans(path: Path, chosen: set[int]) -> list[tuple[int, int]]:
    """Rows (first, behind the last) of these row groups, neighbours joined. Raises ``Broken``."""
    out: list[tuple[int, int]] = []
    at = 0
    for number, rows in enumerate(of_file(path).rows):
        if number in chosen:
            if out and out[-1][1] == at:
                out[-1] = (out[-1][0], at + rows)
            else:
                out.append((at, at + rows))
        at += rows
    return out


def write(path: Path, tables: Iterable[pa.Table]) -> None:
    """The index of row groups that are at hand as tables (tests, mending)."""
    with files.create(path) as file:
        writer = Writer(file)
        for table in tables:
            writer.add(table)
        writer.finish()
