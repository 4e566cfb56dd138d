"""Members of a tar stream (POSIX.1-2001 ustar and pax, GNU long names), read forwards only.

The standard library reads an extended header whole, however large it claims to be; here it is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

BLOCK = 512
#: bytes of an extended header; real ones hold a path
EXTENDED = 1 << 20
_REGULAR = (b"0", b"\x00", b"7")


class DamagedTar(Exception):  # noqa: N818 - a verdict on data
    """A header that is none; there is no way to find the next."""


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


class TarMember:
    """The bytes of one member. Must be read or drained before the next header."""

    def __init__(self, source: _Source, size: int) -> None:
        self._source = source
        self._size = size
        self._left = size

    def read(self, size: int, /) -> bytes:
        if not self._left:
            return b""
        data = self._source.read(min(size, self._left))
        if not data:
            raise EOFError(f"the tar archive is cut off, {self._left} bytes of this member are missing")
        self._left -= len(data)
        return data

    def drain(self) -> None:
        """Skip what was not read, and the padding to the next block."""
        while self._left:
            data = self._source.read(min(self._left, 1 << 20))
            if not data:
                return
            self._left -= len(data)
        _exactly(self._source, -self._size % BLOCK)


def tar_members(source: _Source) -> Iterator[tuple[str, TarMember]]:
    """Name and stream of each regular file. Raises ``DamagedTar``."""
    name, size = "", -1
    while True:
        header = _exactly(source, BLOCK)
        if len(header) < BLOCK or not header.strip(b"\x00"):
            return
        _check(header)
        kind = header[156:157]
        own = _number(header[124:136])
        member = TarMember(source, own if size < 0 or kind in (b"x", b"g", b"L", b"K") else size)
        if kind == b"L":
            name = _text(_extended(member, own).rstrip(b"\x00"))
        elif kind == b"x":
            pax = _pax(_extended(member, own))
            name = pax.get("path", name)
            size = int(pax["size"]) if pax.get("size", "").isdecimal() else size
        elif kind in _REGULAR:
            yield name or _name(header), member
        member.drain()
        if kind not in (b"L", b"K", b"x", b"g"):
            name, size = "", -1


def _exactly(source: _Source, size: int) -> bytes:
    parts: list[bytes] = []
    while size and (data := source.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def _extended(member: TarMember, size: int) -> bytes:
    if size > EXTENDED:
        raise DamagedTar(f"an extended tar header claims {size} bytes; at most {EXTENDED} are read")
    return _exactly(member, size)


def _check(header: bytes) -> None:
    """The checksum counts the header's bytes with its own field as spaces."""
    expected = sum(header[:148]) + 8 * 0x20 + sum(header[156:])
    if _number(header[148:156]) != expected:
        raise DamagedTar("a tar header has a wrong checksum")


def _number(field: bytes) -> int:
    """Octal text, or base 256 with the top bit set (GNU)."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        if value > 1 << 62:
            raise DamagedTar("a tar header holds an impossible number")
        return value
    text = field.strip(b" \x00")
    try:
        return int(text or b"0", 8)
    except ValueError as error:
        raise DamagedTar("a tar header holds something that is not a number") from error


def _name(header: bytes) -> str:
    name = header[:100].split(b"\x00", 1)[0]
    prefix = header[345:500].split(b"\x00", 1)[0] if header[257:263] == b"ustar\x00" else b""
    return _text(prefix + b"/" + name if prefix else name)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _pax(data: bytes) -> dict[str, str]:
    """Records ``LEN KEY=VALUE LF`` (POSIX.1-2001, pax)."""
    found: dict[str, str] = {}
    while data:
        digits = data.partition(b" ")[0]
        if not digits.isdigit() or len(digits) > 8 or not len(digits) < int(digits) <= len(data):
            raise DamagedTar("a pax header is malformed")
        record, data = data[len(digits) + 1 : int(digits)], data[int(digits) :]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        found[_text(key)] = _text(value)
    return found
