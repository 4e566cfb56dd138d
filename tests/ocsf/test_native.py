"""Native OCSF: what a column is read from, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.ocsf import CLASSES, MAPPED, TIME, Column
from sekisho.ocsf.native import Inconsistent, Native, check, flatten

DECODER = msgspec.json.Decoder(Native)
KIND = {"class_uid": 3002, "activity_id": 1}


def _flat(value: dict[str, Any]) -> dict[str, Any]:
    record = DECODER.decode(json.dumps(KIND | value).encode())
    check(record)
    return dict(flatten(record))


def _nested(column: Column, value: Any) -> dict[str, Any]:
    """The JSON in which ``column`` has ``value``."""
    built: Any = value
    for part in reversed(column.path.split(".")):
        name, bracket, index = part.partition("[")
        if index == "SHA-256]":
            built = [{"algorithm_id": 1, "value": "md5"}, {"algorithm_id": 3, "value": built}]
        elif bracket:
            built = [built]
        built = {name: built}
    assert isinstance(built, dict)
    return built


@pytest.mark.parametrize("column", MAPPED, ids=lambda column: column.name)
def test_every_column_is_read_from_its_path(column: Column) -> None:
    given_value: Any = "text"
    expected: Any = "text"
    if column.type == TIME:
        given_value, expected = 1779066000123, datetime(2026, 5, 18, 1, 0, 0, 123000, tzinfo=UTC)
    elif str(column.type) == "bool":
        given_value = expected = False
    elif str(column.type).startswith("int"):
        given_value = expected = {"class_uid": 3002, "activity_id": 2}.get(column.name, 7)
    event = _flat(_nested(column, given_value))
    assert event == KIND | {column.name: expected}


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1)))
def test_times_are_milliseconds_or_rfc_3339(naive: datetime) -> None:
    when = naive.replace(tzinfo=UTC, microsecond=naive.microsecond // 1000 * 1000)
    milliseconds = (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert abs(_flat({"time": milliseconds})["time"] - when) < timedelta(milliseconds=1)
    assert _flat({"time_dt": when.isoformat()})["time"] == when


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"class_uid": 3999}, "unknown-class"),
        ({"activity_id": 55}, "unknown-activity"),
        ({"category_uid": 4}, "inconsistent"),
        ({"type_uid": 300202}, "inconsistent"),
        ({"time": "yesterday"}, "wrong-shape"),
        ({"time": 10**18}, "wrong-shape"),
    ],
)
def test_what_contradicts_itself_is_refused(value: dict[str, Any], code: str) -> None:
    with pytest.raises(Inconsistent) as caught:
        _flat(value)
    assert caught.value.code == code


def test_every_class_and_activity_is_accepted() -> None:
    for known in CLASSES.values():
        for activity in known.activities:
            kind = {"class_uid": known.uid, "activity_id": activity, "category_uid": known.category_uid}
            assert _flat(kind | {"type_uid": known.uid * 100 + activity})["class_uid"] == known.uid
