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
#: chunks of one file on which the parser may hang before the rest is given up
HUNG = 3


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Reader:
    """Reads the EVTX members of one file of the user.

    A chunk on which the parser hangs costs seconds, so after ``HUNG`` of them nothing more is read of the
    file; ``gave_up`` says so.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._hung = 0

    @property
    def gave_up(self) -> bool:
        return self._hung >= HUNG

    def records(self, stream: _Stream, report: Callable[[Trouble], None]) -> Iterator[bytes]:
        """Each record as ``<Event ...>...</Event>`` in UTF-8, in file order.

        Characters that XML cannot hold become U+FFFD. Damage is reported with the chunk's number (from 0).
        """
        if len(_exactly(stream, _HEADER)) < _HEADER:
            report(
                _trouble(
                    "evtx-header", "", "ファイルの見出し部が途中で切れています", "the file header is cut off"
                )
            )
            return
        number = 0
        while chunk := _exactly(stream, _CHUNK):
            if self.gave_up:
                report(_given_up(number))
                return
            if _sound(chunk, f"chunk {number}", report):
                yield from self._parse(chunk.ljust(_CHUNK, b"\x00"), f"chunk {number}", report)
            number += 1

    def _parse(self, chunk: bytes, place: str, report: Callable[[Trouble], None]) -> Iterator[bytes]:
        parsed = self._worker.parse(chunk)
        self._hung += parsed.hung
        for why in parsed.failures:
            report(_unreadable(place, why))
        if parsed.hung:
            report(_stuck(place, len(parsed.records)))
        yield from parsed.records


def _exactly(stream: _Stream, size: int) -> bytes:
    parts: list[bytes] = []
    while size and (data := stream.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def _sound(chunk: bytes, place: str, report: Callable[[Trouble], None]) -> bool:
    """Whether to parse it; what is wrong with it is reported."""
    if not chunk.strip(b"\x00"):
        return False  # preallocated and never used
    if not chunk.startswith(_CHUNK_MAGIC):
        report(
            _trouble(
                "evtx-chunk",
                place,
                "チャンクが破損しているため読めません",
                "the chunk is damaged (no signature) and cannot be read",
            )
        )
        return False
    if len(chunk) < _CHUNK:
        report(_trouble("evtx-cut-off", place, "途中で切れています", "the chunk is cut off"))
    elif not _intact(chunk):
        report(
            _trouble(
                "evtx-checksum",
                place,
                "チェックサムが一致しません（破損、または書き込み中の複製）。読めた記録は保存しました",
                "checksum differs (damaged, or copied while open); the records that can be read were kept",
            )
        )
    return True


def _intact(chunk: bytes) -> bool:
    """Both CRC-32 of a chunk: over its records and over its header with the tables."""
    (free,) = struct.unpack_from("<I", chunk, 48)
    data_sum, head_sum = struct.unpack_from("<I", chunk, 52)[0], struct.unpack_from("<I", chunk, 124)[0]
    if not 512 <= free <= _CHUNK:
        return False
    return bool(
        zlib.crc32(chunk[512:free]) == data_sum and zlib.crc32(chunk[:120] + chunk[128:512]) == head_sum
    )


def _unreadable(place: str, why: str) -> Trouble:
    return _trouble(
        "evtx-record", place, f"読めない記録があります（{why}）", f"a record cannot be read ({why})"
    )


def _stuck(place: str, kept: int) -> Trouble:
    return _trouble(
        "evtx-stuck",
        place,
        f"壊れた記録のため解析が終わりません。その前の {kept} 件を保存し、このチャンクの残りは読んでいません",
        f"a malformed record keeps the parser from ending; the {kept} records before it were kept, the"
        " rest of the chunk was not read",
    )


def _given_up(number: int) -> Trouble:
    return _trouble(
        "evtx-given-up",
        f"from chunk {number}",
        f"解析が終わらないチャンクが {HUNG} 個あったため、このファイルの残りは読んでいません。"
        "元の機器からもう一度書き出し、もう一度取り込んでください（保存済みの分は重複しません）",
        f"not read, after {HUNG} chunks on which the parser hung; export the log anew from its machine and"
        " ingest it again (what is stored already is not doubled)",
    )


def _trouble(code: str, place: str, ja: str, en: str) -> Trouble:
    return Trouble(code, place, Text(ja=ja, en=en))
