"""Splitting files into records: any reading size gives the same, nothing is lost."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.collect import splitting
from sekisho.collect.files import Report
from sekisho.collect.splitting import Piece, Values

EVENT = b"<Event xmlns='x'><System><EventID>4625</EventID></System><EventData></EventData></Event>"


class Dribble:
    """Gives fewer bytes than asked for."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def read(self, size: int, /) -> bytes:
        return self._data.read(min(size, self._step))


def bodies(pieces: Iterator[Piece]) -> list[bytes]:
    return [body for body, _ in pieces]


def split_json(data: bytes, limit: int = 1 << 20, document: int = 1 << 24) -> tuple[list[bytes], Report]:
    report = Report()
    return bodies(splitting.json_document(io.BytesIO(data), limit, document, report)), report


@given(st.binary(max_size=300), st.integers(1, 50), st.integers(1, 60))
def test_lines_do_not_depend_on_reading_size(data: bytes, step: int, limit: int) -> None:
    def run(size: int) -> list[Piece]:
        return list(splitting.lines(Dribble(data, size), limit, Report()))

    assert run(step) == run(10_000)
    joined = b"".join(body for body, _ in run(step))
    assert joined.translate(None, b"\r\n \t\x00") == data.translate(None, b"\r\n \t\x00")
    assert all(len(body) <= limit for body, _ in run(step))


@given(st.lists(st.binary(min_size=1, max_size=30).map(lambda b: b"x" + b.translate(None, b"\r\n"))))
def test_lines_come_back_with_their_numbers(wanted: list[bytes]) -> None:
    data = b"\n".join(wanted)
    assert list(splitting.lines(io.BytesIO(data), 100, Report())) == [
        (line, number) for number, line in enumerate(wanted, 1)
    ]


def test_over_long_line_is_kept_in_pieces_and_reported() -> None:
    report = Report()
    data = b"a" * 5_000_000 + b"\nshort\n"
    pieces = list(splitting.lines(io.BytesIO(data), 1000, report))
    assert pieces[-1] == (b"short", 2)
    assert sum(len(body) for body, _ in pieces) == 5_000_005
    assert report.counts["too-long"] >= 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text('abc"\\{}[]', min_size=1, max_size=5), json_values, min_size=1, max_size=3)
LAYOUTS: list[Callable[[list[str]], str]] = [
    lambda texts: "[" + ",".join(texts) + "]",
    lambda texts: "[\n  " + ",\n  ".join(texts) + "\n]\n",
    lambda texts: '{"Records": [' + ", ".join(texts) + "]}",
    lambda texts: '{"@odata.context": "https://api.example/$metadata", "value":[' + ",".join(texts) + "]}",
    lambda texts: '{"kind": "reports", "etag": "x", "items": [' + ",".join(texts) + "]}",
    "\n".join,
    "".join,
]


@given(st.lists(objects, min_size=1, max_size=6), st.sampled_from(LAYOUTS), st.sampled_from([None, 1, 4]))
def test_json_of_any_layout_gives_the_objects_byte_for_byte(
    values: list[dict[str, object]], layout: Callable[[list[str]], str], indent: int | None
) -> None:
    texts = [json.dumps(value, indent=indent, ensure_ascii=False) for value in values]
    got, report = split_json(layout(texts).encode())
    assert [body.decode() for body in got] == texts
    assert not report.shown


@given(st.lists(objects, min_size=1, max_size=5), st.integers(1, 40))
def test_values_do_not_depend_on_chunks(values: list[dict[str, object]], step: int) -> None:
    data = " \n".join(json.dumps(value, indent=2) for value in values).encode()
    scanner = Values()
    got = [v for at in range(0, len(data), step) for v in scanner.feed(data[at : at + step])]
    assert [json.loads(value) for value in got] == values
    assert scanner.rest.strip() == b""


def test_broken_array_keeps_what_can_be_made_out() -> None:
    got, report = split_json(b'{"Records":[{"a":1},{"a":"}]"},{"a":')
    assert got == [b'{"a":1}', b'{"a":"}]"}', b'{"a":']
    assert report.counts["broken"] == 2


def test_array_above_the_limit_is_refused_clearly() -> None:
    got, report = split_json(b"[" + b",".join([b'{"a":1}'] * 400_000) + b"]", document=2_000_000)
    assert got == []
    assert report.shown[0].code == "document-too-large"
    assert "NDJSON" in report.shown[0].text.en
    assert "NDJSON" in report.shown[0].text.ja


def test_concatenated_values_above_the_limit_are_streamed() -> None:
    data = json.dumps({"a": [1, 2]}, indent=2).encode() * 100_000
    got, report = split_json(data, document=100_000)
    assert len(got) == 100_000
    assert not report.shown


def test_deeply_nested_is_one_body_and_no_crash() -> None:
    data = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    got, _ = split_json(data, limit=2 << 20)
    assert got == [data]


def test_ndjson_with_containers_and_broken_lines() -> None:
    data = b'{"a":1}\n{"Records":[{"a":2},{"a":3}]}\n{"broken\n\n[{"a":4}]\n'
    got = bodies(splitting.ndjson(io.BytesIO(data), 1000, 10_000, Report()))
    assert got == [b'{"a":1}', b'{"a":2}', b'{"a":3}', b'{"broken', b'{"a":4}']


def test_csv_rows_with_line_ends_inside_quotes() -> None:
    data = b'a,b,c\n1,"two\nlines",3\r\n4,"say ""hi""",6\n'
    got = list(splitting.csv_rows(io.BytesIO(data), 1000, Report()))
    assert got == [(b"a,b,c", 1), (b'1,"two\nlines",3', 2), (b'4,"say ""hi""",6', 4)]


def test_csv_quote_never_closed_costs_no_row() -> None:
    report = Report()
    data = b'a,b,c\n1,"2,3\n' + b"4,5,6\n" * 100
    got = bodies(splitting.csv_rows(io.BytesIO(data), 200, report))
    assert len(got) == 102
    assert report.counts["open-quote"] == 1


@pytest.mark.parametrize(
    "data",
    [
        EVENT + EVENT,
        EVENT + b"\n" + EVENT,
        b"<?xml version='1.0'?><Events>" + EVENT + b"\n" + EVENT + b"</Events>",
    ],
)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_event_xml(data: bytes, step: int) -> None:
    report = Report()
    assert bodies(splitting.event_xml(Dribble(data, step), 10_000, report)) == [EVENT, EVENT]
    assert not report.shown


def test_event_xml_cut_off_or_endless() -> None:
    report = Report()
    assert bodies(splitting.event_xml(io.BytesIO(EVENT + EVENT[:30]), 10_000, report)) == [EVENT, EVENT[:30]]
    assert report.counts["broken"] == 1
    endless = bodies(splitting.event_xml(io.BytesIO(b"<Event >" + b"x" * 3_000_000), 100_000, report))
    assert sum(map(len, endless)) == 3_000_008
    assert report.counts["too-long"] >= 1
