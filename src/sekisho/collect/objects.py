"""JSON objects one after another, with or without line feeds between them: where each begins and ends.

Pure. Each object's bytes stay exactly as they were received. What is no JSON object comes out as a piece
of its own, so that nothing but blanks between the pieces is ever left out. Nothing is built of an object
but what its decoder takes, and the number of pieces is bounded: memory is a small multiple of the body.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

import msgspec

T = TypeVar("T")

#: Records of one request. It bounds what a request of the smallest records (``{}{}{}``) costs: each is an
#: object of about 300 bytes however small it is.
RECORDS = 1 << 18
#: Bytes in which an object must end when its end has to be searched for, and bytes that may be searched in
#: vain over a whole body; then the rest of the body is one piece.
_LONGEST = 1 << 20
_VAIN = 8 << 20

_STRING = rb'"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+"'


def _group(inside: bytes) -> bytes:
    return rb'[{\[](?:[^{}\[\]"]++|' + _STRING + inside + rb")*+[}\]]"


#: Strings, brackets, and whole groups of brackets to a depth of 4, which the matcher takes in one step.
_TOKEN = re.compile(
    _STRING + b"|" + _group(b"|" + _group(b"|" + _group(b"|" + _group(b"")))) + rb'|[{}\[\]"]', re.DOTALL
)
#: The same with a comma between elements; for arrays that are known to be JSON.
_ELEMENT = re.compile(_TOKEN.pattern + rb"|,", re.DOTALL)


class TooMany(Exception):  # noqa: N818 - an answer to the sender
    """More than ``RECORDS`` records in one request."""


class Piece(NamedTuple, Generic[T]):
    """``value`` is None where ``body`` is not a JSON object of the wanted shape; then ``why`` says why."""

    body: bytes
    value: T | None
    why: str = ""


def split(body: bytes, decoder: msgspec.json.Decoder[T]) -> list[Piece[T]]:
    """All pieces of ``body`` in their order. ``decoder`` is for one object.

    Fast where each object is one line. Otherwise the ends are searched from the line that is not one
    whole object; after something malformed it goes on at the next line. Raises ``TooMany``.
    """
    pieces: list[Piece[T]] = []
    at, allowed = 0, min(_VAIN, max(_LONGEST, 4 * len(body)))
    while at < len(body):
        stop = _line_end(body, at)
        line = body[at:stop].strip(b" \t\r")
        piece = decoded(line, decoder) if line else None
        if piece is None or piece.value is not None or line[:1] != b"{":
            pieces += [piece] if piece is not None else []
            at = stop + 1
        elif allowed <= 0:
            pieces.append(decoded(body[at:].strip(), decoder))
            at = len(body)
        else:
            at, vain = _objects(body, at, decoder, pieces)
            allowed -= vain
        if len(pieces) > RECORDS:
            raise TooMany
    return pieces


def _line_end(body: bytes, at: int) -> int:
    feed = body.find(b"\n", at)
    return len(body) if feed < 0 else feed


_BLANK = re.compile(rb"[ \t\r]*")


def _objects(
    body: bytes, place: int, decoder: msgspec.json.Decoder[T], pieces: list[Piece[T]]
) -> tuple[int, int]:
    """Pieces from ``place`` to the end of a line; gives the place after it and how many bytes were read
    in vain."""
    while len(pieces) <= RECORDS:
        blank = _BLANK.match(body, place)
        place = blank.end() if blank else place
        if place >= len(body) or body[place : place + 1] == b"\n":
            return place + 1, 0
        end = _end(body, place)
        if end is None or not _whole(body, place, end):
            stop = _line_end(body, place)
            pieces.append(decoded(body[place:stop].strip(b" \t\r"), decoder))
            return stop + 1, min(_LONGEST, len(body) - place)
        pieces.append(decoded(body[place:end], decoder))
        place = end
    return place, 0


def _end(body: bytes, place: int) -> int | None:
    """End of the object at ``place`` by its brackets and strings; None if it does not end in time."""
    if body[place : place + 1] != b"{":
        return None
    depth = 0
    for token in _TOKEN.finditer(body, place, min(len(body), place + _LONGEST)):
        mark = token.group()
        if mark == b'"':  # a string that does not end
            return None
        if len(mark) == 1:
            depth += 1 if mark in b"{[" else -1
        if depth <= 0:
            return token.end()
    return None


def _whole(body: bytes, place: int, end: int) -> bool:
    """Whether to take this as one: brackets alone could make one of a bad line and good ones after it."""
    if b"\n" not in body[place:end]:
        return True
    try:
        msgspec.json.decode(body[place:end], type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    except RecursionError:
        return True
    return True


def array(listed: bytes | msgspec.Raw, most: int = RECORDS) -> list[bytes]:
    """Elements of a JSON array, byte for byte. Raises ``TooMany`` before it builds more than ``most``,
    msgspec's errors or ``RecursionError`` if it is no JSON array."""
    body = bytes(listed)
    if body.count(b",") >= most:
        msgspec.json.decode(body, type=msgspec.Raw)  # so that brackets and strings can be relied on
        _check(body, most)
    return [bytes(element) for element in msgspec.json.decode(body, type=list[msgspec.Raw])]


def _check(body: bytes, most: int) -> None:
    opening = body.find(b"[")
    depth, commas = 1, 0
    for token in _ELEMENT.finditer(body, opening + 1):
        mark = token.group()
        if mark == b",":
            commas += depth == 1
            if commas >= most:
                raise TooMany
        elif mark in b"{[":
            depth += 1
        elif mark in b"}]":
            depth -= 1


def decoded(body: bytes, decoder: msgspec.json.Decoder[T]) -> Piece[T]:
    """One piece, decoded if it is what the decoder wants."""
    try:
        return Piece(body, decoder.decode(body))
    except RecursionError:
        return Piece(body, None, "nested too deeply")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Piece(body, None, str(error))


def lines(body: bytes, most: int = RECORDS) -> Iterator[bytes]:
    """Lines that are not blank, without their line ends. Raises ``TooMany`` after ``most``."""
    count = 0
    for whole in io.BytesIO(body):
        line = whole.removesuffix(b"\n").removesuffix(b"\r")
        if line.strip():
            count += 1
            if count > most:
                raise TooMany
            yield line
