"""Recognition is made fast, never different: the plain search over all sources is the judge."""

from __future__ import annotations

import json
import re

import pytest
from bench.shapes import records
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.contract import Hints, Json, Lines
from sekisho.contract.source import AnySource
from sekisho.normalise.formats import windows_beat, windows_json
from sekisho.normalise.literals import branches, literals
from sekisho.normalise.routing import Router
from tests.content.cases import RECEIVED_AT, cases, content
from tests.normalise.test_windows import AT, BEAT, NOW


def plainly(payload: bytes) -> list[str]:
    """What ``Recognise`` says, word for word."""
    found: list[AnySource] = []
    first = payload.lstrip()[:1]
    for source in content().sources.values():
        marks, pattern = source.recognise.marks, source.recognise.pattern
        if not marks and pattern is None:
            continue
        if isinstance(source.decode, Json) and first != b"{":
            continue
        if isinstance(source.decode, Lines) and first == b"{":
            continue
        if not isinstance(source.decode, Json | Lines) and first not in (
            b"{",
            b"<",
            b"\xef",
            b"\xff",
            b"\xfe",
        ):
            continue
        if all(mark in payload for mark in marks) and (pattern is None or pattern.search(payload)):
            found.append(source)
    best = max((source.recognise.rank for source in found), default=0)
    return sorted(source.id for source in found if source.recognise.rank == best)


BODIES = [case.body for case in cases()] + [
    body for source in ("okta", "cloudtrail", "windows") for body in records(source, 5, at=AT)
]
MARKS = sorted({mark for source in content().sources.values() for mark in source.recognise.marks})
PIECES = st.sampled_from(
    [*MARKS, b'"EventID":1,', b"<Event ", b'"event_simpleName":', b'"customerIDString" :', b"{", b'"winlog"']
)
PAYLOAD = (
    st.sampled_from(BODIES)
    | st.lists(PIECES, max_size=8).map(lambda parts: b"{" + b" ".join(parts))
    | st.tuples(st.sampled_from(BODIES), PIECES).map(lambda pair: pair[0] + pair[1])
    | st.lists(PIECES | st.binary(max_size=9), max_size=6).map(b"".join)
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PAYLOAD, max_size=12))
def test_what_came_before_does_not_change_the_verdict(payloads: list[bytes]) -> None:
    router = Router(content().sources)
    for payload in payloads:
        assert sorted(source.id for source in router.content(payload)) == plainly(payload)


def test_all_cases_after_each_other() -> None:
    router = Router(content().sources)
    for body in [*BODIES, *reversed(BODIES), *BODIES[::2]]:
        assert sorted(source.id for source in router.content(body)) == plainly(body)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (rb'"event_simpleName"\s*:|"customerIDString"\s*:', (b'"event_simpleName"', b'"customerIDString"')),
        (rb"abcde?f", (b"abcd",)),
        (rb"abcde{0}", (b"abcd",)),
        (rb"[a|b]cdefg", ()),
        (rb"[]|]cdefg|abcdef", ()),
        (rb"abcd(x|y)|efgh\|ij", (b"abcd", b"efgh")),
        (rb"abcdef|", ()),
        (rb"(?i)abcdef", ()),
        (rb"^abcdef", ()),
    ],
)
def test_literals_of_a_pattern(pattern: bytes, expected: tuple[bytes, ...]) -> None:
    assert literals(re.compile(pattern)) == expected


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_where_a_pattern_matches_there_is_a_literal(data: st.DataObject) -> None:
    parts = st.sampled_from(
        ["abcd", "efgh", "x", "|", "(?:ij|kl)", "[a|b]", r"\|", "m*", "n?", "o{2}", r"\s"]
    )
    pattern = re.compile("".join(data.draw(st.lists(parts, min_size=1, max_size=6))).encode())
    text = data.draw(st.from_regex(pattern))
    assert pattern.search(text)
    if known := literals(pattern):
        assert any(literal in text for literal in known)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_branches_of_a_pattern_find_what_it_finds(data: st.DataObject) -> None:
    parts = st.sampled_from(
        ["abcd", "ef", "x", "|", "(?:ij|kl)", "[a|b]", "[^]|]", r"\|", "m*", "n?", "o{2}", r"\s", "^"]
    )
    written = "".join(data.draw(st.lists(parts, min_size=1, max_size=6))).encode()
    pattern = re.compile(data.draw(st.sampled_from([b"", b"(?i)", b"(?s)"])) + written)
    text = data.draw(st.binary(max_size=8) | st.text("abcdefxijklmno| ]", max_size=12).map(str.encode))
    assert any(one.search(text) for one in branches(pattern)) == bool(pattern.search(text))


VALUES: st.SearchStrategy[object] = (
    st.none() | st.integers(-5, 99999) | st.text(max_size=6) | st.just({}) | st.just([])
)
WINLOG = st.sampled_from(
    [
        "event_id",
        "provider_name",
        "channel",
        "computer_name",
        "record_id",
        "event_data",
        "user_data",
        "process",
        "user",
        "activity_id",
    ]
)
OUTER = st.sampled_from(["@timestamp", "log", "message", "host", "event"])
INNER = st.fixed_dictionaries(
    {},
    optional={
        "pid": st.none() | st.integers(0, 9999),
        "identifier": st.none() | st.text(max_size=4),
        "level": st.sampled_from(["error", "information", "none", "", None, 3]),
        "name": st.text(max_size=4),
    },
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(WINLOG, VALUES | INNER, max_size=4),
    st.dictionaries(OUTER, VALUES | INNER, max_size=3),
    st.sets(WINLOG, max_size=2),
)
def test_winlogbeats_fast_way_gives_what_the_general_one_gives(
    winlog: dict[str, object], outer: dict[str, object], without: set[str]
) -> None:
    usual = {name: value for name, value in BEAT["winlog"].items() if name not in without}  # type: ignore[attr-defined]
    value = {**BEAT, **outer, "winlog": {**usual, **winlog}}
    fast = windows_beat.parse(json.dumps(value).encode())
    if fast is not None:
        assert fast == windows_json.parse(value, NOW)


def test_winlogbeats_fast_way_on_all_cases() -> None:
    hints = Hints(NOW.received_at.fromisoformat(RECEIVED_AT))
    bodies = [body for body in BODIES if b'"winlog"' in body]
    taken = 0
    for body in bodies:
        if (fast := windows_beat.parse(body)) is not None:
            taken += 1
            assert fast == windows_json.parse(json.loads(body), hints)
    assert taken >= 5
