"""Sigma's condition tree -> DuckDB SQL. Whatever cannot be said exactly is an error, never "no match".

Comparison is without case unless a value is ``cased``. A missing field matches nothing, so that
``not selection`` holds for it, as Sigma has it (SQL's NULL becomes false under every NOT and at the top).
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from dataclasses import dataclass, field

from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.types import (
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaRegularExpressionFlag,
    SigmaString,
    SpecialChars,
)

from sekisho.detect.sigma_fields import LogSource
from sekisho.ocsf import BY_NAME


class CannotSay(Exception):  # noqa: N818 - a verdict on a rule, not a fault of the program
    """``why`` this rule cannot be expressed; ``near``: text by which the line is found in the file."""

    def __init__(self, why: str, near: str = "") -> None:
        self.why = why
        self.near = near
        super().__init__(why)


def quoted(value: str) -> str:
    """SQL text literal of any value; NUL is spelt out, as SQL text cannot hold it."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CannotSay(f"value {value!r} holds half of a surrogate pair", value[:20]) from error
    parts = ["'" + part.replace("'", "''") + "'" for part in value.split("\x00")]
    return parts[0] if len(parts) == 1 else "(" + " || chr(0) || ".join(parts) + ")"


@dataclass
class Compiler:
    """One rule's compilation. ``fields`` collects SQL alias -> expression over event columns."""

    source: LogSource
    fields: dict[str, str] = field(default_factory=dict)
    columns: set[str] = field(default_factory=set)

    def condition(self, node: object) -> str:
        """SQL of a node; NULL counts as false."""
        if isinstance(node, ConditionAND | ConditionOR):
            parts = [self.condition(arg) for arg in node.args]
            if isinstance(node, ConditionAND):
                return "(" + " AND ".join(parts) + ")"
            return "(" + " OR ".join(_together(parts)) + ")"
        if isinstance(node, ConditionNOT):
            return f"(NOT coalesce({self.condition(node.args[0])}, false))"
        if isinstance(node, ConditionFieldEqualsValueExpression):
            return self._compare(node.field, node.value)
        if isinstance(node, ConditionValueExpression):
            return self._keyword(node.value)
        raise CannotSay(f"condition of kind {type(node).__name__} is not supported", "condition")

    def _keyword(self, value: object) -> str:
        if isinstance(value, SigmaExpansion):
            return "(" + " OR ".join(self._keyword(part) for part in value.values) + ")"
        if isinstance(value, SigmaNumber):
            value = SigmaString(str(value.number))
        if not isinstance(value, SigmaString):
            raise CannotSay(f"keyword of kind {type(value).__name__} is not supported", "keywords")
        wrapped = SigmaString("*") + value + SigmaString("*")
        if isinstance(value, SigmaCasedString):
            return _pattern(self._alias("raw"), wrapped)
        return _pattern(self._alias("raw", lower=True), wrapped, lower=True)

    def _compare(self, name: str, value: object) -> str:
        if isinstance(value, SigmaExpansion):
            return "(" + " OR ".join(_together([self._compare(name, part) for part in value.values])) + ")"
        expression = self._field(name)
        column = BY_NAME.get(expression)
        is_text = column is None or str(column.type) == "string"
        text = expression if is_text else f"CAST({expression} AS VARCHAR)"
        if isinstance(value, SigmaString):
            return self._string(name, text, value)
        if isinstance(value, SigmaNumber):
            return self._number(expression, is_text, value)
        if isinstance(value, SigmaBool):
            return f"{self._alias(text, lower=True)} = '{str(value.boolean).lower()}'"
        return self._special(name, expression, text, value)

    def _string(self, name: str, text: str, value: SigmaString) -> str:
        placeholder = next((part for part in value.s if not isinstance(part, str | SpecialChars)), None)
        if placeholder is not None:
            raise CannotSay(f"placeholder in field {name}: no list is given for it", name)
        if not value.s or value.s in (["-"], ("-",)):  # sources record neither empty nor "-"
            alias = self._alias(text)
            return f"coalesce({alias} IN ('', '-'), true)"
        if isinstance(value, SigmaCasedString):
            return _pattern(self._alias(text), value)
        return _pattern(self._alias(text, lower=True), value, lower=True)

    def _number(self, expression: str, is_text: bool, value: SigmaNumber) -> str:
        alias = self._alias(expression)
        if is_text:
            return f"{alias} = {quoted(str(value.number))}"
        return f"{alias} = {value.number}"

    def _special(self, name: str, expression: str, text: str, value: object) -> str:
        if isinstance(value, SigmaNull):
            return f"({self._alias(expression)} IS NULL)"
        if isinstance(value, SigmaExists):
            return f"({self._alias(expression)} IS {'NOT ' if value.exists else ''}NULL)"
        if isinstance(value, SigmaRegularExpression):
            return f"regexp_matches({self._alias(text)}, {quoted(_regex(value))})"
        if isinstance(value, SigmaCIDRExpression):
            return _network(self._alias(text, lower=True), value.cidr, name)
        if isinstance(value, SigmaCompareExpression):
            if not isinstance(value.number, SigmaNumber):
                raise CannotSay(f"field {name}: only numbers can be compared by size", name)
            return f"(TRY_CAST({self._alias(text)} AS DOUBLE) {_SIZE[value.op.name]} {value.number.number})"
        if isinstance(value, SigmaFieldReference):
            return self._reference(name, text, value)
        raise CannotSay(f"field {name}: a value of kind {type(value).__name__} is not supported", name)

    def _reference(self, name: str, text: str, value: SigmaFieldReference) -> str:
        other = self._field(value.field)
        left, right = self._alias(text, lower=True), self._alias(f"CAST({other} AS VARCHAR)", lower=True)
        if getattr(value, "starts_with", False):
            return f"starts_with({left}, {right})"
        if getattr(value, "ends_with", False):
            return f"ends_with({left}, {right})"
        return f"({left} = {right})"

    def _field(self, name: str) -> str:
        """SQL over event columns for a Sigma field."""
        found = self.source.fields.get(name)
        if found is not None:
            if self.source.any_rest and name in _SHIFTING:
                return f"coalesce({found}, {_rest(name)})"
            return found
        if name in BY_NAME:
            return name
        if name in self.source.rest or self.source.any_rest:
            return _rest(name)
        raise CannotSay(
            f"the rule can never match: field {name!r} of this log source is mapped to no column", name
        )

    def _alias(self, expression: str, *, lower: bool = False) -> str:
        """Name under which the detector computes the expression once for all rules."""
        if lower:
            expression = f"lower({expression})"
        for word in _WORDS.findall(_LITERALS.sub("", expression)):
            if word in BY_NAME:
                self.columns.add(word)
        alias = "f" + hashlib.sha256(expression.encode()).hexdigest()[:12]
        self.fields[alias] = expression
        return alias


