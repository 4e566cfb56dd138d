"""Windows event log files (EVTX): chunk by chunk, each record as event XML.

A file is a header of 4,096 bytes and chunks of 64 KiB that stand alone (string and template tables are
inside). So each chunk is parsed as a file of its own: memory stays flat, and a damaged chunk, named by its
number, costs no other. Layout: [MS-EVEN6] 2.2.12 to 2.2.17 and the public descriptions of the format.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from sekisho.collect.evtx_worker import Worker
from sekisho.collect.unpack import Trouble
from sekisho.model import Text

MAGIC = b"ElfFile\x00"
_CHUNK_MAGIC = b"ElfChnk\x00"
_HEADER = 4096
_CHUNK = 65_536


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def records(stream: _Stream, report: Callable[[Trouble], None]) -> Iterator[bytes]:
    """Each record as ``<Event ...>...</Event>`` in UTF-8, in file order.

    Characters that XML cannot hold become U+FFFD. Damage is reported with the chunk's number (from 0).
    """
    header = _exactly(stream, _HEADER)
    if len(header) < _HEADER:
        report(
            _trouble(
                "evtx-header", "", "ファイルの見出し部が途中で切れています", "the file header is cut off"
            )
        )
        return
    number = 0
    with Worker() as worker:
        while chunk := _exactly(stream, _CHUNK):
            yield from _chunk(worker, chunk, number, report)
            number += 1


def _exactly(stream: _Stream, size: int) -> bytes:
    parts: list[bytes] = []
    while size and (data := stream.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def _chunk(worker: Worker, chunk: bytes, number: int, report: Callable[[Trouble], None]) -> Iterator[bytes]:
    if not chunk.strip(b"\x00"):
        return  # preallocated and never used
    place = f"chunk {number}"
    if not chunk.startswith(_CHUNK_MAGIC):
        report(
            _trouble(
                "evtx-chunk",
                place,
                "チャンクが破損しているため読めません",
                "the chunk is damaged (no signature) and cannot be read",
            )
        )
        return
    if len(chunk) < _CHUNK:
        report(_trouble("evtx-cut-off", place, "途中で切れています", "the chunk is cut off"))
        chunk = chunk.ljust(_CHUNK, b"\x00")
    elif not _intact(chunk):
        report(
            _trouble(
                "evtx-checksum",
                place,
                "チェックサムが一致しません（破損、または書き込み中の複製）。読めた記録は保存しました",
                "checksum differs (damaged, or copied while open); the records that can be read were kept",
            )
        )
    yield from _parse(worker, chunk, place, report)


def _intact(chunk: bytes) -> bool:
    """Both CRC-32 of a chunk: over its records and over its header with the tables."""
    (free,) = struct.unpack_from("<I", chunk, 48)
    data_sum, head_sum = struct.unpack_from("<I", chunk, 52)[0], struct.unpack_from("<I", chunk, 124)[0]
    if not 512 <= free <= _CHUNK:
        return False
    return bool(
        zlib.crc32(chunk[512:free]) == data_sum and zlib.crc32(chunk[:120] + chunk[128:512]) == head_sum
    )


def _parse(worker: Worker, chunk: bytes, place: str, report: Callable[[Trouble], None]) -> Iterator[bytes]:
    parsed = worker.parse(chunk)
    for why in parsed.failures:
        report(_unreadable(place, why))
    yield from parsed.records


def _unreadable(place: str, why: str) -> Trouble:
    return _trouble(
        "evtx-record", place, f"読めない記録があります（{why}）", f"a record cannot be read ({why})"
    )


def _trouble(code: str, place: str, ja: str, en: str) -> Trouble:
    return Trouble(code, place, Text(ja=ja, en=en))
