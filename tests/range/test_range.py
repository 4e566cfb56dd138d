"""The range: the same every time, true to its ledger, and of documentation addresses only."""

from __future__ import annotations

import csv
import ipaddress
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import defusedxml.ElementTree
import pytest

from sekisho.contract.tables import TABLES
from sekisho.range import STREAMS, Range, Size, period, simulate
from sekisho.range.master import ORDER, tables, write
from sekisho.range.plan import holiday, plan
from sekisho.range.world import INTRUDER_VPN, LEAVER, LISBON, NEW_YORK, REHIRED, VPN_RANGES, found

START, END = period(datetime(2026, 5, 25, 4, 30, tzinfo=UTC))
SMALL = Size(0.2)


@pytest.fixture(scope="module")
def small() -> Range:
    return simulate(7, START, END, size=SMALL)


def test_same_seed_same_records_and_ledger(small: Range) -> None:
    again = simulate(7, START, END, size=SMALL)
    assert again.streams == small.streams
    assert again.ledger == small.ledger


def test_another_seed_another_fortnight(small: Range) -> None:
    other = simulate(8, START, END, size=SMALL)
    assert other.streams["okta"] != small.streams["okta"]
    assert {act.id for act in other.ledger.acts} == {act.id for act in small.ledger.acts}


@pytest.mark.parametrize(
    ("layer", "touched"),
    [("proxy", {"squid"}), ("okta", {"okta", "okta-api"}), ("edr", {"crowdstrike", "defender"})],
)
def test_doubling_one_layer_leaves_the_others_as_they_were(
    small: Range, layer: str, touched: set[str]
) -> None:
    doubled = simulate(7, START, END, size=Size(0.2, {layer: 2.0}))
    changed = {name for name in STREAMS if doubled.streams.get(name) != small.streams.get(name)}
    assert changed == touched
    assert doubled.ledger == small.ledger


def test_unknown_layer_and_short_period_are_refused() -> None:
    with pytest.raises(ValueError, match="no such layer: wifi"):
        simulate(1, START, END, size=Size(1, {"wifi": 2}))
    with pytest.raises(ValueError, match="needs 14 days"):
        simulate(1, START, START + timedelta(days=3))
    with pytest.raises(ValueError, match="at least 36"):
        simulate(1, START, END, people=5)


def test_every_stream_speaks_in_order_and_inside_the_period(small: Range) -> None:
    assert set(small.streams) == set(STREAMS)
    for name, records in small.streams.items():
        times = [one.time for one in records]
        assert times == sorted(times), name
        assert all(START <= time < END for time in times), name
        assert all(one.stream == name for one in records)


@pytest.mark.parametrize("day", range(7))
def test_story_fits_whatever_the_weekday_and_hour(day: int) -> None:
    begin, end = period(datetime(2026, 6, 1 + day, 3 * day, 10, tzinfo=UTC))
    simulated = simulate(day, begin, end, people=36, size=Size(0.02))
    for act in simulated.ledger.acts:
        records = simulated.ledger.records[act.id]
        assert records, act.id
        assert all(begin <= time < end for _, time in records), act.id


def test_ledger_names_real_records_and_sound_acts(small: Range) -> None:
    emitted = {
        (one.stream, one.time, one.act) for records in small.streams.values() for one in records if one.act
    }
    told = {(stream, time, act) for act, rows in small.ledger.records.items() for stream, time in rows}
    assert emitted == told
    planted = small.ledger.planted
    assert len(planted) == 22
    assert all(not act.harmless and act.advisory and act.attack for act in planted)
    assert all(not act.rules for act in small.ledger.look_alikes)
    assert [act.id for act in planted if not act.required] == ["S01", "S08"]
    begins = [small.ledger.begins(act) for act in planted]
    assert begins == sorted(begins)


def test_cookie_replay_keeps_the_session_and_changes_the_network(small: Range) -> None:
    records = [json.loads(one.body) for one in small.streams["okta"] if one.act == "S08"]
    assert len({r["authenticationContext"]["rootSessionId"] for r in records}) == 1
    assert {r["client"]["ipAddress"] for r in records} == {"203.0.113.10", INTRUDER_VPN, "192.0.2.201"}
    assert any(ipaddress.ip_address(INTRUDER_VPN) in ipaddress.ip_network(net) for net in VPN_RANGES)


def test_benign_sign_ins_have_a_second_factor_unless_exempt(small: Range) -> None:
    exempt = {row["account"] for row in tables(small.world)["accounts"] if row["mfa_required"] == "no"}
    for one in small.streams["entra-signin"]:
        record = json.loads(one.body)["properties"]
        single = record["authenticationRequirement"] == "singleFactorAuthentication"
        if single and record["status"]["errorCode"] == 0 and one.act != "S09":
            assert record["userPrincipalName"] in exempt


# -- shapes ----------------------------------------------------------------------------------------

_PARSED = ("hec", "bulk", "otlp", "ndjson")
_SYSLOG = re.compile(rb"<(\d{1,3})>(1 \d{4}-\d\d-\d\dT[\d:.]+\+09:00|[A-Z][a-z]{2} [ \d]\d [\d:]{8}) \S+ \S")


