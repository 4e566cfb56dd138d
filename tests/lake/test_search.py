"""What a search finds, compared with plain Python over the same rows."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sekisho import settings
from sekisho.lake import Lake, reader
from sekisho.lake import query as language
from sekisho.lake.engines.duckdb import DuckDB
from sekisho.lake.query import QueryError
from sekisho.lake.search import Search
from tests.lake import sample

ZONE = ZoneInfo("Asia/Tokyo")
NOW = datetime(2026, 5, 16, 12, 0, tzinfo=UTC)
Row = dict[str, Any]
Test = Callable[[Row], bool]


class World:
    """A lake of some files with overlapping times, and the same rows in Python."""

    def __init__(self, folder: Path) -> None:
        self.rows: list[Row] = []
        with Lake(folder, settings.Lake(), now=lambda: NOW) as lake:
            for number in range(5):
                events = sample.mixed(number, 200)
                lake.commit(events, number)
                self.rows += events.to_pylist()
        self.snapshot = reader.snapshot(folder)
        self.engine = DuckDB(settings.Lake())

    def find(self, query: str, **how: Any) -> list[str]:
        search = Search(self.snapshot, self.engine, language.compile(query, ZONE, NOW))
        found = [row["event_uid"] for table in search.rows(**how) for row in table.to_pylist()]
        assert not search.damaged
        return found

    def expect(self, test: Test) -> list[str]:
        return [row["event_uid"] for row in self.rows if test(row)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    held = World(tmp_path_factory.mktemp("lake"))
    yield held
    held.engine.close()


def same(value: str, *columns: str) -> Test:
    return lambda row: any((row[c] or "").lower() == value.lower() for c in columns)


def in_net(text: str, *columns: str) -> Test:
    net = ipaddress.ip_network(text)
    return lambda row: any(row[c] is not None and ipaddress.ip_address(row[c]) in net for c in columns)


def contains(text: str) -> Test:
    return lambda row: any(text.lower() in (row[c] or "").lower() for c in ("raw", "message"))


def day(text: str, days: int = 1) -> Test:
    start = datetime.fromisoformat(text).replace(tzinfo=ZONE)
    return lambda row: start <= row["time"] < start + timedelta(days=days)


LEAVES: list[tuple[str, Test]] = [
    ("user_name:emp0007", same("emp0007", "user_name")),
    ("user:emp0011", same("emp0011", "user_name", "person_uid")),
    (
        "user:emp001*",
        lambda r: any(
            (r[c] or "").lower().startswith("emp001") for c in ("user_name", "account", "person_uid")
        ),
    ),
    ("user_name:emp00?3", lambda r: (r["user_name"] or "").lower() in {f"emp00{n}3" for n in range(10)}),
    ("ip:203.0.113.0/24", in_net("203.0.113.0/24", "src_endpoint_ip", "dst_endpoint_ip")),
    ("ip:198.51.100.64/27", in_net("198.51.100.64/27", "src_endpoint_ip", "dst_endpoint_ip")),
    ("src_endpoint_ip:192.0.0.0/14", in_net("192.0.0.0/14", "src_endpoint_ip")),
    ("ip:2001:db8::/32", in_net("2001:db8::/32", "src_endpoint_ip", "dst_endpoint_ip")),
    ("ip:2001:db8::/127", in_net("2001:db8::/127", "src_endpoint_ip", "dst_endpoint_ip")),
    ("ip:2001:0DB8:0:0::1", same("2001:db8::1", "src_endpoint_ip", "dst_endpoint_ip")),
    (
        "src_endpoint_ip:[203.0.113.10 TO 203.0.113.77]",
        lambda r: r["src_endpoint_ip"] in {f"203.0.113.{n}" for n in range(10, 78)},
    ),
    ("status:success", lambda r: r["status_id"] == 1),
    ("status:failed", lambda r: r["status_id"] == 2),
    ("source:okta", lambda r: r["source"] == "okta"),
    ("class:authentication", lambda r: r["class_uid"] == 3002),
    ("class:4003", lambda r: r["class_uid"] == 4003),
    ("severity:>=low", lambda r: (r["severity_id"] or 0) >= 2),
    ("severity:[1 TO 2}", lambda r: r["severity_id"] == 1),
    ("port:<1000", lambda r: (r["dst_endpoint_port"] or 9999) < 1000),
    ("mfa:false", lambda r: r["is_mfa"] is False),
    ("is_mfa:*", lambda r: r["is_mfa"] is not None),
    ("domain:evil.example", lambda r: r["query_hostname"] == "evil.example"),
    ("query.hostname:*.example.*", lambda r: ".example." in (r["query_hostname"] or "")),
    ("country:jp", lambda r: r["src_country"] == "JP"),
    ("evil.example", contains("evil.example")),
    ('"50%_x"', contains("50%_x")),
    ("関所", contains("関所")),
    ("message:/fail(ed)? p/", lambda r: "failed p" in (r["message"] or "").lower()),
    ("time:2026-05-15", day("2026-05-15")),
    ("time:[2026-05-14 TO 2026-05-15]", day("2026-05-14", 2)),
    ("time:>now-12h", lambda r: r["time"] > NOW - timedelta(hours=12)),
    (
        "time:[2026-05-15T00:00:00+00:00 TO now}",
        lambda r: datetime(2026, 5, 15, tzinfo=UTC) <= r["time"] < NOW,
    ),
]


@pytest.mark.parametrize(("query", "test"), LEAVES, ids=[query for query, _ in LEAVES])
def test_each_kind_of_term(world: World, query: str, test: Test) -> None:
    expected = world.expect(test)
    assert 0 < len(expected) < len(world.rows), "the sample should tell"
    assert sorted(world.find(query)) == sorted(expected)


LEAF = st.sampled_from(LEAVES)
TREE: st.SearchStrategy[tuple[str, Test]] = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(
            lambda p: (f"({p[0][0]} AND {p[1][0]})", lambda r: p[0][1](r) and p[1][1](r))
        ),
        st.tuples(inner, inner).map(
            lambda p: (f"({p[0][0]} {p[1][0]})", lambda r: p[0][1](r) and p[1][1](r))
        ),
        st.tuples(inner, inner).map(
            lambda p: (f"({p[0][0]} OR {p[1][0]})", lambda r: p[0][1](r) or p[1][1](r))
        ),
        inner.map(lambda p: (f"-{p[0]}", lambda r: not p[1](r))),
        inner.map(lambda p: (f"(NOT {p[0]})", lambda r: not p[1](r))),
    ),
    max_leaves=6,
)


@given(tree=TREE, limit=st.sampled_from([1, 7, 50, None]), order=st.sampled_from(["newest", "oldest"]))
@hypothesis_settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_query_finds_what_python_finds_in_order(
    world: World, tree: tuple[str, Test], limit: int | None, order: str
) -> None:
    query, test = tree
    rows = sorted(
        (row for row in world.rows if test(row)),
        key=lambda row: (row["time"], row["journal_offset"]),
        reverse=order == "newest",
    )
    assert world.find(query, limit=limit, order=order) == [row["event_uid"] for row in rows[:limit]]
    assert Search(world.snapshot, world.engine, language.compile(query, ZONE, NOW)).count() == len(rows)


def test_pages_without_a_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sekisho.lake.search.PAGE", 37)
    for order in ("newest", "oldest"):
        found = world.find("source:okta", order=order)
        assert len(found) == len(set(found)) == len(world.expect(lambda r: r["source"] == "okta"))


@pytest.mark.parametrize(
    ("query", "column", "why"),
    [
        ("user:a (b", 8, "is not closed"),
        ("user:a )", 8, "closes nothing"),
        ("usr:a", 1, "no field 'usr'"),
        ("source:okta ip:203.0.113.300", 16, "not an IP address"),
        ("ip:203.0.113.0/99", 4, "not an address range"),
        ("class:nonsense", 7, "not a whole number"),
        ("a time:tomorrowish", 8, "not a time"),
        ("time:now-2h", 6, "names a moment"),
        ("time:2026-02-31", 6, "day .*range"),
        ("time:[0000-01-01 TO 9999-12-31]", 6, "year "),
        ("a && b", 3, "not an operator"),
        ("!a", 1, "not an operator"),
        ("user:/(/", 6, "not a regular expression"),
        ("mfa:maybe", 5, "not true or false"),
        ('x "open', 3, "quotation mark"),
        ("関所 usr:a", 4, "no field"),
        ("severity:99999999999999999999", 10, "too large"),
        ("(" * 60 + "a" + ")" * 60, None, "deep"),
        ("a " * 9000, 10_001, "longer than"),
        ("user:(a source:b)", 9, "a field inside the field"),
        ("ip:>203.0.113.1", 4, "both ends"),
    ],
)
def test_errors_point_at_the_place(query: str, column: int | None, why: str) -> None:
    with pytest.raises(QueryError, match=why.replace("(", r"\(")) as caught:
        language.compile(query, ZONE, NOW)
    if column is not None:
        assert caught.value.column == column


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=60))
@hypothesis_settings(max_examples=400, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        condition = language.compile(text, ZONE, NOW)
    except QueryError as error:
        place = error.column
    else:
        place = 1
        assert condition.sql.count("?") == len(condition.params)
    assert 1 <= place <= len(text) + 1


@pytest.mark.parametrize("evil", ["' OR 1=1 --", "x'; DROP VIEW events; --", "%", "_", "\\", "?", "$1", "{}"])
def test_values_are_never_sql(world: World, evil: str) -> None:
    quoted = '"' + evil.replace("\\", "\\\\") + '"'
    assert world.find(f"user:{quoted}") == []
    assert sorted(world.find(quoted)) == sorted(world.expect(contains(evil)))


@pytest.mark.parametrize(
    ("raw", "query"),
    [
        ('{"user":"EXAMPLE\\\\taro"}', "EXAMPLE\\taro"),
        ('{"url":"https://evil.example:8443/a?b=1"}', "https://evil.example:8443/a?b=1"),
        ('{"name":"\\u95a2\\u6240"}', "関所"),
        ("2001:db8::7 said hello", "2001:db8::7"),
        ('{"path":"C:\\\\Users\\\\x"}', "C:\\Users\\x"),
        ("it's", "it's"),
        ("at /etc/passwd", "/etc/passwd"),
        ("203.0.113.5:443", "203.0.113.5:443"),
    ],
)
def test_pasted_text_needs_no_quotes(tmp_path: Path, raw: str, query: str) -> None:
    with Lake(tmp_path, settings.Lake(), now=lambda: NOW) as lake:
        lake.commit(sample.table([{"raw": raw}, {"raw": "something else"}]), 0)
    search = Search(reader.snapshot(tmp_path), DuckDB(settings.Lake()), language.compile(query, ZONE, NOW))
    assert [row["raw"] for table in search.rows() for row in table.to_pylist()] == [raw]


def test_files_outside_the_time_or_source_are_not_opened(tmp_path: Path) -> None:
    with Lake(tmp_path, settings.Lake(), now=lambda: NOW) as lake:
        lake.commit(sample.batch(0, 10), 0)
        lake.commit(sample.batch(86_400, 10, source="sshd"), 1)
    snapshot = reader.snapshot(tmp_path)
    for query in ("time:2026-05-15T09:00 a:1".removesuffix(" a:1"), "source:okta", "time:<2026-05-15"):
        search = Search(snapshot, DuckDB(settings.Lake()), language.compile(query, ZONE, NOW))
        assert len(search.files()) == 1, query


def test_an_unreadable_file_is_named_and_the_rest_found(tmp_path: Path) -> None:
    with Lake(tmp_path, settings.Lake(), now=lambda: NOW) as lake:
        for n in range(3):
            lake.commit(sample.batch(n * 10, 10), n)
    snapshot = reader.snapshot(tmp_path)
    path = snapshot.paths(snapshot.files)[1]
    body = bytearray(path.read_bytes())
    body[4:-2000] = bytes(len(body) - 2004)
    path.write_bytes(body)
    search = Search(
        reader.snapshot(tmp_path), DuckDB(settings.Lake()), language.compile("user:emp*", ZONE, NOW)
    )
    found = [row["journal_offset"] for table in search.rows(limit=100) for row in table.to_pylist()]
    assert [damage.path for damage in search.damaged] == [path]
    assert sorted(found) == [*range(10), *range(20, 30)]


def test_files_of_an_older_schema_give_nulls(tmp_path: Path) -> None:
    with Lake(tmp_path, settings.Lake(), now=lambda: NOW) as lake:
        lake.commit(sample.batch(0, 3).drop_columns(["person_uid", "src_country"]), 0)
        lake.commit(sample.batch(3, 3, person_uid="emp0042"), 1)
    search = Search(reader.snapshot(tmp_path), DuckDB(settings.Lake()), language.compile("", ZONE, NOW))
    rows = [row for table in search.rows() for row in table.to_pylist()]
    assert [row["person_uid"] for row in rows] == ["emp0042"] * 3 + [None] * 3


def test_a_folder_with_odd_characters(tmp_path: Path) -> None:
    folder = tmp_path / "it's [a] *lake?"
    with Lake(folder, settings.Lake(), now=lambda: NOW) as lake:
        lake.commit(sample.batch(0, 3), 0)
    search = Search(reader.snapshot(folder), DuckDB(settings.Lake()), language.compile("", ZONE, NOW))
    assert search.count() == 3
