"""One field term of a search as a SQL condition. Values are always bound, never written into the SQL."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterable
from typing import NamedTuple

from sekisho.lake.fields import Field, Target

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Net = ipaddress.IPv4Network | ipaddress.IPv6Network

#: After a backslash these stand for themselves; a backslash before anything else is a backslash, so
#: that ``EXAMPLE\taro`` can be typed as it is.
SPECIAL = frozenset("\\\"*?:()[]{}/+-^~!<>=' ")
_INT64 = 1 << 63
#: Longer texts are looked for as they are, anywhere.
LONG = 500


class Sql(NamedTuple):
    """A condition with ``?`` for its parameters. It may be NULL where a column is (= does not hold)."""

    text: str
    params: tuple[object, ...] = ()


class Value(NamedTuple):
    """What stands in a term. ``like``: the LIKE pattern (escape ``!``) if there are wildcards."""

    text: str
    like: str | None = None

    @property
    def is_anything(self) -> bool:
        return self.like is not None and set(self.like) == {"%"}


class Unfit(ValueError):  # noqa: N818 - becomes a QueryError with its place
    """The value does not fit the field: what was expected."""


def value_of(text: str, *, wildcards: bool) -> Value:
    """Resolve backslashes and, outside quotes, ``*`` and ``?``."""
    plain: list[str] = []
    like: list[str] = []
    wild = False
    chars = iter(range(len(text)))
    for i in chars:
        char = text[i]
        if char == "\\" and i + 1 < len(text) and text[i + 1] in SPECIAL:
            char = text[next(chars)]
        elif wildcards and char in "*?":
            wild = True
            plain.append(char)
            like.append("%" if char == "*" else "_")
            continue
        plain.append(char)
        like.append("!" + char if char in "%_!" else char)
    return Value("".join(plain), "".join(like) if wild else None)


def any_of(parts: Iterable[Sql]) -> Sql:
    return _join(" OR ", parts)


def all_of(parts: Iterable[Sql]) -> Sql:
    return _join(" AND ", parts)


def _join(word: str, parts: Iterable[Sql]) -> Sql:
    held = list(parts)
    if len(held) == 1:
        return held[0]
    return Sql(
        "(" + word.join(part.text for part in held) + ")",
        tuple(param for part in held for param in part.params),
    )


# -- a value -------------------------------------------------------------------------------------------


def equals(field: Field, value: Value) -> Sql:
    """``field:value``. Raises ``Unfit`` if no column of the field can hold the value."""
    if value.is_anything:
        return any_of(Sql(f"{target.column} IS NOT NULL") for target in field.targets)
    parts: list[Sql] = []
    reasons: list[str] = []
    for target in field.targets:
        try:
            parts.append(_COMPARE[target.kind](field, target, value))
        except Unfit as error:
            reasons.append(str(error))
    if not parts:
        raise Unfit(reasons[0])
    return any_of(parts)


def _word(_: Field, target: Target, value: Value) -> Sql:
    if value.like is not None:
        return Sql(f"lower({target.column}) LIKE lower(?) ESCAPE '!'", (value.like,))
    return Sql(f"lower({target.column}) = lower(?)", (value.text,))


def _exact(_: Field, target: Target, value: Value) -> Sql:
    if value.like is not None:
        return Sql(f"{target.column} LIKE lower(?) ESCAPE '!'", (value.like,))
    return Sql(f"{target.column} = lower(?)", (value.text,))


def _path(field: Field, target: Target, value: Value) -> Sql:
    if value.like is not None:
        return _word(field, target, value)
    name = value.text.lstrip("\\/")
    return any_of(
        [
            _word(field, target, value),
            Sql(f"ends_with(lower({target.column}), lower(?))", ("\\" + name,)),
            Sql(f"ends_with(lower({target.column}), lower(?))", ("/" + name,)),
        ]
    )


def _text(_: Field, target: Target, value: Value) -> Sql:
    """Contained as whole words, ignoring case; also as JSON writes it, where that differs.

    What begins or ends with a letter or digit must not go on with one: ``emp0042`` is not found in
    ``emp00421`` (decision 0032). Part of a word: with wildcards.
    """
    if value.like is not None:
        return Sql(f"lower({target.column}) LIKE lower(?) ESCAPE '!'", (f"%{value.like}%",))
    return any_of(_whole_words(target.column, value.text, form) for form in forms(value.text))


def forms(text: str) -> list[str]:
    """``text``, and as JSON writes it (``\\\\``, quotes, non-ASCII) where that differs."""
    found = {text: None, json.dumps(text)[1:-1]: None}
    found[json.dumps(text, ensure_ascii=False)[1:-1]] = None
    return list(found)


def _whole_words(column: str, text: str, form: str) -> Sql:
    contained = _contains(column, form)
    if not text or len(form) > LONG or not (_is_word(text[0]) or _is_word(text[-1])):
        return contained
    # letters before the text are no part of its word where they belong to an escape of JSON
    start = r"(?:^|[^0-9A-Za-z]|\\[bfnrt]|\\u[0-9A-Fa-f]{4})" if _is_word(text[0]) else ""
    end = "(?:$|[^0-9A-Za-z])" if _is_word(text[-1]) else ""
    plain = "".join(_either_case(char) for char in form)
    return all_of([contained, Sql(f"regexp_matches({column}, ?, 's')", (start + plain + end,))])


def _is_word(char: str) -> bool:
    return char.isascii() and char.isalnum()


def _either_case(char: str) -> str:
    """A pattern for one character in both cases. RE2's own folding takes more for ``k`` and ``s``."""
    if char.isascii():
        return f"[{char.lower()}{char.upper()}]" if char.isalpha() else f"\\x{ord(char):02x}"
    cases = {one for one in (char, char.lower(), char.upper()) if len(one) == 1}
    return "[" + "".join(sorted(cases)) + "]"