def test_every_record_parses_as_its_product_writes_it(small: Range) -> None:
    for name, records in small.streams.items():
        for one in records:
            if name == "windows-xml":
                assert defusedxml.ElementTree.fromstring(one.body).tag.endswith("}Event")
            elif STREAMS[name].transport in _PARSED:
                assert isinstance(json.loads(one.body), dict)
            else:
                assert _SYSLOG.match(one.body), one.body
            assert b"\n" not in one.body


#: not addresses: names that the vendors' formats demand
_FORMAT_NAMES = (b".amazonaws.com", b"schemas.microsoft.com")
_IPV4 = re.compile(rb"(?<![\w./])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
_IPV6 = re.compile(rb"(?<![\w:])[0-9a-f]{1,4}(?::[0-9a-f]{0,4}){2,7}(?![\w:])")
_HOST = re.compile(
    rb"(?<![\w.-])(?:[a-z0-9-]+\.)+(?:com|net|org|jp|io|example|test|invalid|dev|local|info)(?![\w-])"
)
_DOCUMENTATION = [
    ipaddress.ip_network(net)
    for net in (
        "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "10.0.0.0/8", "192.168.0.0/16", "127.0.0.0/8",
        "2001:db8::/32",
    )
]  # fmt: skip


def _strange(body: bytes) -> list[bytes]:
    bad = []
    for text in _IPV4.findall(body):
        try:
            address = ipaddress.ip_address(text.decode())
        except ValueError:
            continue
        if not any(address in net for net in _DOCUMENTATION if net.version == address.version):
            bad.append(text)
    for text in _IPV6.findall(body):
        try:
            address = ipaddress.ip_address(text.decode())
        except ValueError:
            continue
        if not any(address in net for net in _DOCUMENTATION if net.version == address.version):
            bad.append(text)
    for host in _HOST.findall(body):
        inside = re.search(rb"(?:^|\.)(?:example(?:\.(?:com|net|org|jp))?|test|invalid)$", host)
        if not inside and not host.endswith(_FORMAT_NAMES):
            bad.append(host)
    return bad


def test_the_search_for_real_addresses_finds_some() -> None:
    assert _strange(b'"ip":"8.8.8.8" at login.microsoftonline.com and 2606:4700::1111') == [
        b"8.8.8.8", b"2606:4700::1111", b"login.microsoftonline.com",
    ]  # fmt: skip


def test_documentation_addresses_and_names_only(small: Range, tmp_path: Path) -> None:
    for records in small.streams.values():
        for one in records:
            assert not _strange(one.body), one.body
    for path in write(small.world, tmp_path).values():
        assert not _strange(path.read_bytes()), path


# -- master data -------------------------------------------------------------------------------------


def test_master_data_has_the_columns_of_the_tables(small: Range, tmp_path: Path) -> None:
    paths = write(small.world, tmp_path)
    assert set(ORDER) == set(TABLES)
    for name in ORDER:
        with paths[name].open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
        fields = {field.name: field for field in TABLES[name].fields}
        assert set(reader.fieldnames or ()) == set(fields)
        keys = [tuple(row[part] for part in TABLES[name].key) for row in rows]
        assert len(keys) == len(set(keys)), name
        for row in rows:
            for field in fields.values():
                assert row[field.name] or not field.required, (name, field.name)
                if field.choices and row[field.name]:
                    assert row[field.name] in field.choices


def test_references_hold(small: Range) -> None:
    rows = tables(small.world)
    for name, table in TABLES.items():
        for column, other in table.refers:
            known = {row[TABLES[other].key[0]] for row in rows[other]}
            assert all(not row[column] or row[column] in known for row in rows[name]), (name, column)


def test_the_cast() -> None:
    world = found(1, START, END, 40)
    assert len(world.people) == 40
    assert len({p.mail for p in found(1, START, END, 240).people}) == 240
    assert world.person(NEW_YORK).country == "US"
    assert world.person(LISBON).country == "PT"
    leaver = world.person(LEAVER)
    assert leaver.end is not None
    assert leaver.end < START
    rows = [row for row in tables(world)["people"] if row["person_id"] == world.person(REHIRED).uid]
    assert len(rows) == 2
    assert rows[0]["employment_end"] < rows[1]["employment_start"]


def test_days_have_a_shape() -> None:
    world = found(1, START, END, 40)
    days = plan(world)
    weekend = [day for day in days if day.date.weekday() >= 5]
    assert 0 < len(weekend) < len(days) / 10
    assert all(day.person.number != LEAVER for day in days)
    off = [day for day in days if day.date == holiday(world) and day.person.country == "JP"]
    assert len(off) < 5
    new_york = [day for day in days if day.person.number == NEW_YORK]
    assert new_york
    assert all(day.start.astimezone(UTC).hour in (12, 13, 14, 15) for day in new_york)
    for day in days:
        assert all(a < b for a, b in day.spans)
