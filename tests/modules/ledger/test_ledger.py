"""Master data: nothing is overwritten, nothing half-imported, everything can be taken back."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sekisho.contract import TABLES
from sekisho.model import Refused
from sekisho.tabular import write

NOW = datetime(2026, 4, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=10)
HEAD = "system,account,person_id,valid_from,valid_to\n"
SEKI = "okta,seki@example.jp,emp1,2026-01-01T00:00Z,\n"
SATO = "okta,sato@example.jp,emp2,2026-01-01T00:00Z,\n"
SOON = "okta,new@example.jp,emp2,2027-01-01T00:00Z,\n"
OVER = "okta,old@example.jp,emp2,2020-01-01T00:00Z,2021-01-01T00:00Z\n"
KNOWN = {"people": frozenset({"emp1", "emp2"}), "devices": frozenset({"PC-1"})}

pytestmark = pytest.mark.usefixtures("data")


def take(register: Any, text: str, now: datetime, *, complete: bool = False, dry_run: bool = False) -> Any:
    from sekisho.modules.ledger.flows import Upload, import_file

    upload = Upload(text.encode(), "file.csv", "sato", KNOWN, complete)
    return import_file(register, upload, now=now, dry_run=dry_run)


def accounts() -> Any:
    from sekisho.modules.people.flows import ACCOUNTS

    return ACCOUNTS


def shown(**options: Any) -> list[tuple[str, ...]]:
    from sekisho.modules.ledger.publish import texts

    return texts(accounts(), "UTC", **options).rows


def test_history_who_and_when_stay() -> None:
    assert len(take(accounts(), HEAD + SEKI, NOW).plan.added) == 1
    changed = take(accounts(), HEAD + SEKI.replace(",\n", ",2026-06-30T00:00Z\n"), LATER)
    assert [len(changed.plan.changed), len(changed.plan.added)] == [1, 0]
    versions = shown(past=True)
    assert [row[7:9] for row in versions] == [
        ("", "2026-04-01T00:00:00+00:00"),
        ("2026-06-30T00:00:00+00:00", "2026-04-11T00:00:00+00:00"),
    ]
    assert versions[0][9:] == ("2026-04-11T00:00:00+00:00", "sato", "file.csv", "sato", "file.csv")
    assert [row[7] for row in shown(at=NOW)] == [""]
    assert [row[7] for row in shown(at=LATER)] == ["2026-06-30T00:00:00+00:00"]
    assert shown(at=NOW - timedelta(seconds=1)) == []


def test_a_dry_run_and_a_file_with_problems_change_nothing() -> None:
    from sekisho.modules.ledger.models import Import

    assert len(take(accounts(), HEAD + SEKI, NOW, dry_run=True).plan.added) == 1
    bad = take(accounts(), HEAD + SEKI + "okta,x,emp9,2026-01-01T00:00Z,\n", NOW)
    assert [problem.row for problem in bad.problems] == [3]
    assert (bad.events, shown(), Import.objects.count()) == ([], [], 0)


def test_the_same_file_again_is_no_import() -> None:
    from sekisho.modules.ledger.models import Import

    take(accounts(), HEAD + SEKI, NOW)
    again = take(accounts(), HEAD + SEKI, LATER)
    assert (again.plan.unchanged, again.events, Import.objects.count()) == (1, [], 1)


def test_complete_closes_withdraws_and_keeps() -> None:
    take(accounts(), HEAD + SEKI + SATO + SOON + OVER, NOW)
    found = take(accounts(), HEAD + SEKI, LATER, complete=True).plan
    assert [len(found.closed), len(found.withdrawn), found.unchanged] == [1, 1, 2]
    assert {row[1]: row[7] for row in shown()} == {
        "old@example.jp": "2021-01-01T00:00:00+00:00",
        "sato@example.jp": "2026-04-11T00:00:00+00:00",
        "seki@example.jp": "",
    }


def test_an_overlap_with_what_is_stored_is_a_problem_unless_it_is_ended() -> None:
    take(accounts(), HEAD + SEKI, NOW)
    next_holder = "okta,SEKI@example.jp,emp2,2026-05-01T00:00Z,\n"
    [problem] = take(accounts(), HEAD + next_holder, LATER).problems
    assert "stored" in problem.expected.en
    ended = SEKI.replace(",\n", ",2026-05-01T00:00Z\n")
    assert take(accounts(), HEAD + ended + next_holder, LATER).problems == ()
    assert len(shown()) == 2


def test_a_wrong_start_is_corrected_by_a_complete_file() -> None:
    take(accounts(), HEAD + SEKI, NOW)
    corrected = SEKI.replace("2026-01-01", "2025-12-01")
    found = take(accounts(), HEAD + corrected, LATER, complete=True)
    assert found.problems == ()
    assert [len(found.plan.withdrawn), len(found.plan.added)] == [1, 1]
    assert [row[6] for row in shown()] == ["2025-12-01T00:00:00+00:00"]


def test_a_column_left_out_keeps_what_is_stored() -> None:
    take(
        accounts(), "system,account,person_id,privileged,valid_from\nokta,a,emp1,yes,2026-01-01T00:00Z\n", NOW
    )
    take(
        accounts(), "system,account,valid_from,valid_to\nokta,a,2026-01-01T00:00Z,2026-12-01T00:00Z\n", LATER
    )
    assert shown()[0][2:5] == ("emp1", "human", "yes")


def test_undo_goes_back_step_by_step_and_is_itself_history() -> None:
    from sekisho.modules.ledger.flows import imports, undo

    take(accounts(), HEAD + SEKI, NOW)
    first = shown()
    take(accounts(), HEAD + SATO, LATER, complete=True)
    assert [row[1] for row in shown()] == ["sato@example.jp", "seki@example.jp"]
    events = undo(accounts(), "suzuki", now=LATER + timedelta(hours=1)).events
    assert events[0]["metadata"]["event_code"] == "accounts.undone"
    assert shown() == first
    undo(accounts(), "suzuki", now=LATER + timedelta(hours=2))
    assert shown() == []
    with pytest.raises(Refused, match="no import of accounts"):
        undo(accounts(), "suzuki", now=LATER + timedelta(hours=3))
    assert [one.undoes_id is not None for one in imports(accounts())] == [True, True, False, False]
    assert [row[1] for row in shown(at=LATER)] == ["sato@example.jp", "seki@example.jp"]


def test_a_crash_in_the_middle_leaves_the_old_state() -> None:
    from django.db import connection

    take(accounts(), HEAD + SEKI, NOW)
    before = shown(past=True)
    for after in range(1, 6):
        seen = 0

        def fail(execute: Any, sql: str, params: Any, many: bool, context: Any, after: int = after) -> Any:
            nonlocal seen
            seen += 1
            if seen == after:
                raise KeyboardInterrupt
            return execute(sql, params, many, context)

        with connection.execute_wrapper(fail), pytest.raises(KeyboardInterrupt):
            take(accounts(), HEAD + SATO, LATER, complete=True)
        assert shown(past=True) == before


DECOYS = "decoy_id,kind,identifier,asset_tag,place,valid_from\nD1,password,{},PC-1,Chrome,2026-01-01T00:00Z\n"


def test_a_decoys_identifier_is_nowhere_in_clear(data: Path) -> None:
    from sekisho.modules.decoys import emit
    from sekisho.modules.decoys.flows import register
    from sekisho.modules.ledger.publish import texts

    key = bytes(range(32))
    decoys = register(key)
    outcome = take(decoys, DECOYS.format(" Svc-Treasury-BK "), NOW)
    sealed = hmac.new(key, b"svc-treasury-bk", hashlib.sha256).hexdigest()
    assert emit.tables()["decoys"]["identifier"].to_pylist() == [sealed]
    said = json.dumps(outcome.events) + repr(texts(decoys, "UTC", past=True))
    assert "treasury" not in said.lower()
    assert sealed not in said
    from django.db import connections

    connections.close_all()
    for file in data.rglob("*"):
        if file.is_file():
            assert b"treasury" not in file.read_bytes().lower(), file
    exported = texts(decoys, "UTC")
    assert exported.rows[0][2] == ""
    again = take(decoys, write(exported.header, exported.rows, "csv").decode("utf-8-sig"), LATER)
    assert (again.problems, again.plan.unchanged) == ((), 1)
    moved = take(decoys, DECOYS.format("").replace("Chrome", "Edge"), LATER)
    assert len(moved.plan.changed) == 1
    assert emit.tables()["decoys"]["identifier"].to_pylist() == [sealed]


def test_what_is_published_fits_the_contract() -> None:
    from sekisho.modules.decoys import emit as decoys
    from sekisho.modules.grants import emit as grants
    from sekisho.modules.people import emit as people

    take(accounts(), HEAD + SEKI + SATO, NOW)
    take(accounts(), HEAD + SEKI.replace("emp1", ""), LATER)
    tables = people.tables() | grants.tables() | decoys.tables()
    assert set(tables) == set(TABLES)
    for name, table in tables.items():
        assert table.schema == TABLES[name].schema()
    rows = tables["accounts"].to_pylist()
    assert [(r["account"], r["person_id"], r["known_from"]) for r in rows] == [
        ("sato@example.jp", "emp2", NOW),
        ("seki@example.jp", None, LATER),
    ]


def test_the_events_are_complete_ocsf() -> None:
    take(accounts(), HEAD + SEKI, NOW)
    events = take(accounts(), HEAD + SATO, LATER, complete=True).events
    assert [event["metadata"]["event_code"] for event in events] == [
        "accounts.imported",
        "accounts.added",
        "accounts.closed",
    ]
    assert len({event["metadata"]["uid"] for event in events}) == 3
    for event in events:
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
        assert {
            "activity_id",
            "category_uid",
            "class_uid",
            "entity",
            "metadata",
            "severity_id",
            "time",
        } <= set(event)
        assert event["time"] == int(LATER.timestamp() * 1000)


def test_every_column_of_the_contract_has_its_field() -> None:
    from sekisho.modules.decoys import flows as decoys
    from sekisho.modules.grants.flows import ASSIGNMENTS
    from sekisho.modules.people.flows import REGISTERS

    for register in (*REGISTERS, ASSIGNMENTS, decoys.DECOYS):
        have = {field.name for field in register.model._meta.get_fields()}
        assert {field.name for field in register.table.fields} <= have
