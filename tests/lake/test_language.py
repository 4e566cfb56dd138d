"""Whatever a person types: an answer or an error that shows the place; never a crash, never a long wait."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sekisho.lake import query as language
from sekisho.lake.fields import FIELDS
from sekisho.lake.query_error import QueryError

ZONE = ZoneInfo("Asia/Tokyo")
NOW = datetime(2026, 5, 16, 12, 0, tzinfo=UTC)

_PIECES = st.sampled_from(
    [
        *"()[]{}\"'/\\:*?~^+-!|&=<> \t\n,.;#@%$",
        "AND",
        "OR",
        "NOT",
        "TO",
        "&&",
        "||",
        "now",
        "-2h",
        "関所",
        "e\u0301",
    ]
    + [f"{name}:" for name in ("user", "ip", "time", "port", "mfa", "severity", "cmd", "text", "raw", "nope")]
    + [
        "203.0.113.0/24",
        "2001:db8::/32",
        "2026-05-14",
        "emp00*",
        "/a.*b/",
        "[1 TO 5]",
        ">=3",
        "\u202e",
        "\x00",
    ]
)


def fault(query: str) -> QueryError | None:
    try:
        language.compile(query, ZONE, NOW)
    except QueryError as error:
        return error
    return None


def column(query: str) -> tuple[int, str]:
    with pytest.raises(QueryError) as caught:
        language.compile(query, ZONE, NOW)
    return caught.value.column, str(caught.value)


@given(st.lists(_PIECES, max_size=40).map("".join) | st.text(max_size=300))
@example("[[[[" * 70)
@example("-(" * 150)
@hypothesis_settings(max_examples=400, deadline=3000, suppress_health_check=[HealthCheck.too_slow])
def test_no_input_breaks_it(query: str) -> None:
    error = fault(query)
    if error is not None:
        assert 1 <= error.column <= len(query) + 1
        assert "\n    " in str(error)
        assert not set("\x00\x1b\u202e") & set(str(error))


@pytest.mark.parametrize(
    "query",
    [
        "(" * 9_999,
        "-" * 9_999,
        "a OR " * 1_999 + "b",
        "user:x " * 1_428,
        " ".join(["/(a+)+$/"] * 1_100),
        "[" * 9_999,
        '"' * 9_999,
        "\\" * 9_999,
        "ip:10.0.0.0/9 " * 700,
        "user:/" + "(a|b)*" * 1_600 + "/",
        "time:[2026-05-14 TO now] " * 399,
        "*" * 9_999,
        "a:" * 4_999,
    ],
    ids=lambda q: q[:12],
)
def test_the_longest_queries_take_bounded_time(query: str) -> None:
    start = time.monotonic()
    fault(query)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("query", "place", "says"),
    [
        ("user:emp0042 usr:a", 14, "did you mean user"),
        ("source:okta (a OR b", 13, "( is not closed"),
        ("port:[1 TO 5", 6, "[ is not closed"),
        ("a AND", 6, "nothing stands after AND"),
        ("a OR OR b", 6, "OR needs something on both sides"),
        ('say "abc', 5, "a quotation mark is not closed"),
        ("ip:300.1.1.1", 4, "for example ip:203.0.113.7"),
        ("severity:hgh", 10, "did you mean severity:high?"),
        ("class:authentification", 7, "class:authentication"),
        ("time:>soon", 6, "for example time:2026-05-14"),
        ("mfa:maybe", 5, "for example mfa:true"),
        ("port:https", 6, "for example port:443"),
        ("cmd:/(/", 5, "not a regular expression"),
        ("user: emp0042", 6, "the value of user is missing"),
        ("関所 usr:a", 4, "did you mean user"),
        ("x" * 300 + " usr:a", 302, "did you mean user"),
        ("a" * 10_001, 10_001, "sekisho hunt"),
    ],
)
def test_errors_point_at_the_place(query: str, place: int, says: str) -> None:
    at, text = column(query)
    assert at == place
    assert says in text
    _, shown, mark, *_ = text.split("\n")
    assert len(mark.rstrip("^")) + 1 <= len(shown) + 1
    assert len(shown) <= 120


def test_the_mark_stands_under_the_place() -> None:
    _, text = column("関所 user:a usr:b")
    _, shown, mark, *_ = text.split("\n")
    wide = mark.index("^")
    assert shown[wide:].startswith("usr:b"), "wide characters are matched by wide blanks"
    assert mark[4:6] == "\u3000\u3000"


@given(st.sampled_from(sorted(FIELDS)), st.text(min_size=1, max_size=30))
@hypothesis_settings(max_examples=200, deadline=3000)
def test_any_value_of_any_field_is_bound_never_written(name: str, value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    try:
        condition = language.compile(f'{name}:"{quoted}x7Z"', ZONE, NOW)
    except QueryError:
        return
    assert "x7Z" not in condition.sql
