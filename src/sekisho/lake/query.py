"""The search language: ``user:emp0042 ip:203.0.113.0/24 -status:success time:[2026-05-14 TO now]``.

Words side by side must all hold; ``OR`` binds closer than a blank and ``AND`` closer than ``OR``.
``NOT`` and ``-`` are two-valued: what is not recorded does not hold, so its negation does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import duckdb
from luqum import tree
from luqum.exceptions import IllegalCharacterError, ParseSyntaxError
from luqum.thread import parse

from sekisho.lake import implied, terms
from sekisho.lake.fields import FIELDS, Field, Target, suggestions
from sekisho.lake.moments import Span, span
from sekisho.lake.query_error import QueryError, ends_early, example, misplaced
from sekisho.lake.terms import Sql, Unfit

__all__ = ["Condition", "QueryError", "compile", "micros"]

LONGEST = 10_000
DEEPEST = 40
#: Regular expressions of one query: each is tried out before it is asked.
MOST_REGEXES = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_FIELD = re.compile(r"[+-]*([A-Za-z_][\w.\[\]]*):(?=\S)")
_NO_VALUE = re.compile(r"[+-]*([A-Za-z_][\w.\[\]]*):(?=\s|$)")
_REGEX = re.compile(r"/(?:[^\\/]|\\.)*/(?=[\s)]|$)")
_PHRASE = re.compile(r'"(?:[^\\"]|\\.)*"')
_TOKEN = re.compile(r"[^\s()\[\]{}\"]+")
_BREAKS = frozenset(":^~'")


class Condition(NamedTuple):
    """A query as SQL over ``events``.

    ``time_from``, ``time_to``  no event outside can match (µs since 1970 UTC, from ≤ time < to); None = open
    ``sources``                 no event of another source can match; None = any
    ``needles``                 of every group one value at least stands in a needle column of a match
    ``tokens``                  of every group one token at least stands in ``raw`` or ``message``
                                (``lake.cold.index`` says which columns and tokens; see ``implied``)
    """

    sql: str
    params: tuple[object, ...]
    time_from: int | None = None
    time_to: int | None = None
    sources: frozenset[str] | None = None
    needles: tuple[tuple[str, ...], ...] = ()
    tokens: tuple[tuple[str, ...], ...] = ()

    def during(self, time_from: int | None, time_to: int | None) -> Condition:
        """The same, only between these times (µs since 1970 UTC)."""
        parts = [Sql(self.sql, self.params), *_time_sql("time", time_from, time_to)]
        both = terms.all_of(parts)
        return self._replace(
            sql=both.text,
            params=both.params,
            time_from=_pick(max, self.time_from, time_from),
            time_to=_pick(min, self.time_to, time_to),
        )


def micros(moment: datetime) -> int:
    """µs since 1970 UTC, exactly."""
    gap = moment - _EPOCH
    return (gap.days * 86_400 + gap.seconds) * 1_000_000 + gap.microseconds


def compile(query: str, zone: ZoneInfo, now: datetime) -> Condition:  # noqa: A001 - what it does
    """Read a query. An empty one matches everything. Raises ``QueryError`` with the place."""
    if len(query) > LONGEST:
        raise QueryError(
            query,
            LONGEST + 1,
            f"the query is longer than {LONGEST:,} characters",
            "for a list of addresses, domains or hashes use `sekisho hunt`",
        )
    if not query.strip():
        return Condition("true", ())
    reader = _Reader(query, zone, now)
    try:
        return reader.read()
    finally:
        reader.close()


class _Reader:
    def __init__(self, query: str, zone: ZoneInfo, now: datetime) -> None:
        self.query = query
        self.zone = zone
        self.now = now
        self.protected, self.places = _protect(query)
        self._regexes = 0
        self._tester: duckdb.DuckDBPyConnection | None = None

    def close(self) -> None:
        if self._tester is not None:
            self._tester.close()

    def read(self) -> Condition:
        root = self._parse()
        sql = self._node(root, None, 0)
        low, high, sources = self._bounds(root)
        return Condition(sql.text, sql.params, low, high, sources, *implied.of(root))

    def _parse(self) -> Any:
        try:
            return parse(self.protected)
        except (ParseSyntaxError, IllegalCharacterError) as error:
            raise self._syntax(str(error)) from error
        except RecursionError as error:
            raise QueryError(self.query, 1, "nested too deeply") from error

    def _syntax(self, said: str) -> QueryError:
        found = re.search(r"at position (\d+)", said)
        if found is None:
            return ends_early(self.query)
        return misplaced(self.query, self.places[min(int(found[1]), len(self.places) - 1)])

    def _error(self, node: Any, why: str, remedy: str = "") -> QueryError:
        place = self.places[min(node.pos or 0, len(self.places) - 1)]
        return QueryError(self.query, place + 1, why, remedy)

    # -- the tree ----------------------------------------------------------------------------------

    def _node(self, node: Any, field: Field | None, depth: int) -> Sql:
        if depth > DEEPEST:
            raise self._error(node, f"nested more than {DEEPEST} deep")
        if isinstance(node, tree.SearchField):
            return self._node(node.expr, self._field(node, field), depth + 1)
        if isinstance(node, tree.OrOperation):
            return terms.any_of(self._node(child, field, depth + 1) for child in node.children)
        if isinstance(node, tree.AndOperation | tree.UnknownOperation):
            return terms.all_of(self._node(child, field, depth + 1) for child in node.children)
        if isinstance(node, tree.Not | tree.Prohibit):
            inner = self._node(node.a, field, depth + 1)
            return Sql(f"NOT coalesce({inner.text}, false)", inner.params)
        if isinstance(node, tree.Plus):
            return self._node(node.a, field, depth + 1)
        if isinstance(node, tree.BaseGroup):
            return self._node(node.expr, field, depth + 1)
        return self._leaf(node, field or FIELDS["text"])

    def _field(self, node: Any, outer: Field | None) -> Field:
        if outer is not None:
            raise self._error(node, f"a field inside the field {outer.name}", 'quote the value: field:"a:b"')
        found = FIELDS.get(node.name.lower())
        if found is not None:
            return found
        near = suggestions(node.name)
        hint = f"did you mean {', '.join(near)}? " if near else ""
        raise self._error(
            node,
            f"there is no field {node.name!r}",
            f'{hint}`sekisho search --fields` lists them; for text with a colon write "{node.name}:…"',
        )

    def _leaf(self, node: Any, field: Field) -> Sql:
        try:
            if any(target.kind == "time" for target in field.targets):
                low, high = self._span(node)
                return terms.any_of(_time_terms(field.targets, low, high))
            return self._plain_leaf(node, field)
        except (Unfit, OverflowError) as error:
            wrong = terms.value_of(str(getattr(node, "value", "")).strip('"'), wildcards=False).text
            raise self._error(node, str(error), example(field, wrong)) from error

    def _plain_leaf(self, node: Any, field: Field) -> Sql:
        if isinstance(node, tree.Phrase):
            return terms.equals(field, terms.value_of(node.value[1:-1], wildcards=False))
        if isinstance(node, tree.Word):
            return self._word(node, field)
        if isinstance(node, tree.Regex):
            pattern = node.value[1:-1].replace("\\/", "/")
            self._check_regex(node, pattern)
            return terms.matches(field, pattern)
        if isinstance(node, tree.Range | tree.From | tree.To):
            if field.name == "text":
                raise self._error(node, "a range needs a field", "write field:[a TO b]")
            return terms.between(field, _range(node))
        raise self._error(
            node, f"{type(node).__name__.lower()} searches (~, ^) are not supported", "use wildcards: emp00*"
        )

    def _word(self, node: Any, field: Field) -> Sql:
        if node.value in {"&&", "||"} or node.value.startswith("!"):
            raise self._error(
                node, f"{node.value} is not an operator here", "write AND, OR, NOT or a leading -"
            )
        return terms.equals(field, terms.value_of(node.value, wildcards=True))

    def _check_regex(self, node: Any, pattern: str) -> None:
        """RE2 (linear in the text, whatever the expression) must take it."""
        self._regexes += 1
        if self._regexes > MOST_REGEXES:
            raise self._error(
                node, f"more than {MOST_REGEXES} regular expressions", "join them: /first|second|third/"
            )
        if self._tester is None:
            self._tester = duckdb.connect(":memory:", config={"threads": "1"})
        try:
            self._tester.execute("SELECT regexp_matches('', ?, 'i')", [pattern]).fetchall()
        except duckdb.Error as error:
            raise self._error(
                node, f"not a regular expression: {error}", "RE2 syntax is used, for example cmd:/curl.*sh/"
            ) from error

    # -- times -------------------------------------------------------------------------------------

    def _span(self, node: Any) -> tuple[int | None, int | None]:
        """A term on a time field as from ≤ time < to."""
        if isinstance(node, tree.Word | tree.Phrase):
            text = terms.value_of(node.value.strip('"'), wildcards=False).text
            if text == "*":
                return None, None
            held = self._moment(text)
            if text.lower().lstrip().startswith(("now", "-", "+")):
                raise Unfit(f"{text} names a moment; write time:>{text} or time:[{text} TO now]")
            return micros(held.start), micros(held.end)
        if not isinstance(node, tree.Range | tree.From | tree.To):
            raise Unfit("not a time or a range of times")
        wanted = _range(node)
        low = self._moment(wanted.low) if wanted.low is not None else None
        high = self._moment(wanted.high) if wanted.high is not None else None
        return (
            None if low is None else micros(low.start if wanted.with_low else low.end),
            None if high is None else micros(high.end if wanted.with_high else high.start),
        )

    def _moment(self, text: str) -> Span:
        try:
            return span(text, self.zone, self.now)
        except (ValueError, OverflowError) as error:
            raise Unfit(str(error)) from error

    # -- what can be told without looking -------------------------------------------------------------

    def _bounds(self, node: Any) -> tuple[int | None, int | None, frozenset[str] | None]:
        if isinstance(node, tree.AndOperation | tree.UnknownOperation):
            low = high = None
            sources: frozenset[str] | None = None
            for child in node.children:
                a, b, s = self._bounds(child)
                low, high = _pick(max, low, a), _pick(min, high, b)
                sources = s if sources is None else sources if s is None else sources & s
            return low, high, sources
        if isinstance(node, tree.Plus):
            return self._bounds(node.a)
        if isinstance(node, tree.Group):
            return self._bounds(node.expr)
        if isinstance(node, tree.SearchField):
            return self._field_bounds(node)
        return None, None, None

    def _field_bounds(self, node: Any) -> tuple[int | None, int | None, frozenset[str] | None]:
        name, value = node.name.lower(), node.expr
        if name == "time" and isinstance(value, tree.Word | tree.Phrase | tree.Range | tree.From | tree.To):
            return *self._span(value), None
        if name == "source" and isinstance(value, tree.Word | tree.Phrase):
            held = terms.value_of(value.value.strip('"'), wildcards=isinstance(value, tree.Word))
            if held.like is None:
                return None, None, frozenset({held.text.lower()})
        return None, None, None


def _range(node: Any) -> terms.Range:
    if isinstance(node, tree.Range):
        return terms.Range(_end(node.low), _end(node.high), node.include_low, node.include_high)
    if isinstance(node, tree.From):
        return terms.Range(_end(node.a), None, bool(node.include), True)
    return terms.Range(None, _end(node.a), True, bool(node.include))


def _end(node: Any) -> str | None:
    if isinstance(node, tree.Prohibit):
        return "-" + (_end(node.a) or "")
    text = terms.value_of(node.value.strip('"'), wildcards=False).text
    return None if text == "*" else text


def _time_sql(column: str, low: int | None, high: int | None) -> list[Sql]:
    parts = []
    if low is not None:
        parts.append(Sql(f"{column} >= make_timestamptz(?::BIGINT)", (low,)))
    if high is not None:
        parts.append(Sql(f"{column} < make_timestamptz(?::BIGINT)", (high,)))
    return parts


def _time_terms(targets: tuple[Target, ...], low: int | None, high: int | None) -> list[Sql]:
    return [
        terms.all_of(_time_sql(target.column, low, high) or [Sql(f"{target.column} IS NOT NULL")])
        for target in targets
    ]


def _pick(choose: Callable[[int, int], int], a: int | None, b: int | None) -> int | None:
    if a is None or b is None:
        return b if a is None else a
    return choose(a, b)


# -- pasted text ---------------------------------------------------------------------------------------


def _protect(query: str) -> tuple[str, list[int]]:
    """Escape what a person pastes without quotes: IPv6 addresses, URLs, paths, times with seconds.

    Returns the text for the parser and, for each of its characters, the place in ``query``.
    """
    out: list[str] = []
    places: list[int] = []

    def copy(text: str, at: int) -> None:
        out.append(text)
        places.extend(range(at, at + len(text)))

    i = 0
    while i < len(query):
        whole = _PHRASE.match(query, i) or _REGEX.match(query, i)
        if whole:
            copy(whole[0], i)
            i = whole.end()
            continue
        named = _FIELD.match(query, i)
        empty = _NO_VALUE.match(query, i)
        if empty and empty[1].lower() in FIELDS:
            raise QueryError(
                query,
                empty.end() + 1,
                f"the value of {empty[1]} is missing",
                f'{example(FIELDS[empty[1].lower()], "")}; to look for the text write "{empty[1]}:"',
            )
        if named and (named[1].lower() in FIELDS or "." not in named[1]) and not _is_value(query, named):
            copy(named[0], i)
            i = named.end()
            if query[i] in '"/' and (_PHRASE.match(query, i) or _REGEX.match(query, i)):
                continue
        token = _TOKEN.match(query, i)
        if token is None:
            copy(query[i], i)
            i += 1
            continue
        for offset, char in enumerate(token[0]):
            if char in _BREAKS or (char == "/" and offset == 0):
                copy("\\", i + offset)
            copy(char, i + offset)
        i = token.end()
    places.append(len(query))
    return "".join(out), places


def _is_value(query: str, named: re.Match[str]) -> bool:
    """``http://…`` and ``C:\\…`` look like a field but are not."""
    rest = query[named.end() : named.end() + 2]
    return named[1].lower() not in FIELDS and (rest == "//" or (len(named[1]) == 1 and rest[:1] in "\\/"))