def _contains(column: str, text: str) -> Sql:
    """RE2 looks for a plain text in any case twice as fast as lower() and contains() (bench/lake.py)."""
    if len(text) > LONG:
        return Sql(f"contains(lower({column}), lower(?))", (text,))
    plain = "".join(c if c.isalnum() or ord(c) > 127 else f"\\x{ord(c):02x}" for c in text)
    return Sql(f"regexp_matches({column}, ?, 'i')", (plain,))


def _flag(_: Field, target: Target, value: Value) -> Sql:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if value.text.lower() not in words:
        raise Unfit(f"{value.text}: not true or false (use -{target.column}:* for 'not recorded')")
    return Sql(f"{target.column} = ?", (words[value.text.lower()],))


def _number(field: Field, target: Target, value: Value) -> Sql:
    if value.like is not None:
        return Sql(f"CAST({target.column} AS VARCHAR) LIKE ? ESCAPE '!'", (value.like,))
    return Sql(f"{target.column} = ?", (number(field, value.text),))


def number(field: Field, text: str) -> int:
    """The number that ``text`` means in this field. Raises ``Unfit``."""
    word = text.lower()
    if word in field.names:
        return field.names[word]
    if field.targets[0].column.endswith(("asn", "autonomous_system_number")):
        word = word.removeprefix("as")
    try:
        found = int(word)
    except ValueError:
        names = f" or one of {', '.join(list(field.names)[:12])}" if field.names else ""
        raise Unfit(f"{text}: not a whole number{names}") from None
    if not -_INT64 <= found < _INT64:
        raise Unfit(f"{text}: the number is too large")
    return found


# -- addresses -----------------------------------------------------------------------------------------


def _address(field: Field, target: Target, value: Value) -> Sql:
    if value.like is not None:
        return _word(field, target, value)
    if "/" in value.text:
        try:
            return _network(target.column, ipaddress.ip_network(value.text, strict=False))
        except ValueError:
            raise Unfit(f"{value.text}: not an address range such as 203.0.113.0/24") from None
    try:
        forms = {str(ipaddress.ip_address(value.text)), value.text.lower()}
    except ValueError:
        raise Unfit(f"{value.text}: not an IP address (for names use host: or domain:)") from None
    return any_of(Sql(f"{target.column} = ?", (form,)) for form in sorted(forms))


def _network(column: str, net: Net) -> Sql:
    if isinstance(net, ipaddress.IPv4Network):
        return _network4(column, net)
    low, high = (f"{int(end):032x}" for end in (net.network_address, net.broadcast_address))
    return Sql(f"(contains({column}, ':') AND {_hex6(column)} BETWEEN ? AND ?)", (low, high))


