"""``problems`` names each unsoundness of an event, and finds none in a sound one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sekisho.ocsf import problems

SOUND: dict[str, Any] = {
    "time": datetime(2026, 5, 18, tzinfo=UTC),
    "class_uid": 3002,
    "activity_id": 1,
    "category_uid": 3,
    "type_uid": 300201,
    "severity_id": 1,
    "status_id": 1,
    "is_mfa": None,
    "user_name": "mamoru.seki",
    "service_name": "Wallet Console",
}


def test_a_sound_event_has_none() -> None:
    assert problems(SOUND) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"class_uid": 3999}, "no class"),
        ({"activity_id": 55, "type_uid": 300255}, "no activity"),
        ({"activity_id": 99, "type_uid": 300299}, "without an activity_name"),
        ({"category_uid": 4}, "category_uid is 4, 3 follows"),
        ({"type_uid": 300202}, "type_uid is 300202, 300201 follows"),
        ({"time": None}, "time is absent"),
        ({"time": datetime(2026, 5, 18)}, "no zone"),
        ({"severity_id": 9}, "severity_id 9"),
        ({"status_id": 3}, "status_id 3"),
        ({"user_name": None}, "needs user"),
        ({"service_name": None}, "needs service or dst_endpoint"),
        ({"user_uid": ""}, "user_uid is empty"),
        ({"is_mfa": 1}, "neither true, false nor null"),
    ],
)
def test_each_problem_is_named(change: dict[str, Any], told: str) -> None:
    found = problems(SOUND | change)
    assert len(found) == 1, found
    assert told in found[0]
