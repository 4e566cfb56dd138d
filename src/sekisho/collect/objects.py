"""JSON objects one after another, with or without line feeds between them: where each begins and ends.

Pure. Each object's bytes stay exactly as they were received. What is no JSON object comes out as a piece
of its own, so that nothing but blanks between the pieces is ever left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

import msgspec

T = TypeVar("T")

_scan = json.JSONDecoder().raw_decode
#: Bytes that may be looked at in vain while searching for the end of objects, as a multiple of the body.
#: Without it a body of opening brackets would be read once per line.
_VAIN = 4
_VAIN_LEAST = 1 << 20
_WINDOW = 512
#: An error so near to the end of a window may come from the window's end: a word or an escape cut in two.
_CUT = 16


class Piece(NamedTuple, Generic[T]):
    """``value`` is None where ``body`` is not a JSON object of the wanted shape; then ``why`` says why."""

    body: bytes
    value: T | None
    why: str = ""


def split(body: bytes, decoder: msgspec.json.Decoder[T]) -> list[Piece[T]]:
    """All pieces of ``body`` in their order. ``decoder`` is for one object.

    Fast where each object is one line. Otherwise the ends are searched from the line that is not one
    whole object; after something malformed it goes on at the next line.
    """
    pieces: list[Piece[T]] = []
    lines = body.split(b"\n")
    number, at = 0, 0
    text = ""
    allowed = max(_VAIN_LEAST, _VAIN * len(body))
    while number < len(lines):
        line = lines[number]
        start = at
        number, at = number + 1, at + len(line) + 1
        line = line.strip(b" \t\r")
        if not line:
            continue
        piece = decoded(line, decoder)
        if piece.value is not None or allowed <= 0 or line[:1] != b"{":
            pieces.append(piece)
            continue
        text = text or body.decode("latin-1")  # one character per byte: places stay the same
        end, vain = _objects(text, start, body, decoder, pieces)
        allowed -= vain
        while at <= end and number < len(lines):
            at += len(lines[number]) + 1
            number += 1
    return pieces


def _objects(
    text: str, start: int, body: bytes, decoder: msgspec.json.Decoder[T], pieces: list[Piece[T]]
) -> tuple[int, int]:
    """Pieces from ``start`` to the end of a line; gives that end and how many bytes were read in vain."""
    place = start
    while True:
        while place < len(text) and text[place] in " \t\r":
            place += 1
        if place >= len(text) or text[place] == "\n":
            return place, 0
        end, seen = _end(text, place)
        if end is None:
            feed = text.find("\n", place)
            stop = len(text) if feed < 0 else feed
            pieces.append(decoded(body[place:stop].strip(b" \t\r"), decoder))
            return stop, seen
        pieces.append(decoded(body[place:end], decoder))
        place = end


def _end(text: str, place: int) -> tuple[int | None, int]:
    """End of the object at ``place``, or None and the number of characters that were read in vain.

    It is looked for in windows that grow, since the standard library counts all lines before an error.
    """
    if text[place] != "{":
        return None, 0
    size, seen = _WINDOW, 0
    while True:
        window = text[place : place + size]
        seen += len(window)
        try:
            return place + _scan(window)[1], 0
        except json.JSONDecodeError as error:
            cut = error.pos >= len(window) - _CUT or error.msg.startswith("Unterminated string")
            if not cut or place + size >= len(text):
                return None, seen
        except (RecursionError, ValueError):  # too deep; a number of too many digits
            return None, seen
        size *= 4


def decoded(body: bytes, decoder: msgspec.json.Decoder[T]) -> Piece[T]:
    """One piece, decoded if it is what the decoder wants."""
    try:
        return Piece(body, decoder.decode(body))
    except RecursionError:
        return Piece(body, None, "nested too deeply")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Piece(body, None, str(error))


def lines(body: bytes) -> Iterator[bytes]:
    """Lines that are not blank, without their line ends."""
    for line in body.split(b"\n"):
        line = line.removesuffix(b"\r")
        if line.strip():
            yield line