#: Fields that only some events of a log put into a column; in the others they stay in ``unmapped``.
_SHIFTING = frozenset(
    ["Status", "SubStatus", "ServiceName", "param1", "param2", "AccountName", "Path", "ProcessName",
     "Payload", "MemberName", "TargetSid", "Application", "ImagePath", "CommandLine", "TaskName", "Image",
     "Description"]
)  # fmt: skip
_SIZE = {"LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}
_CONTAINS = re.compile(r"contains\((f[0-9a-f]{12}), '((?:[^']|'')*)'\)")
#: from so many texts on one expression is faster; RE2 keeps so many in its cache of states
_MANY, _AT_ONCE = 4, 200
_WORDS = re.compile(r"[a-z_][a-z0-9_]*")
_LITERALS = re.compile(r"'(?:[^']|'')*'")


def _rest(name: str) -> str:
    """The value that the source's mapping left over, by its own name or path."""
    path = "$." + ".".join(json.dumps(part, ensure_ascii=False) for part in name.split("."))
    plain = f"json_extract_string(unmapped, {quoted(path)})"
    if "." not in name:
        return plain
    return f"coalesce({plain}, json_extract_string(unmapped, {quoted('$.' + json.dumps(name))}))"


def _pattern(column: str, value: SigmaString, *, lower: bool = False) -> str:
    """Comparison with wildcards; the usual shapes use the fast functions."""
    parts = list(value.s)
    texts = [part for part in parts if isinstance(part, str)]
    many = SpecialChars.WILDCARD_MULTI

    def literal(text: str) -> str:
        same = text.isascii() or text.lower() == text.upper()  # else it is lowered as the column is
        return quoted(_low(text, lower)) if same or not lower else f"lower({quoted(text)})"

    if len(texts) == 1 and all(part is many for part in parts if not isinstance(part, str)):
        at = parts.index(texts[0])
        before, after = at > 0, at < len(parts) - 1
        if before and after:
            return f"contains({column}, {literal(texts[0])})"
        if before or after:
            return f"{'ends_with' if before else 'starts_with'}({column}, {literal(texts[0])})"
        return f"({column} = {literal(texts[0])})"
    if not texts and all(part is many for part in parts):
        return f"({column} IS NOT NULL)"
    pattern = "".join(
        _like(part) if isinstance(part, str) else "%" if part is many else "_" for part in parts
    )
    if lower:
        return f"({column} LIKE lower({quoted(pattern)}) ESCAPE '!')"
    return f"({column} LIKE {quoted(pattern)} ESCAPE '!')"


def _together(parts: list[str]) -> list[str]:
    """Alternatives, with many ``contains`` of one column as one regular expression: RE2 reads the text once
    for all of them."""
    needles: dict[str, list[str]] = {}
    rest: list[str] = []
    for part in parts:
        if found := _CONTAINS.fullmatch(part):
            needles.setdefault(found[1], []).append(found[2].replace("''", "'"))
        else:
            rest.append(part)
    for column, texts in needles.items():
        if len(texts) < _MANY:
            rest += [f"contains({column}, {quoted(text)})" for text in texts]
        for start in range(0, len(texts) if len(texts) >= _MANY else 0, _AT_ONCE):
            any_of = "|".join(map(_escaped, texts[start : start + _AT_ONCE]))
            rest.append(f"regexp_matches({column}, {quoted(any_of)})")
    return rest


def _escaped(text: str) -> str:
    """For RE2, which lets every ASCII sign but letters and digits be escaped."""
    return "".join(c if c.isalnum() or not c.isascii() else "\\n" if c == "\n" else "\\" + c for c in text)


def _low(text: str, lower: bool) -> str:
    return text.lower() if lower else text


def _like(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _regex(value: SigmaRegularExpression) -> str:
    letters = {
        SigmaRegularExpressionFlag.IGNORECASE: "i",
        SigmaRegularExpressionFlag.MULTILINE: "m",
        SigmaRegularExpressionFlag.DOTALL: "s",
    }
    flags = "".join(sorted(letters[flag] for flag in value.flags))
    pattern = str(value.regexp)
    return f"(?{flags}){pattern}" if flags else pattern


def _network(column: str, cidr: str, name: str) -> str:
    network = ipaddress.ip_network(cidr, strict=False)
    if isinstance(network, ipaddress.IPv4Network):
        number = " + ".join(
            f"TRY_CAST(split_part({column}, '.', {place}) AS BIGINT) * {256 ** (4 - place)}"
            for place in range(1, 5)
        )
        first, last = int(network.network_address), int(network.broadcast_address)
        return (
            f"(regexp_full_match({column}, '([0-9]{{1,3}}[.]){{3}}[0-9]{{1,3}}') AND"
            f" {number} BETWEEN {first} AND {last})"
        )
    if network.prefixlen == 128:
        return f"({column} = {quoted(str(network.network_address))})"
    if network.prefixlen > 16:
        raise CannotSay(
            f"field {name}: IPv6 range {cidr} is longer than /16, which SQL here cannot test", cidr
        )
    first = int(network.network_address) >> 112
    last = int(network.broadcast_address) >> 112
    head = f"TRY_CAST('0x' || split_part({column}, ':', 1) AS BIGINT)"
    return (
        f"(contains({column}, ':') AND NOT starts_with({column}, ':') AND {head} BETWEEN {first} AND {last})"
    )