def _network4(column: str, net: ipaddress.IPv4Network) -> Sql:
    """By text, so that statistics of the files help: fixed octets, then those that may follow."""
    octets = str(net.network_address).split(".")
    whole, bits = divmod(net.prefixlen, 8)
    fixed = "".join(octet + "." for octet in octets[:whole])
    if whole == 4:
        return Sql(f"{column} = ?", (str(net.network_address),))
    only4 = f"NOT contains({column}, ':')"
    if not bits:
        return Sql(f"({only4} AND starts_with({column}, ?))", (fixed,))
    first = int(octets[whole])
    last = "" if whole == 3 else "."
    choices = [f"{fixed}{first + step}{last}" for step in range(1 << (8 - bits))]
    if whole == 3:
        return Sql(f"{column} IN (SELECT unnest(?))", (choices,))
    return Sql(
        f"regexp_matches({column}, ?)", ("^(" + "|".join(c.replace(".", "[.]") for c in choices) + ")",)
    )


def _hex6(column: str) -> str:
    """SQL: an IPv6 address as 32 hex digits, so that its order is the order of addresses."""
    left = f"list_filter(string_split(split_part({column}, '::', 1), ':'), lambda h: h <> '')"
    right = f"list_filter(string_split(split_part({column}, '::', 2), ':'), lambda h: h <> '')"
    gap = f"list_transform(range(8 - len({left}) - len({right})), lambda h: '0')"
    groups = f"list_concat(list_concat({left}, {gap}), {right})"
    return f"lower(array_to_string(list_transform({groups}, lambda h: lpad(h, 4, '0')), ''))"


# -- ranges --------------------------------------------------------------------------------------------


class Range(NamedTuple):
    """Ends of a range; None = open."""

    low: str | None
    high: str | None
    with_low: bool
    with_high: bool


def between(field: Field, wanted: Range) -> Sql:
    """``field:[low TO high]``. Raises ``Unfit``."""
    return any_of(_between(field, target, wanted) for target in field.targets)


def _between(field: Field, target: Target, wanted: Range) -> Sql:
    if target.kind == "address":
        return _addresses(target.column, wanted)
    if target.kind in {"flag", "text"}:
        raise Unfit(f"{field.name} has no order; a range makes no sense")
    parts = []
    for end, sign in (
        (wanted.low, ">=" if wanted.with_low else ">"),
        (wanted.high, "<=" if wanted.with_high else "<"),
    ):
        if end is None:
            continue
        if target.kind == "number":
            parts.append(Sql(f"{target.column} {sign} ?", (number(field, end),)))
        else:
            parts.append(Sql(f"lower({target.column}) {sign} lower(?)", (end,)))
    return all_of(parts) if parts else Sql(f"{target.column} IS NOT NULL")


def _addresses(column: str, wanted: Range) -> Sql:
    if wanted.low is None or wanted.high is None or not (wanted.with_low and wanted.with_high):
        raise Unfit("a range of addresses needs both ends, in [ ]")
    try:
        low, high = ipaddress.ip_address(wanted.low), ipaddress.ip_address(wanted.high)
        nets: list[Net] = list(ipaddress.summarize_address_range(low, high))
    except (ValueError, TypeError):
        raise Unfit(f"{wanted.low} to {wanted.high}: not a range of addresses of one kind") from None
    return any_of(_network(column, net) for net in nets)


def matches(field: Field, pattern: str) -> Sql:
    """``field:/pattern/``: found anywhere, ignoring case. Raises ``Unfit`` for columns without text."""
    texts = [t for t in field.targets if t.kind not in {"number", "flag", "time"}]
    if not texts:
        raise Unfit(f"{field.name} holds no text; a regular expression makes no sense")
    return any_of(Sql(f"regexp_matches({t.column}, ?, 'i')", (pattern,)) for t in texts)


def _time(field: Field, target: Target, value: Value) -> Sql:
    raise AssertionError("times are handled in query.py, which knows zone and now")


_COMPARE: dict[str, Callable[[Field, Target, Value], Sql]] = {
    "word": _word,
    "exact": _exact,
    "path": _path,
    "text": _text,
    "flag": _flag,
    "number": _number,
    "address": _address,
    "time": _time,
}
