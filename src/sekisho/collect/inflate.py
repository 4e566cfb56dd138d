"""Decompressing streams with bounded memory: each hands out what came before damage, then raises."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from typing import IO, Protocol

import zstandard


class Readable(Protocol):
    """The only thing that is asked of a stream."""

    def read(self, size: int, /) -> bytes: ...


class Seekable(Readable, Protocol):
    """A file on disk or in memory."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...


class GzipStream:
    """Unpacks gzip members one after another; hands out what came before damage, then raises."""

    def __init__(self, inner: IO[bytes]) -> None:
        self._inner = gzip.GzipFile(fileobj=inner)

    def read(self, size: int, /) -> bytes:
        return self._inner.read1(size)


class ZipStream:
    """One stored or deflated member of a zip; the checksum is judged after the last byte was handed out."""

    def __init__(self, file: Seekable, info: zipfile.ZipInfo) -> None:
        """Raises ``zipfile.BadZipFile`` if the member's own header is not where the directory says."""
        file.seek(info.header_offset)
        header = file.read(30)
        if len(header) < 30 or not header.startswith(b"PK\x03\x04"):
            raise zipfile.BadZipFile("the header of this member is damaged")
        name, extra = struct.unpack_from("<HH", header, 26)
        self._at = info.header_offset + 30 + name + extra
        self._file = file
        self._left = info.compress_size
        self._expected = info.CRC
        self._checksum = 0
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS) if info.compress_type else None

    def read(self, size: int, /) -> bytes:
        data = self._stored(size) if self._inflate is None else self._inflated(self._inflate, size)
        self._checksum = zlib.crc32(data, self._checksum)
        if not data and self._checksum != self._expected:
            raise zipfile.BadZipFile("the checksum differs")
        return data

    def _stored(self, size: int) -> bytes:
        self._file.seek(self._at)
        data = self._file.read(min(size, self._left))
        self._at += len(data)
        self._left -= len(data)
        return data

    def _inflated(self, inflate: zlib._Decompress, size: int) -> bytes:
        data = b""
        while not data and not inflate.eof:
            packed = inflate.unconsumed_tail or self._stored(65_536)
            if not packed:
                raise EOFError("this member is cut off")
            data = inflate.decompress(packed, size)
        return data


class ZstdStream:
    """Unpacks zstd frames one after another with bounded memory; a cut-off frame is an ``EOFError``."""

    _STEP = 1024  # bytes in; zstd may expand each 4 to 128 KiB, so out is at most 32 MiB at a time

    def __init__(self, inner: Readable) -> None:
        self._inner = inner
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        self._frame = self._decompressor.decompressobj()
        self._packed = b""
        self._out = memoryview(b"")
        self._inside = False

    def read(self, size: int, /) -> bytes:
        while not self._out:
            if not self._packed:
                self._packed = self._inner.read(65_536)
            if not self._packed:
                if self._inside:
                    raise EOFError("the zstd stream is cut off")
                return b""
            self._advance()
        piece, self._out = self._out[:size], self._out[size:]
        return bytes(piece)

    def _advance(self) -> None:
        step, self._packed = self._packed[: self._STEP], self._packed[self._STEP :]
        self._inside = True
        self._out = memoryview(self._frame.decompress(step))
        if self._frame.eof:
            self._packed = self._frame.unused_data + self._packed
            self._frame = self._decompressor.decompressobj()
            self._inside = False
