"""A list of indicators against all files at once, compared with plain Python over the same rows."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sekisho import settings
from sekisho.lake import Lake, reader
from sekisho.lake.engines.duckdb import DuckDB
from sekisho.lake.hunt import Hunt, table
from sekisho.lake.indicators import Indicator, make
from sekisho.lake.rights import Narrowed, Rights
from tests.lake import sample

NOW = datetime(2026, 5, 20, tzinfo=UTC)
MD5 = hashlib.md5(b"evil", usedforsecurity=False).hexdigest()
SHA256 = "c" * 64


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[reader.Snapshot, list[dict[str, object]]]:
    folder = tmp_path_factory.mktemp("lake")
    rows: list[dict[str, object]] = []
    with Lake(folder, settings.Lake(), now=lambda: NOW) as lake:
        for number in range(4):
            events = sample.mixed(number, 300)
            lake.commit(events, number)
            rows += events.to_pylist()
        special: list[dict[str, object]] = [
            {
                "http_request_url_url_string": "HTTP://Bad.example:80/x?y#z",
                "http_request_url_hostname": "Bad.example",
            },
            {"query_hostname": "deep.under.evil2.example.", "answers_rdata": "192.0.2.200 198.51.100.77"},
            {"query_hostname": "notevil2.example"},
            {"process_file_hash_sha256": SHA256.upper(), "process_file_path": "C:\\Temp\\Dropper.EXE"},
            {
                "class_uid": 1007,
                "activity_id": 1,
                "raw": json.dumps({"Hashes": f"MD5={MD5.upper()},IMPHASH=0"}),
            },
            {"class_uid": 3002, "raw": MD5},
            {"class_uid": 1007, "activity_id": 1, "raw": MD5 + "00"},
            {"src_endpoint_ip": "2001:db8:0:0::7", "http_request_user_agent": "Evil Agent/1.0"},
            {"user_email_addr": "Boss@evil3.example", "device_asset": "PC-0042"},
        ]
        events = sample.table(
            [{**row, "event_uid": sample.uid(f"special {n}")} for n, row in enumerate(special)]
        )
        lake.commit(events, 4)
        rows += events.to_pylist()
    return reader.snapshot(folder), rows


def run(snapshot: reader.Snapshot, *wanted: Indicator, **how: object) -> Hunt:
    duck = DuckDB(settings.Lake())
    rights = how.get("rights")
    engine = Narrowed(duck, rights) if isinstance(rights, Rights) else duck
    hunt = Hunt(snapshot, engine, wanted, **how)  # type: ignore[arg-type]
    told: list[int] = []
    hunt.run(told.append)
    assert sum(told) == hunt.rows
    duck.close()
    assert not hunt.damaged
    return hunt


def counts(hunt: Hunt) -> dict[str, int]:
    return {held.indicator.value: held.n for held in hunt.found.values()}


def test_counts_times_and_people_are_those_of_the_rows(
    world: tuple[reader.Snapshot, list[dict[str, object]]],
) -> None:
    snapshot, rows = world
    address = next(str(r["src_endpoint_ip"]) for r in rows if str(r["src_endpoint_ip"]).startswith("203."))
    hunt = run(
        snapshot,
        make("", address),
        make("", "evil.example"),
        make("", "198.51.100.0/24"),
        make("", "192.0.2.254"),
    )
    mine = [r for r in rows if address in (r["src_endpoint_ip"], r["dst_endpoint_ip"])]
    found = hunt.found[0]
    assert found.n == len(mine)
    times = [r["time"] for r in mine]
    held = table([found]).to_pylist()[0]
    assert (held["first_seen"], held["last_seen"]) == (min(times), max(times))  # type: ignore[type-var]
    assert found.sources.total() == len(mine)
    assert set(found.sources) == {r["source"] for r in mine}
    assert found.persons.total() == len([r for r in mine if r["person_uid"] or r["account"]])
    assert counts(hunt)["evil.example"] == len([r for r in rows if r["query_hostname"] == "evil.example"])
    inside = [
        r
        for r in rows
        if any(str(r[c]).startswith("198.51.100.") for c in ("src_endpoint_ip", "dst_endpoint_ip"))
        or "198.51.100." in str(r["answers_rdata"])
    ]
    assert counts(hunt)["198.51.100.0/24"] == len(inside), "an event counts once, whichever columns hit"


@pytest.mark.parametrize(
    ("kind", "text", "where"),
    [
        ("", "http://bad.example/x?y", "http_request_url_url_string"),
        ("", "bad.example", "http_request_url_hostname"),
        ("", "evil2.example", "query_hostname"),
        ("", "198.51.100.77", "answers_rdata"),
        ("", SHA256, "process_file_hash_sha256"),
        ("file", "dropper.exe", "process_file_path"),
        ("", MD5, "raw"),
        ("", "2001:db8::7", "src_endpoint_ip"),
        ("agent", "evil agent/1.0", "http_request_user_agent"),
        ("", "boss@evil3.example", "user_email_addr"),
    ],
)
def test_each_kind(
    world: tuple[reader.Snapshot, list[dict[str, object]]], kind: str, text: str, where: str
) -> None:
    hunt = run(world[0], make(kind, text))
    assert [held.n for held in hunt.found.values()] == [1]
    assert where in hunt.found[0].columns


def test_a_role_hunts_in_its_sources_and_not_in_the_record(
    world: tuple[reader.Snapshot, list[dict[str, object]]],
) -> None:
    snapshot, rows = world
    rights = Rights("analyst", frozenset({"squid"}), raw=False)
    hunt = run(snapshot, make("", "evil.example"), make("", MD5), rights=rights)
    mine = [r for r in rows if r["query_hostname"] == "evil.example" and r["source"] == "squid"]
    assert counts(hunt) == {"evil.example": len(mine)}
    assert "may not see" in hunt.skipped[1]


def test_since(world: tuple[reader.Snapshot, list[dict[str, object]]]) -> None:
    snapshot, rows = world
    since = datetime(2026, 5, 15, 12, tzinfo=UTC)
    hunt = run(snapshot, make("", "evil.example"), since=int(since.timestamp() * 1_000_000))
    mine = [r for r in rows if r["query_hostname"] == "evil.example" and r["time"] >= since]  # type: ignore[operator]
    assert counts(hunt) == {"evil.example": len(mine)}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    with Lake(tmp_path, settings.Lake(), now=lambda: NOW) as lake:
        lake.commit(sample.table([{"src_endpoint_ip": "203.0.113.7"}] * 3), 0)
        lake.commit(sample.batch(10, 100), 1)
    snapshot = reader.snapshot(tmp_path)
    path = snapshot.paths([snapshot.files[1]])[0]
    data = bytearray(path.read_bytes())
    data[-400:-8] = b"\xff" * 392
    path.write_bytes(data)
    engine = DuckDB(settings.Lake())
    hunt = Hunt(snapshot, engine, [make("", "203.0.113.7")])
    hunt.run(lambda _: None)
    engine.close()
    assert counts(hunt) == {"203.0.113.7": 3}
    assert [damage.path for damage in hunt.damaged] == [path]
