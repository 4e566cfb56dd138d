# ruff: noqa: E501 - rows of tables
"""Who, what and where: resolution by time, system and name forms; decoys; networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.enrich import Enricher
from sekisho.enrich.timeline import NEVER, NOTHING, Span, steps
from sekisho.model import Refused
from sekisho.model.folding import fold, keyed_hash
from sekisho.model.spelling import FROM, TO, looks_like, spellings
from sekisho.ocsf import EVENT_SCHEMA
from sekisho.settings import Enrich, Network
from tests.detect.events import context, normalised

KEY = b"k" * 32
START = "2024-01-01T00:00:00+00:00"
WHEN = "2026-05-20T01:00:00+00:00"
SYSTEMS = {"okta": ("okta",), "windows": ("active-directory",)}


def one(row: dict[str, Any], options: Enrich | None = None, **tables: Any) -> dict[str, Any]:
    event = {"time": WHEN, "source": "okta", "class_uid": 3002, "activity_id": 1, **row}
    out = Enricher(options or Enrich(), KEY, SYSTEMS).batch(normalised([event]), context(**tables))
    assert out.schema == EVENT_SCHEMA
    row_out: dict[str, Any] = out.to_pylist()[0]
    return row_out


def account(name: str, person: str, **more: Any) -> dict[str, Any]:
    return {"system": "okta", "account": name, "person_id": person, "valid_from": START, **more}


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"user_email_addr": " Mamoru.Seki@Example.JP "}, "mamoru.seki@example.jp"),
        ({"user_uid": "00u1"}, "00u1"),
        ({"user_name": "seki", "user_domain": "CORP"}, "corp\\seki"),
        ({"user_name": "CORP\\seki"}, "seki"),
        ({"user_email_addr": "unknown@example.jp", "user_name": "seki"}, "SEKI"),
        ({"class_uid": 6003, "actor_user_credential_uid": "AKIA1"}, "AKIA1"),
        ({"user_name": "leaver.one_corp.example#EXT#@tenant.onmicrosoft.com"}, "leaver.one@corp.example"),
        ({"user_email_addr": "first_last_corp.example#EXT#@t.example"}, "first_last@corp.example"),
        ({"user_name": "CORP.EXAMPLE\\Leaver.One"}, "leaver.one@corp.example"),
        ({"user_name": "leaver.one", "user_domain": "corp.example"}, "leaver.one@corp.example"),
        ({"user_name": "corp.example/leaver.one"}, "leaver.one@corp.example"),
        ({"user_name": "CORP/seki"}, "seki"),
        ({"user_name": "leaver.one%40corp.example"}, "leaver.one@corp.example"),
        ({"user_name": "corp%5cseki"}, "seki"),
    ],
)
def test_any_form_of_the_name_leads_to_the_person(row: dict[str, Any], name: str) -> None:
    assert one(row, accounts=[account(name, "emp1")])["person_uid"] == "emp1"


@pytest.mark.parametrize(
    "name",
    ["lеaver.one@corp.example", "ⅼeaver.οne@corp.example", "leaver.one@cоrp.example", "leaver.one+x@corp.example",
     "arn:aws:iam::1:user/leaver.one@corp.example/x", "a/b/leaver.one@corp.example"],
)  # fmt: skip
def test_another_name_is_not_equated(name: str) -> None:
    """Neither a look-alike nor an address with a tag: the first is told by a rule of its own."""
    assert (
        one({"user_name": name}, accounts=[account("leaver.one@corp.example", "emp1")])["person_uid"] is None
    )


@pytest.mark.parametrize(
    "name",
    ["svc-bk_corp.example#EXT#@tenant.onmicrosoft.com", "CORP/svc-bk", "svc-bk%40corp.example", "ѕvс-bk@corp.example",
     "CORP.EXAMPLE\\svc-bk", "ЅVC-bk"],
)  # fmt: skip
def test_a_decoy_is_one_in_any_spelling_and_also_where_it_is_imitated(name: str) -> None:
    for listed in ("svc-bk", "svc-bk@corp.example")[: 1 + ("corp" in name.lower() and "CORP/" not in name)]:
        rows = [{"decoy_id": "D1", "identifier": keyed_hash(KEY, listed), "valid_from": START}]
        assert one({"user_name": name}, decoys=rows)["decoy_uid"] == "D1", listed


@given(st.text(max_size=30))
def test_spellings_and_looks_of_any_text(value: str) -> None:
    forms = spellings(value)
    assert forms[0] == fold(value)
    assert all(fold(form) == form for form in forms)
    look = looks_like(fold(value))
    assert look is None or looks_like(look) is None


def test_each_look_alike_is_one_letter_for_one() -> None:
    assert len(FROM) == len(TO) == len(set(FROM))
    assert not [mark for mark in FROM if fold(mark) != mark], "folded before"
    assert TO.isascii()


def test_an_authentication_is_about_the_user_other_events_about_the_actor() -> None:
    both = {"user_name": "target", "actor_user_name": "admin"}
    rows = [account("target", "emp1"), account("admin", "emp2")]
    assert one(both, accounts=rows)["person_uid"] == "emp1"
    assert one({**both, "class_uid": 6003}, accounts=rows)["person_uid"] == "emp2"
    assert one({"user_name": "target", "class_uid": 3005}, accounts=rows)["person_uid"] is None


def test_who_acted_is_found_apart_from_whom_it_is_about() -> None:
    rows = [account("target", "emp1"), account("CORP\\admin", "emp2"), account("AKIA1", "emp3")]
    names = ("account", "person_uid", "account_ref", "actor_account", "actor_person_uid", "actor_account_ref")

    def parties(row: dict[str, Any]) -> tuple[Any, ...]:
        found = one(row, accounts=rows)
        return tuple(found[name] for name in names)

    target, admin = ("target", "emp1", "target"), ("admin", "emp2", "corp\\admin")
    nobody = (None, None, None)
    both = {"user_name": "Target", "actor_user_name": "Admin", "actor_user_domain": "CORP"}
    for number in (3001, 3002):
        assert parties({**both, "class_uid": number}) == target + admin
    for number in (3005, 3006, 6003):
        assert parties({**both, "class_uid": number}) == admin + admin
    assert parties({"user_name": "target", "class_uid": 3001}) == target + nobody
    by_key = {"user_name": "unknown", "actor_user_credential_uid": "akia1", "class_uid": 3001}
    assert parties(by_key) == ("unknown", None, None, "akia1", "emp3", "akia1")


def test_each_event_of_a_batch_has_its_own_actor() -> None:
    events = normalised(
        {"time": WHEN, "source": "okta", "class_uid": number, "user_name": user, "actor_user_name": actor}
        for number, user, actor in [
            (3002, "a", None), (3001, "a", "b"), (6003, None, "c"), (3001, "b", "a"), (3005, "a", "c"), (4001, None, None),
        ]
    )  # fmt: skip
    accounts = [account(name, f"emp-{name}") for name in "abc"]
    out = Enricher(Enrich(), KEY, SYSTEMS).batch(events, context(accounts=accounts))
    assert out.column("account").to_pylist() == ["a", "a", "c", "b", "c", None]
    assert out.column("actor_account").to_pylist() == [None, "b", "c", "a", "c", None]
    assert out.column("actor_person_uid").to_pylist() == [None, "emp-b", "emp-c", "emp-a", "emp-c", None]


def test_of_one_persons_accounts_the_valid_one_is_the_row() -> None:
    old = account("old@example.jp", "emp1", valid_to="2026-01-01T00:00:00+00:00")
    row = {"user_email_addr": "old@example.jp", "user_name": "seki"}
    assert one(row, accounts=[old, account("seki", "emp1")])["account_ref"] == "seki"
    assert one(row, accounts=[old, account("seki", "emp2")])["account_ref"] == "old@example.jp"
    assert one(row, accounts=[account("old@example.jp", ""), account("seki", "emp2")])["person_uid"] == "emp2"


def test_the_system_of_the_account_counts() -> None:
    rows = [account("seki", "emp1"), {**account("seki", "emp2"), "system": "active-directory"}]
    assert one({"user_name": "seki"}, accounts=rows)["person_uid"] == "emp1"
    assert one({"user_name": "seki", "source": "windows"}, accounts=rows)["person_uid"] == "emp2"
    assert one({"user_name": "seki", "source": "other"}, accounts=rows)["person_uid"] is None
    anywhere = [{**account("seki", "emp3"), "system": "*"}]
    assert one({"user_name": "seki", "source": "other"}, accounts=anywhere)["person_uid"] == "emp3"


def test_the_holder_at_that_time_and_the_last_one_after_the_end() -> None:
    rows = [
        account("shared", "emp1", valid_to="2025-01-01T00:00:00+00:00"),
        account(
            "shared", "emp2", valid_from="2025-06-01T00:00:00+00:00", valid_to="2026-01-01T00:00:00+00:00"
        ),
    ]
    at = {
        "2023-01-01": None,
        "2024-06-01": "emp1",
        "2025-03-01": "emp1",
        "2025-07-01": "emp2",
        "2026-05-01": "emp2",
    }
    found = {
        day: one({"time": f"{day}T00:00:00+00:00", "user_name": "shared"}, accounts=rows)["person_uid"]
        for day in at
    }
    assert found == at


def test_devices_by_short_name_full_name_and_agent_within_their_validity() -> None:
    ledger = [
        {
            "asset_tag": "PC-1",
            "hostname": "pc1",
            "agent_id": "AG1",
            "valid_from": START,
            "valid_to": "2026-05-21T00:00:00+00:00",
        },
        {"asset_tag": "PC-2", "hostname": "pc2.corp.example", "valid_from": START},
    ]
    assert one({"device_hostname": "PC1.corp.example"}, devices=ledger)["device_asset"] == "PC-1"
    assert one({"device_hostname": "PC2"}, devices=ledger)["device_asset"] == "PC-2"
    assert one({"src_endpoint_uid": "ag1"}, devices=ledger)["device_asset"] == "PC-1"
    late = {"device_hostname": "pc1", "time": "2026-06-01T00:00:00+00:00"}
    assert one(late, devices=ledger)["device_asset"] is None
    assert one({"device_hostname": "192.0.2.1"}, devices=ledger)["device_asset"] is None


def test_decoys_by_hash_only_and_in_any_name_form() -> None:
    decoys = [
        {
            "decoy_id": "D1",
            "kind": "password",
            "identifier": keyed_hash(KEY, "svc-bk"),
            "asset_tag": "PC-1",
            "valid_from": START,
        }
    ]
    for row in (
        {"user_name": "SVC-BK"}, {"user_email_addr": "svc-bk@example.jp"}, {"actor_user_name": "CORP\\svc-bk"},
        {"session_uid": "svc-bk"}, {"actor_user_credential_uid": "svc-bk"}, {"user_name": "CORP\\svc-bk@corp.example"},
        {"user_name": "svc\u200b-bk. "}, {"user_email_addr": "\uff33vc-bk\uff20example.jp"},
    ):  # fmt: skip
        assert one(row, decoys=decoys)["decoy_uid"] == "D1", row
    assert one({"user_name": "svc-bk2"}, decoys=decoys)["decoy_uid"] is None


def network_options(folder: Path) -> Enrich:
    (folder / "vpn.txt").write_text("198.51.100.0/24 # provider\n\n2001:db8:1::/48\n")
    (folder / "hosting.txt").write_text("198.51.100.0/23\nAS64500\n")
    return Enrich(
        networks=(
            Network(path=str(folder / "hosting.txt"), net_class="hosting", name="centres"),
            Network(path=str(folder / "vpn.txt"), net_class="vpn", name="providers"),
        )
    )


def test_network_class_in_order_and_own_networks_by_time(tmp_path: Path) -> None:
    options = network_options(tmp_path)
    own = [
        {
            "cidr": "198.51.100.0/28",
            "name": "HQ",
            "net_class": "own-egress",
            "valid_from": START,
            "valid_to": "2026-01-01T00:00:00+00:00",
        }
    ]

    def where(address: str, when: str = WHEN) -> tuple[Any, Any]:
        found = one({"src_endpoint_ip": address, "time": when}, options, networks=own)
        return found["src_net_class"], found["src_net_name"]

    assert where("198.51.100.5", "2025-01-01T00:00:00+00:00") == ("own-egress", "HQ")
    assert where("198.51.100.5") == ("vpn", "providers")
    assert where("::ffff:198.51.100.5") == ("vpn", "providers")
    assert where("198.51.101.5") == ("hosting", "centres")
    assert where("2001:db8:1::5") == ("vpn", "providers")
    assert where("203.0.113.5") == (None, None)
    assert where("10.1.2.3") == ("private", None)
    assert where("not an address") == (None, None)


def test_a_list_with_a_bad_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("192.0.2.0/24\n192.0.2.0/99\n")
    options = Enrich(networks=(Network(path=str(tmp_path / "bad.txt"), net_class="vpn", name="x"),))
    with pytest.raises(Refused, match=r"bad\.txt:2: '192\.0\.2\.0/99'"):
        Enricher(options, KEY, {})


def test_databases_of_the_maxmind_format(shared_data: Path) -> None:
    folder = shared_data / "net" / "maxmind-db-test" / "test-data"
    options = Enrich(
        country_mmdb=str(folder / "GeoIP2-Country-Test.mmdb"), asn_mmdb=str(folder / "GeoLite2-ASN-Test.mmdb")
    )
    found = one({"src_endpoint_ip": "81.2.69.160"}, options)
    assert found["src_country"] == "GB"
    found = one({"src_endpoint_ip": "1.128.0.0"}, options)
    assert (found["src_asn"], found["src_as_org"]) == (1221, "Telstra Pty Ltd")
    enricher = Enricher(options, KEY, {})
    assert set(enricher.versions()) == {"country_mmdb", "asn_mmdb"}


def test_broken_databases_are_refused_by_name_or_answer_nothing(shared_data: Path) -> None:
    folder = shared_data / "net" / "maxmind-db-test"
    files = [
        *sorted((folder / "bad-data").rglob("*.mmdb")),
        *sorted((folder / "test-data").glob("*roken*.mmdb")),
    ]
    assert len(files) >= 20
    refused = 0
    for path in files:
        options = Enrich(country_mmdb=str(path), asn_mmdb=str(path))
        rows = [
            {"time": WHEN, "source": "okta", "class_uid": 3002, "src_endpoint_ip": address}
            for address in ("81.2.69.160", "1.1.1.1", "2001:4860::8888", "::1:ffff:ffff", "255.255.255.255")
        ]
        try:
            enricher = Enricher(options, KEY, {})
        except Refused as error:
            refused += str(path) in str(error)
            continue
        assert enricher.batch(normalised(rows), context()).num_rows == 5
    assert 0 < refused < len(files)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30) | st.none(), st.integers(0, 3)), max_size=6),
    st.integers(-1, 31),
    st.booleans(),
)
def test_steps_say_what_the_spans_say(
    spans: list[tuple[int, int | None, int]], at: int, lasting: bool
) -> None:
    rows = [Span(start, NEVER if end is None else end, value) for start, end, value in spans]
    begun = [row for row in rows if row.start <= at and row.start < row.end]
    valid = [row for row in begun if at < row.end]
    pool = valid or (begun if lasting else [])
    wanted = max(pool, key=lambda row: (row.rank, row.start, row.value)).value if pool else NOTHING
    assert steps(rows, lasting=lasting).at(at) == wanted
