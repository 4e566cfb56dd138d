"""Splitting of JSON objects and of bulk bodies: pure."""

from __future__ import annotations

import json
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.collect import bulk, objects
from sekisho.collect.ndjson import records


class Anything(msgspec.Struct):
    pass


DECODER = msgspec.json.Decoder(Anything)
LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    LEAVES, lambda v: st.lists(v) | st.dictionaries(st.text('a{}"\n', max_size=3), v), max_leaves=8
)
OBJECTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=4)
WRITTEN = st.builds(
    lambda value, indent, ascii_: json.dumps(value, indent=indent, ensure_ascii=ascii_).encode(
        "utf-8", "replace"
    ),
    OBJECTS,
    st.sampled_from([None, None, 2]),
    st.booleans(),
)
#: Not JSON, and without an opening brace at its end that could swallow what follows.
GARBAGE = st.sampled_from(
    [b"nonsense", b"}", b'"text"', b"[1]", b'{"cut": "of', b'{"a":1,}', b"\x00\xff", b'{"a" 1}']
)


def squeezed(data: bytes) -> bytes:
    return b"".join(data.split())


@given(st.lists(WRITTEN), st.sampled_from([b"", b"\n", b"\r\n", b"  ", b"\n\n\t"]))
def test_objects_come_out_byte_for_byte(written: list[bytes], between: bytes) -> None:
    pieces = objects.split(between.join(written), DECODER)
    assert [piece.body for piece in pieces] == written
    assert all(piece.value is not None for piece in pieces)


@given(st.binary(max_size=300) | st.text('{}[]":,\\ab1\n ', max_size=300).map(str.encode))
def test_nothing_is_left_out_of_any_bytes(data: bytes) -> None:
    pieces = objects.split(data, DECODER)
    assert squeezed(b"".join(piece.body for piece in pieces)) == squeezed(data)
    for piece in pieces:
        assert (piece.value is None) == bool(piece.why)


@given(st.lists(st.tuples(st.booleans(), WRITTEN, GARBAGE), max_size=8))
def test_good_lines_survive_bad_ones(parts: list[tuple[bool, bytes, bytes]]) -> None:
    lines = [json.dumps(json.loads(good)).encode() if is_good else bad for is_good, good, bad in parts]
    pieces = objects.split(b"\n".join(lines), DECODER)
    assert [p.body for p in pieces] == lines
    assert [p.value is not None for p in pieces] == [is_good for is_good, _, _ in parts]


def test_hostile_bodies_cost_little() -> None:
    for unit in (b'{"a":[1,\n', b"{\n", b'{"a":"', b"[\n", b'{"a":{"a":\n', b'{"a":1}x'):
        body = unit * (300_000 // len(unit))
        began = time.perf_counter()
        pieces = objects.split(body, DECODER)
        assert time.perf_counter() - began < 5
        assert pieces


def test_deep_nesting_is_one_bad_piece() -> None:
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    pieces = objects.split(deep + b'\n{"b":1}', DECODER)
    assert [(piece.body, piece.value is not None) for piece in pieces] == [(deep, False), (b'{"b":1}', True)]


INDEX = st.sampled_from([b'{"index":{}}', b'{"create":{"_index":"okta","_id":"7"}}'])
DOCUMENT = OBJECTS.map(lambda value: json.dumps(value).encode())


@given(st.lists(st.tuples(INDEX, DOCUMENT)))
def test_bulk_documents_come_out_in_order(pairs: list[tuple[bytes, bytes]]) -> None:
    items = bulk.parse(b"".join(b"%s\n%s\n" % pair for pair in pairs), "path")
    assert [item.bodies for item in items] == [(document,) for _, document in pairs]
    assert not any(item.why for item in items)
    assert {item.target for item in items} <= {"path", "okta"}


@given(st.lists(INDEX | DOCUMENT | GARBAGE | st.just(b'{"delete":{"_id":1}}') | st.just(b'{"update":{}}')))
def test_bulk_loses_no_line_but_known_actions(lines: list[bytes]) -> None:
    items = bulk.parse(b"\n".join(lines), "i")
    kept = [body for item in items for body in item.bodies]
    left = [line for line in lines if line.strip()]
    assert len(kept) <= len(left)
    for body in kept:
        left.remove(body)
    dropped = [item for item in items if item.operation in ("delete", "update") and item.why]
    actions = sum(
        1 for line in left if line.startswith((b'{"index"', b'{"create"', b'{"delete"', b'{"update"'))
    )
    assert len(left) - actions <= len(dropped)  # an update's document is answered as not stored


def test_bulk_keeps_counting_after_a_bad_action() -> None:
    body = b'{"index":{}}\n{"a":1}\n{"index":oops}\n{"a":2}\n{"index":{}}\n{"a":3}\n{"index":{}}\n{"a":\n'
    items = bulk.parse(body, "i")
    assert [(item.bodies, bool(item.why)) for item in items] == [
        ((b'{"a":1}',), False),
        ((b'{"index":oops}', b'{"a":2}'), True),
        ((b'{"a":3}',), False),
        ((b'{"a":',), True),
    ]


def test_ndjson_bodies() -> None:
    assert records(b' [{"a": 1}, {"b":2}]', "application/json") == [b'{"a": 1}', b'{"b":2}']
    assert records(b"[2026-05-14] a line\nand one\n", "text/plain") == [b"[2026-05-14] a line", b"and one"]
    assert records(b'{\n "a": 1\n}\n{"b":2}', "application/json") == [b'{\n "a": 1\n}', b'{"b":2}']
    assert records(b"nul \x00 and \xff\r\n\n", "") == [b"nul \x00 and \xff"]


@given(st.lists(VALUES, max_size=8), st.sampled_from([None, 2]))
def test_array_elements_are_counted_by_brackets_alone(values: list[object], indent: int | None) -> None:
    body = json.dumps(values, indent=indent).encode()
    assert [json.loads(element) for element in objects.array(body, max(1, len(values)))] == values
    if len(values) > 1:
        with pytest.raises(objects.TooMany):
            objects.array(body, len(values) - 1)


def test_too_many_small_records_are_refused_early() -> None:
    many = objects.RECORDS + 1
    for data in (b"{}" * many, b"{}\n" * many, b"[" + b"{}," * many + b"{}]", b"[" + b"1," * many + b"1]"):
        with pytest.raises(objects.TooMany):
            records(data, "application/json")
    with pytest.raises(objects.TooMany):
        records(b"x\n" * many, "text/plain")
    with pytest.raises(objects.TooMany):
        bulk.parse(b'{"index":{}}\n{}\n' * many, "")
    assert len(records(b"x\n" * objects.RECORDS, "text/plain")) == objects.RECORDS


def test_a_bad_line_does_not_swallow_good_ones() -> None:
    body = b'{"a": oops\n{"good":1}\n}\n{"good":2}'
    good = [piece.body for piece in objects.split(body, DECODER) if piece.value is not None]
    assert good == [b'{"good":1}', b'{"good":2}']
