"""What a query implies of every match, so that row groups which cannot match need not be read.

Only ever less than the truth: what cannot be told is left out, and a match is always verified on the row.
"""

from __future__ import annotations

import ipaddress
from typing import Any, NamedTuple

from luqum import tree

from sekisho.lake import terms
from sekisho.lake.cold import tokens
from sekisho.lake.cold.index import NEEDLES, TEXTS
from sekisho.lake.fields import FIELDS, Field

Groups = tuple[tuple[str, ...], ...]
#: More alternatives than this say little and cost much.
_MOST = 64


class Implied(NamedTuple):
    """See ``query.Condition``."""

    needles: Groups = ()
    tokens: Groups = ()


def of(node: Any) -> Implied:
    """What a parsed query implies."""
    return _of(node, None)


def _of(node: Any, field: Field | None) -> Implied:
    if isinstance(node, tree.AndOperation | tree.UnknownOperation):
        parts = [_of(child, field) for child in node.children]
        return Implied(
            tuple(group for part in parts for group in part.needles),
            tuple(group for part in parts for group in part.tokens),
        )
    if isinstance(node, tree.OrOperation):
        parts = [_of(child, field) for child in node.children]
        return Implied(_either([p.needles for p in parts]), _either([p.tokens for p in parts]))
    if isinstance(node, tree.Plus):
        return _of(node.a, field)
    if isinstance(node, tree.Group | tree.FieldGroup):
        return _of(node.expr, field)
    if isinstance(node, tree.SearchField):
        named = FIELDS.get(node.name.lower())
        return _of(node.expr, named) if named is not None else Implied()
    if isinstance(node, tree.Word | tree.Phrase):
        return _term(node, field or FIELDS["text"])
    return Implied()


def _either(parts: list[Groups]) -> Groups:
    """One of several: the union of one group of each, if each has one."""
    if not all(parts):
        return ()
    together = tuple(dict.fromkeys(value for groups in parts for value in min(groups, key=len)))
    return (together,) if len(together) <= _MOST else ()


def _term(node: Any, field: Field) -> Implied:
    word = isinstance(node, tree.Word)
    value = terms.value_of(node.value if word else node.value[1:-1], wildcards=word)
    if value.like is not None:
        return Implied()
    columns = {target.column for target in field.targets}
    if columns <= NEEDLES:
        spellings = _spellings(field, value.text)
        return Implied(needles=(spellings,) if spellings else ())
    if columns <= TEXTS:
        return Implied(tokens=_tokens(value.text))
    return Implied()


def _spellings(field: Field, text: str) -> tuple[str, ...]:
    """The values that ``terms`` compares with; none for a range of addresses."""
    if not any(target.kind == "address" for target in field.targets):
        return (text,)
    if "/" in text:
        return ()
    try:
        return tuple({str(ipaddress.ip_address(text)): None, text.lower(): None})
    except ValueError:
        return (text,)


def _tokens(text: str) -> Groups:
    """Tokens of every form in which the text can stand; of several forms one token each."""
    found = [tuple(dict.fromkeys(_whole(text, form))) for form in terms.forms(text)]
    if not all(found):
        return ()
    if len(set(found)) == 1:
        return tuple((token,) for token in found[0])
    common = set(found[0]).intersection(*found[1:])
    longest = tuple(dict.fromkeys(max(words, key=len) for words in found))
    return (*((token,) for token in sorted(common)), longest)


def _whole(text: str, form: str) -> list[str]:
    """Tokens of ``form`` that stand in the record as they are: not cut off at an end that is open."""
    words = tokens.of_text(form)
    if len(form) > terms.LONG:
        return []
    if words and form != text and form[-1:].isalnum() and not (text[-1].isascii() and text[-1].isalnum()):
        words = words[:-1]  # "\\u4e0d" may go on: its last character stands for no letter of the text
    return [word for word, folded in words if folded]
