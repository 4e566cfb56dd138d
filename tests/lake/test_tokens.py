"""The index never rules out a row group that holds a match."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.lake import query as language
from sekisho.lake.cold import index, tokens
from tests.lake import sample

NOW = datetime(2026, 5, 20, tzinfo=UTC)
ALPHABET = 'abkKsS09_-. \\"nrtu/不é\n\x00ſK:*'
TEXT = st.text(st.sampled_from(ALPHABET), max_size=24) | st.text(max_size=40)


def compiled(query: str) -> language.Condition:
    return language.compile(query, ZoneInfo("UTC"), NOW)


@given(st.lists(TEXT, min_size=1, max_size=5))
def test_hashes_of_a_column_are_those_of_its_texts(texts: list[str]) -> None:
    column = pa.chunked_array([pa.array(texts, pa.string()), pa.array([None, *texts], pa.string())])
    held = set(tokens.of_texts(column).tolist())
    for text in texts:
        assert {tokens.of_token(token) for token, _ in tokens.of_text(text)} <= held


@given(st.lists(st.text(max_size=30), max_size=6))
def test_hashes_of_values_are_those_of_each(values: list[str]) -> None:
    held = set(tokens.of_values(pa.chunked_array([pa.array(values, pa.string())])).tolist())
    assert held == {tokens.of_value(value) for value in values}


@settings(max_examples=400, deadline=None)
@given(raw=TEXT, start=st.integers(0, 30), length=st.integers(1, 12), upper=st.booleans())
def test_what_matches_is_never_ruled_out(raw: str, start: int, length: int, upper: bool) -> None:
    """Whatever piece of a record is sought: if the SQL finds the record, the index allows it."""
    piece = raw[start : start + length] or "ab"
    piece = piece.upper() if upper else piece
    quoted = '"' + piece.replace("\\", "\\\\").replace('"', '\\"') + '"'
    condition = compiled(quoted)
    with duckdb.connect() as connection:
        sql = f"SELECT 1 FROM (SELECT ? AS raw, NULL::VARCHAR AS message) WHERE {condition.sql}"
        found = connection.execute(sql, [raw, *condition.params]).fetchall()
    if not found:
        return
    held = set(tokens.of_texts(pa.chunked_array([pa.array([raw])])).tolist())
    for group in condition.tokens:
        assert held & {tokens.of_token(token) for token in group}, (raw, quoted, condition.tokens)


@pytest.mark.parametrize(
    ("query", "needles", "words"),
    [
        ("user:EMP0042", (("EMP0042",),), ()),
        ("ip:203.0.113.7", (("203.0.113.7",),), ()),
        ("ip:203.0.113.0/24", (), ()),
        ("user:emp*", (), ()),
        ("-user:emp0042", (), ()),
        ("user:a OR ip:192.0.2.1", (("a", "192.0.2.1"),), ()),
        ("user:a OR process:b", (), ()),
        ('user:a "evil.example"', (("a",),), (("evil",), ("example",))),
        ('"evil" OR "vile"', (), (("evil", "vile"),)),
        ('"*evil"', (), (("evil",),)),
        ("*evil*", (), ()),
        ("user:(a OR b)", (("a", "b"),), ()),
        ("NOT evil", (), ()),
        ("不正", (), (("不", "u4e0d"),)),
    ],
)
def test_what_a_query_implies(
    query: str, needles: tuple[tuple[str, ...], ...], words: tuple[tuple[str, ...], ...]
) -> None:
    condition = compiled(query)
    assert condition.needles == needles
    assert condition.tokens == words


@pytest.mark.parametrize(
    ("text", "record", "found"),
    [
        ("emp0042", '{"u":"emp0042@example.jp"}', True),
        ("emp0042", '{"u":"emp00421"}', False),
        ("mimikatz", '{"c":"a\\nInvoke-Mimikatz"}', True),
        ("Invoke", '{"c":"a\\r\\nInvoke-Mimikatz"}', True),
        ("Invoke", '{"c":"a\\u000aInvoke-Mimikatz"}', True),
        ("voke", '{"c":"Invoke"}', False),
        ("*voke*", '{"c":"Invoke"}', True),
        ("kiosk", "KIOSK", True),
    ],
)
def test_whole_words(text: str, record: str, found: bool) -> None:
    condition = compiled(text)
    with duckdb.connect() as connection:
        sql = f"SELECT 1 FROM (SELECT ? AS raw, NULL::VARCHAR AS message) WHERE {condition.sql}"
        assert bool(connection.execute(sql, [record, *condition.params]).fetchall()) is found


def test_an_index_says_where_and_hardly_ever_more(tmp_path: Path) -> None:
    groups = [sample.mixed(seed, 400) for seed in range(70)]
    path = tmp_path / "cold-20260514-00000000.parquet"
    index.write(path.with_suffix(".index"), groups)
    vain = 0
    for number in random.Random(1).sample(range(70), 30):
        uid = groups[number]["event_uid"][7].as_py()
        found = index.groups(path, [[uid.upper()]], [])
        assert found is not None
        assert number in found
        vain += len(found) - 1
    assert vain < 40, "one in 300 would be 7"
    assert index.groups(path, [["nobody"]], []) in (set(), {0}), "absent but for chance"
    assert index.spans(path, {0, 1, 5}) == [(0, 800), (2000, 2400)]


@pytest.mark.parametrize("harm", ["flip", "cut", "gone", "empty"])
def test_a_damaged_index_is_never_believed(tmp_path: Path, harm: str) -> None:
    groups = [sample.mixed(seed, 300) for seed in range(9)]
    path = tmp_path / "cold-20260514-00000000.parquet"
    beside = path.with_suffix(".index")
    index.write(beside, groups)
    data = bytearray(beside.read_bytes())
    uids = [table["event_uid"][3].as_py() for table in groups]
    for place in range(20, len(data) - 60, max(1, len(data) // 40)):
        bad = bytearray(data)
        bad[place] ^= 0xFF
        beside.write_bytes({"flip": bytes(bad), "cut": bytes(data[:place]), "empty": b""}.get(harm, b""))
        if harm == "gone":
            beside.unlink()
        for number, uid in enumerate(uids):
            try:
                found = index.groups(path, [[uid]], [])
            except index.Broken:
                continue
            assert found is not None
            assert number in found
        if harm in {"gone", "empty"}:
            with pytest.raises(index.Broken):
                index.groups(path, [["x"]], [])
