"""A JSON record with one bad field: the bad part is set aside, the rest is mapped and judged.

Whoever signs in chooses some of the record's texts (his user agent, say). If one of them could turn the
record into a reject, it would hide him. Two steps, taken only after the fast decode failed:

* ``sound``: the text becomes JSON that every reader takes (RFC 8259, 8.1 and 8.2): bytes that are not UTF-8
  and lone surrogates become U+FFFD, control characters and stray backslashes in texts are escaped, numbers
  that no reader holds and what is nested too deep become texts. The record as it came stays in ``raw``.
* ``Fitter``: an optional field whose value is not what the source's Struct declares is left out, so that it
  goes to ``unmapped``; of a list or a dictionary the items that fit are kept. A required field must fit.

Both take time in proportion to the size of the record, whatever is in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import Raw

from sekisho.contract import Unmappable

#: Objects and lists inside each other; what is deeper becomes a text of at most so many characters.
DEEPEST = 64
_SHOWN = 1_000
#: A number with more characters than this becomes a text (an IEEE double needs 24, a 128-bit integer 40).
_LONGEST_NUMBER = 64
#: A text (perhaps without end: it is then read but once), a bracket, a number or what is written for one.
_TOKEN = re.compile(
    r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{]|[\]}]|-?[0-9][0-9.eE+-]*+|NaN|-?Infinity', re.DOTALL
)
_ODD = re.compile(r"[\\\x00-\x1f]")
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[\"\\/bfnrt]|\\|[\x00-\x1f]"
)
_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_object = msgspec.json.Decoder(dict[str, Raw]).decode
_list = msgspec.json.Decoder(list[Raw]).decode
_encode = msgspec.json.encode
#: Stands for a value of which nothing fits.
_NOTHING = object()


def _escape(match: re.Match[str]) -> str:
    found = match[0]
    if found == "\\":
        return "\\\\"
    if found[0] != "\\":
        return f"\\u{ord(found):04x}"
    if len(found) == 6 and found[2] in "dD" and found[3] not in "01234567":
        return "\\ufffd"
    return found


def _token(found: str) -> str:
    """A text or a number as every reader takes it."""
    if found[0] == '"':
        return _ESCAPE.sub(_escape, found) if _ODD.search(found) else found
    if found[0] in "NI-" and not found[1:2].isdigit():
        return f'"{found}"'
    if len(found) > _LONGEST_NUMBER:
        return f'"{found[:_SHOWN]}"'
    try:
        held = abs(float(found)) != float("inf")
    except ValueError:
        return found  # no number: the decoder says so
    return found if held or found.lstrip("-").isdigit() else f'"{found}"'


def sound(payload: bytes) -> bytes:
    """The JSON text made fit to be read. What is no JSON at all (cut off, say) stays none."""
    text = payload.decode("utf-8", "replace")
    parts: list[str] = []
    depth = cut = done = 0
    for match in _TOKEN.finditer(text):
        first = match[0][0]
        if first in "[{":
            depth += 1
            if depth == DEEPEST + 1:
                parts.append(text[done : match.start()])
                cut = done = match.start()
        elif first in "]}":
            if depth == DEEPEST + 1:
                done = match.end()
                parts.append(_encode(text[cut : min(done, cut + _SHOWN)]).decode())
            depth -= 1
        elif depth <= DEEPEST:
            parts += (text[done : match.start()], _token(match[0]))
            done = match.end()
    parts.append(text[done:])
    return "".join(parts).encode()


@dataclass
class _Shape:
    """A declared type: what reads it whole, and what its parts are."""

    decode: Callable[[Raw | bytes], Any]
    #: of a Struct: key → shape and whether it is required
    fields: dict[str, tuple[Any, bool]] = field(default_factory=dict)
    item: Any = None
    value: Any = None


def _options(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _options(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [one for option in get_args(annotation) for one in _options(option)]
    return [annotation]


@cache
def _shape(annotation: Any, strict: bool) -> _Shape:
    shape = _Shape(msgspec.json.Decoder(annotation, strict=strict).decode)
    for option in _options(annotation):
        if isinstance(option, type) and issubclass(option, msgspec.Struct):
            for one in msgspec.structs.fields(option):
                shape.fields[one.encode_name] = (one.type, one.required)
        elif get_origin(option) is list:
            (shape.item,) = get_args(option)
        elif get_origin(option) is dict:
            shape.value = get_args(option)[1]
    return shape


class Fitter:
    """What of a sound record fits the Struct of its source."""

    def __init__(self, record: type[msgspec.Struct], source: str) -> None:
        self._record, self._source = record, source

    def fit(self, payload: bytes, *, strict: bool = True) -> tuple[bytes, dict[str, Any]]:
        """The part that fits, and the fields left out, where they stood. Raises ``Unmappable``.

        ``strict`` False: texts are read as numbers and booleans where these are declared.
        """
        try:
            fitted, out = self._fit(self._record, Raw(payload), strict, "$")
        except _FAULTS as error:
            raise Unmappable("not-json", f"this is not JSON: {error}") from error
        if fitted is _NOTHING:
            raise Unmappable("wrong-shape", f"not a record of source {self._source}: $ is not an object")
        return _encode(fitted), out or {}

    def _fit(self, annotation: Any, raw: Raw, strict: bool, path: str) -> tuple[Any, Any]:
        """What fits (or ``_NOTHING``), and what does not (None: nothing, or told elsewhere)."""
        shape = _shape(annotation, strict)
        try:
            shape.decode(raw)
        except _FAULTS as error:
            first = bytes(memoryview(raw)[:1])
            if first == b"{" and shape.fields:
                return self._members(shape, raw, strict, path)
            if first == b"{" and shape.value is not None:
                found = {key: self._fit(shape.value, one, strict, path) for key, one in _object(raw).items()}
                return {key: one for key, (one, _) in found.items() if one is not _NOTHING}, raw
            if first == b"[" and shape.item is not None:
                items = [self._item(shape.item, one, strict, path) for one in _list(raw)]
                return [one for one in items if one is not _NOTHING], raw
            if isinstance(error, msgspec.ValidationError):
                return _NOTHING, raw
            raise
        return raw, None

    def _item(self, annotation: Any, raw: Raw, strict: bool, path: str) -> Any:
        try:
            return self._fit(annotation, raw, strict, f"{path}[]")[0]
        except Unmappable:
            return _NOTHING

    def _members(self, shape: _Shape, raw: Raw, strict: bool, path: str) -> tuple[Any, Any]:
        found = _object(raw)
        fitted: dict[str, Any] = {}
        out: dict[str, Any] = {}
        for key, (annotation, required) in shape.fields.items():
            if key not in found:
                if required:
                    raise self._lacks(f"{path}.{key}", "missing")
                continue
            try:
                value, left = self._fit(annotation, found[key], strict, f"{path}.{key}")
            except Unmappable:
                if required:
                    raise
                value, left = _NOTHING, found[key]
            if value is not _NOTHING:
                fitted[key] = value
            elif required:
                raise self._lacks(f"{path}.{key}", bytes(found[key])[:60].decode("utf-8", "replace"))
            if left:
                out[key] = left
        return fitted, out

    def _lacks(self, path: str, found: str) -> Unmappable:
        return Unmappable(
            "wrong-shape",
            f"not a record of source {self._source}: {path}, which it must have, is not what is expected:"
            f" {found}",
        )


def merged(left: dict[str, Any], out: dict[str, Any]) -> dict[str, Any]:
    """What is left over of a record, and what did not fit, in one object."""
    both = dict(left)
    for key, value in out.items():
        inner = both.get(key)
        both[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return both
