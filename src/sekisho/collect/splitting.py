"""Where one record ends and the next begins in a file: lines, CSV rows, JSON values, event XML.

Each function reads a stream forwards with bounded memory and yields ``(body, line)``: the record byte for
byte without its line end, and the number of the line on which it starts (from 1; 0 where lines mean
nothing). Nothing is thrown away: what cannot be split comes out as it is, and ``report`` learns why.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from sekisho.collect.unpack import BLOCK, Trouble
from sekisho.model import Text

Piece = tuple[bytes, int]
Report = Callable[[Trouble], None]

#: keys under which services put the records of one delivery (CloudTrail; Microsoft; Google)
CONTAINERS = ("Records", "value", "items")
_SPACE = b" \t\r\n"
#: bytes of one value where several follow each other
_STREAMED_VALUE = 64 << 20


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def lines(stream: Stream, limit: int, report: Report) -> Iterator[Piece]:
    """Lines that are not empty. One longer than ``limit`` comes out in pieces."""
    number, size = 1, 0
    held: list[bytes] = []
    while block := stream.read(BLOCK):
        first, line_end, more = block.partition(b"\n")
        held.append(first)
        size += len(first)
        if line_end:
            yield from _line(b"".join(held), number, limit, report)
            *parts, rest = more.split(b"\n")
            for index, part in enumerate(parts, number + 1):
                yield from _line(part, index, limit, report)
            number += 1 + len(parts)
            held, size = [rest], len(rest)
        if size > limit + BLOCK:
            whole = b"".join(held)
            keep = len(whole) - len(whole) % limit
            yield from cut(whole[:keep], number, f"line {number}", limit, report)
            held, size = [whole[keep:]], len(whole) - keep
    yield from _line(b"".join(held), number, limit, report)


def _line(line: bytes, number: int, limit: int, report: Report) -> Iterator[Piece]:
    body = line.rstrip(b"\r")
    if len(body) <= limit:
        if body.strip(b" \t\x00"):
            yield body, number
        return
    yield from cut(body, number, f"line {number}", limit, report)


def cut(body: bytes, number: int, place: str, limit: int, report: Report) -> Iterator[Piece]:
    """The body, in pieces of ``limit`` bytes if it is longer; then that is reported."""
    if len(body) > limit:
        report(_too_long(place, limit))
    for start in range(0, len(body), limit):
        yield body[start : start + limit], number


def csv_rows(stream: Stream, limit: int, report: Report) -> Iterator[Piece]:
    """Rows (RFC 4180): a line end inside quotes belongs to the row.

    A quote that is never closed would swallow the rest of the file: a row longer than ``limit`` is given
    up, its first line is a row, and splitting goes on after it.
    """
    held: list[Piece] = []
    size, quotes = 0, 0
    for piece in lines(stream, limit, report):
        held.append(piece)
        size += len(piece[0])
        quotes += piece[0].count(b'"')
        if quotes % 2 == 0:
            yield b"\n".join(body for body, _ in held), held[0][1]
        elif size <= limit:
            continue
        else:
            report(_open_quote(held[0][1]))
            yield from held
        held, size, quotes = [], 0, 0
    if held:
        report(_open_quote(held[0][1]))
        yield from held


def ndjson(stream: Stream, limit: int, document: int, report: Report) -> Iterator[Piece]:
    """One JSON value per line; a line that is an array or a container object gives its elements."""
    for body, number in lines(stream, max(limit, document), report):
        if len(body) <= limit and not is_container(body):
            yield body, number
        else:
            for element in elements(body):
                yield from cut(element, number, f"line {number}", limit, report)


def json_document(stream: Stream, limit: int, document: int, report: Report) -> Iterator[Piece]:
    """JSON of any layout: one object, an array, a container object, or several values in a row.

    Several values in a row are streamed. A document larger than ``document`` bytes is reported.
    """
    head = _take(stream, BLOCK)
    scanner = Values()
    if len(head) < BLOCK or not scanner.feed(head):
        head += _take(stream, document + 1 - len(head))
        if len(head) <= document:
            yield from _whole(head, limit, report)
            return
        if is_container(head) or head.lstrip(_SPACE).startswith(b"["):
            report(_too_large(document))
            return
    yield from _streamed(head, stream, limit, report)


def _whole(data: bytes, limit: int, report: Report) -> Iterator[Piece]:
    """A document in memory: its elements; if it is several or a broken one, what can be made out."""
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        opening = _OPENING.match(data)
        if opening:
            report(_broken("the array"))
            data = data[opening.end() :]
        for value in _scan(data, limit, report, inside=bool(opening)):
            yield from cut(value, 0, "", limit, report)
        return
    for element in elements(data.strip(_SPACE)):
        yield from cut(element, 0, "", limit, report)


def _streamed(head: bytes, stream: Stream, limit: int, report: Report) -> Iterator[Piece]:
    scanner = Values()
    block = head
    while block:
        for value in scanner.feed(block):
            for element in elements(value) if is_container(value) else (value,):
                yield from cut(element, 0, "", limit, report)
        if scanner.pending > _STREAMED_VALUE:
            report(_too_large(_STREAMED_VALUE))
            return
        block = stream.read(BLOCK)
    yield from _remainder(scanner, limit, report)


def _scan(data: bytes, limit: int, report: Report, *, inside: bool) -> Iterator[bytes]:
    scanner = Values()
    for value in scanner.feed(data):
        yield from elements(value) if is_container(value) and not inside else (value,)
    for body, _ in _remainder(scanner, limit, report):
        yield body


def _remainder(scanner: Values, limit: int, report: Report) -> Iterator[Piece]:
    rest = scanner.rest.strip(_SPACE + b",")
    if rest and rest.strip(_SPACE + b"]}"):
        report(_broken("the last value"))
        yield from cut(rest, 0, "", limit, report)


_OPENING = re.compile(
    rb'\s*(?:\{\s*"(?:' + b"|".join(key.encode() for key in CONTAINERS) + rb')"\s*:\s*)?\[\s*'
)
_IS_CONTAINER = re.compile(
    rb'\s*(?:\[\s*[{\[\]]|\{(?:\s*"(?:@odata[^"]*|kind|etag|nextPageToken|nextLink)"\s*:\s*"[^"]*"\s*,)*\s*"(?:'
    + b"|".join(key.encode() for key in CONTAINERS)
    + rb')"\s*:\s*\[\s*[{\]])'
)


def is_container(data: bytes) -> bool:
    """Whether this begins like an array of objects or an object that holds one under a known key."""
    return _IS_CONTAINER.match(data) is not None


def elements(data: bytes) -> Iterator[bytes]:
    """Elements of an array or container object byte for byte; anything else is given back as it is."""
    try:
        if not is_container(data):
            yield data
            return
        listed = msgspec.Raw(data)
        if not data.lstrip(_SPACE).startswith(b"["):
            members = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
            listed = next(members[key] for key in CONTAINERS if key in members)
        found = msgspec.json.decode(listed, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        yield data
        return
    for element in found:
        yield bytes(element)


class Values:
    """Splits a stream of JSON values by brackets and strings alone; any chunking gives the same values.

    Separators between values (white space, commas, RFC 7464 record separators) are dropped. Text that is
    neither object nor array sticks to the value after it. A value is as large as its brackets say: the
    caller bounds ``pending``.
    """

    _TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]]|"', re.DOTALL)

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._depth = 0
        self._at = 0

    @property
    def pending(self) -> int:
        """Bytes of a value that has begun and not ended."""
        return len(self._buffer)

    @property
    def rest(self) -> bytes:
        """What has begun and not ended."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Values that are complete with ``data``."""
        buffer = self._buffer
        buffer += data
        found: list[bytes] = []
        start = 0
        position = self._at
        for token in self._TOKEN.finditer(buffer, self._at):
            mark = token.group()
            position = token.end()
            if mark == b'"':
                position = token.start()
                break
            if mark in (b"{", b"["):
                self._depth += 1
            elif mark in (b"}", b"]"):
                self._depth = max(0, self._depth - 1)
                if self._depth == 0:
                    value = bytes(buffer[start:position]).strip(_SPACE + b",\x1e")
                    start = position
                    if value.strip(b"]}"):
                        found.append(value)
        else:
            position = len(buffer)
        del buffer[:start]
        self._at = position - start
        return found


