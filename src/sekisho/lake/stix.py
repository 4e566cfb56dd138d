"""Patterns of STIX 2 that name values: ``[file:hashes.MD5 = '…' OR domain-name:value IN ('a', 'b')]``.

What relates observations in time or demands several at once (AND, FOLLOWEDBY, WITHIN, LIKE, MATCHES, NOT) is
named as unreadable: looking for its parts would say more than the pattern does.
(STIX 2.0 part 5 and STIX 2.1 section 9, patterning.)
"""

from __future__ import annotations

import re
from typing import NamedTuple

_STRING = r"'(?:[^'\\]|\\.)*'"
_COMPARISON = re.compile(
    rf"\s*([a-z0-9-]+):([^\s=!<>]+(?:'[^']*'[^\s=!<>]*)*)\s*(=|\bIN\b)\s*({_STRING}|\(\s*{_STRING}(?:\s*,\s*{_STRING})*\s*\))\s*"
)
_VALUE = re.compile(_STRING)
_BEYOND = re.compile(
    r"\b(AND|FOLLOWEDBY|WITHIN|REPEATS|START|LIKE|MATCHES|NOT|ISSUBSET|ISSUPERSET|EXISTS)\b|!=|<|>"
)
LONGEST = 100_000

_PATHS = {
    ("ipv4-addr", "value"): "ip",
    ("ipv6-addr", "value"): "ip",
    ("domain-name", "value"): "domain",
    ("url", "value"): "url",
    ("email-addr", "value"): "email",
    ("email-message", "from_ref.value"): "email",
    ("email-message", "sender_ref.value"): "email",
    ("network-traffic", "dst_ref.value"): "",
    ("network-traffic", "src_ref.value"): "",
    ("file", "name"): "file",
    ("network-traffic", "extensions.http-request-ext.request_header.User-Agent"): "agent",
}
_HASHES = {"MD5": "md5", "SHA1": "sha1", "SHA256": "sha256"}


class Term(NamedTuple):
    """``kind`` as in ``indicators``; empty = by its form."""

    kind: str
    value: str


class Unreadable(ValueError):  # noqa: N818 - becomes the reason of an Unusable
    """The pattern cannot be looked for as single values."""


def terms(pattern: str) -> list[Term]:
    """The values of which any one fulfils the pattern. Raises ``Unreadable``."""
    if len(pattern) > LONGEST:
        raise Unreadable(f"a pattern of more than {LONGEST:,} characters")
    beyond = _BEYOND.search(_VALUE.sub("''", pattern))
    if beyond:
        raise Unreadable(f"the pattern uses {beyond[0]}; only single values (=, IN, OR) can be looked for")
    found: list[Term] = []
    at = _skip(pattern, 0)
    while True:
        if pattern[at : at + 1] != "[":
            raise Unreadable(f"column {at + 1} of the pattern: expected '['")
        at = _comparisons(pattern, at + 1, found)
        at = _skip(pattern, at)
        if at == len(pattern):
            return found
        if pattern[at : at + 2] != "OR":
            raise Unreadable(f"column {at + 1} of the pattern: expected OR")
        at = _skip(pattern, at + 2)


def _comparisons(pattern: str, at: int, found: list[Term]) -> int:
    """Comparisons joined by OR until the closing bracket; gives the place after it."""
    while True:
        one = _COMPARISON.match(pattern, at)
        if one is None:
            raise Unreadable(f"column {at + 1} of the pattern: expected OBJECT:PROPERTY = 'VALUE'")
        kind = _kind(one[1], one[2])
        found += [Term(kind, re.sub(r"\\(.)", r"\1", held[1:-1])) for held in _VALUE.findall(one[4])]
        at = one.end()
        if pattern[at : at + 1] == "]":
            return at + 1
        if pattern[at : at + 2] != "OR":
            raise Unreadable(f"column {at + 1} of the pattern: expected OR or ']'")
        at += 2


def _kind(thing: str, path: str) -> str:
    plain = path.replace("'", "").replace('"', "")
    kind = _PATHS.get((thing, plain))
    if kind is None and thing in {"file", "process", "artifact"} and "hashes." in plain:
        kind = _HASHES.get(plain.rpartition("hashes.")[2].upper().replace("-", ""))
    if kind is None:
        raise Unreadable(f"{thing}:{path} cannot be looked for")
    return kind


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
