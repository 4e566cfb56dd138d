"""Errors of the search language: the query, a mark under the place, what was expected, an example."""

from __future__ import annotations

import difflib
import re
import unicodedata

from sekisho.lake.fields import Field
from sekisho.model import Refused

#: Characters that are shown before and after the place.
_BEFORE, _AFTER = 70, 40
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")

_EXAMPLES = {
    "address": "203.0.113.7, 203.0.113.0/24 or 2001:db8::/32",
    "number": "443, >=1024 or [1 TO 1023]",
    "flag": "true or false",
    "time": "2026-05-14, [2026-05-14 TO now] or >now-2h",
    "path": "'curl.exe' or '*\\\\Temp\\\\*'",
    "text": '"a phrase"',
}


class QueryError(Refused):
    """The query cannot be understood; ``column`` counts characters from 1."""

    def __init__(self, query: str, column: int, why: str, remedy: str = "") -> None:
        self.query = query
        self.column = column
        shown, before = _window(query, column - 1)
        blanks = "".join("　" if unicodedata.east_asian_width(c) in "WF" else " " for c in before)
        why, remedy = (_CONTROL.sub("·", text) for text in (why, remedy))
        super().__init__(f"column {column}: {why}\n    {shown}\n    {blanks}^", remedy)


def _window(query: str, at: int) -> tuple[str, str]:
    """What is shown of the query, and its part before the place. Nothing in it may steer a terminal."""
    first, last = max(0, at - _BEFORE), at + _AFTER
    head = "…" if first else ""
    before = head + _CONTROL.sub("·", query[first:at])
    return before + _CONTROL.sub("·", query[at:last]) + ("…" if last < len(query) else ""), before


def example(field: Field, value: str) -> str:
    """What a value of this field looks like; the name that was meant, where the field has names."""
    if field.names:
        near = difflib.get_close_matches(value.lower(), field.names, n=2, cutoff=0.5)
        if near:
            return f"did you mean {' or '.join(f'{field.name}:{name}' for name in near)}?"
        return f"for example {field.name}:{next(iter(field.names))}"
    kind = field.targets[0].kind
    return f"for example {field.name}:{_EXAMPLES.get(kind, 'emp0042 or emp00*')}"


def ends_early(query: str) -> QueryError:
    """The parser wanted more: the bracket that is open, or the word that has nothing after it."""
    open_ = _unclosed(query)
    if open_ is not None:
        close = {"(": ")", "[": "]", "{": "}"}[query[open_]]
        return QueryError(
            query, open_ + 1, f"{query[open_]} is not closed", f"close it with {close}, or quote the text"
        )
    tail = re.search(r"\b(AND|OR|NOT)\s*$", query)
    if tail:
        return QueryError(
            query, len(query.rstrip()) + 1, f"nothing stands after {tail[1]}", f"for example: a {tail[1]} b"
        )
    return QueryError(
        query,
        len(query.rstrip()) + 1,
        "the query ends too early",
        "add what is looked for, for example user:emp0042 or -status:success",
    )


def misplaced(query: str, at: int) -> QueryError:
    """The parser cannot go on at this place."""
    word = re.match(r"(AND|OR|TO)\b|[)\]}]", query[at:])
    if query[at : at + 1] == '"':
        return QueryError(
            query, at + 1, "a quotation mark is not closed", 'close it, or write \\" for the mark'
        )
    if word and word[0] in {"AND", "OR"}:
        return QueryError(
            query, at + 1, f"{word[0]} needs something on both sides", f"for example: a {word[0]} b"
        )
    if word and word[0] in ")]}":
        return QueryError(
            query, at + 1, f"{word[0]} closes nothing, or an empty bracket", "for example: (a OR b)"
        )
    return QueryError(
        query,
        at + 1,
        "this is not understood here",
        'put text with special characters in quotation marks: "a:b (c)"; ranges are [1 TO 5]',
    )


def _unclosed(query: str) -> int | None:
    """Place of the last bracket that is open at the end, outside quotation marks."""
    open_: list[int] = []
    quoted = False
    i = 0
    while i < len(query):
        char = query[i]
        if char == "\\":
            i += 1
        elif char == '"':
            quoted = not quoted
        elif not quoted and char in "([{":
            open_.append(i)
        elif not quoted and char in ")]}" and open_:
            open_.pop()
        i += 1
    return open_[-1] if open_ else None