_EVENT = re.compile(rb"<Event[\s>]")
_EVENT_END = b"</Event>"


def event_xml(stream: Stream, limit: int, report: Report) -> Iterator[Piece]:
    """``<Event>`` elements, whether alone, one after another or inside ``<Events>``.

    One longer than ``limit`` comes out in pieces.
    """
    buffer = b""
    inside = False  # an element longer than the limit has begun
    while block := stream.read(BLOCK):
        buffer += block
        end = 0
        while (start := _event_start(buffer, end, inside)) >= 0:
            close = buffer.find(_EVENT_END, start)
            if close < 0:
                break
            end = close + len(_EVENT_END)
            yield from cut(buffer[start:end], 0, "", limit, report)
            inside = False
        buffer = buffer[max(start, end) if start >= 0 else max(end, len(buffer) - len(_EVENT_END)) :]
        if start >= 0 and len(buffer) > limit + BLOCK:
            keep = len(buffer) - len(buffer) % limit - limit
            yield from cut(buffer[:keep], 0, "", limit, report)
            buffer, inside = buffer[keep:], True
    start = _event_start(buffer, 0, inside)
    if start >= 0:
        report(_broken("the last <Event>"))
        yield from cut(buffer[start:], 0, "", limit, report)


def _event_start(buffer: bytes, at: int, inside: bool) -> int:
    """Where an element begins or goes on; -1 if none does."""
    if inside and at == 0:
        return 0
    opening = _EVENT.search(buffer, at)
    return opening.start() if opening else -1


def _take(stream: Stream, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0 and (data := stream.read(min(size, BLOCK))):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def _too_long(place: str, limit: int) -> Trouble:
    return Trouble(
        "too-long",
        place,
        Text(
            ja=f"1 件が上限 {limit} バイトを超えています。分割して保存しました",
            en=f"one record is longer than the limit of {limit} bytes; it was kept in pieces",
        ),
    )


def _open_quote(number: int) -> Trouble:
    return Trouble(
        "open-quote",
        f"line {number}",
        Text(
            ja="引用符が閉じていません。行ごとに保存しました",
            en="a quote is never closed; its lines were kept one by one",
        ),
    )


def _broken(what: str) -> Trouble:
    return Trouble(
        "broken",
        what,
        Text(
            ja="途中で切れているか壊れています。読めた分と残りをそのまま保存しました",
            en="is cut off or broken; what could be made out and the rest were kept as they are",
        ),
    )


def _too_large(document: int) -> Trouble:
    return Trouble(
        "document-too-large",
        "",
        Text(
            ja=f"JSON の値が上限 {document} バイトを超えています。1 行 1 件（NDJSON）に変換してください"
            "（例: jq -c '.[]'）",
            en=f"a JSON value is larger than the limit of {document} bytes; turn it into one object per line"
            " (NDJSON), for example with jq -c '.[]'",
        ),
    )
