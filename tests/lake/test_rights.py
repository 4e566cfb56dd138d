"""What a role may ask: first match counts, time and sources bound every question."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from sekisho.lake import query as language
from sekisho.lake import rights
from sekisho.lake.query import micros
from sekisho.model import Refused
from sekisho.settings import Access, Role, load

NOW = datetime(2026, 5, 20, tzinfo=UTC)
DAY = 86_400_000_000
NAMES = {1000: "hanako", 1001: "taro"}
GROUPS = {50: "soc", 60: "audit"}


def of(uid: int, *gids: int) -> rights.Rights:
    access = Access(
        roles=(
            Role(name="lead", users=("hanako",), raw=True, export=True),
            Role(name="analyst", groups=("soc", "60"), sources=("okta",), longest_days=7),
        )
    )
    return rights.of(access, uid, gids, user_name=NAMES.get, group_name=GROUPS.get)


def test_the_first_role_that_names_the_person_counts() -> None:
    assert of(1000, 50).role == "lead"
    assert of(1001, 50).role == "analyst"
    assert of(4711, 7, 60).role == "analyst", "by number, for a user without a name"
    with pytest.raises(Refused, match="has no role"):
        of(1001, 7)


def test_what_is_not_given_is_refused() -> None:
    for right in ("sql", "export", "hunt"):
        with pytest.raises(Refused, match=f"may not use: {right}"):
            of(1001, 50).demand(right)
    of(1000).demand("export")
    with pytest.raises(Refused):
        of(1000).demand("sql")


@pytest.mark.parametrize(
    ("query", "low", "high"),
    [
        ("", -7, None),
        ("time:>=2026-05-18", -2, 5),
        ("time:<2026-05-10", -17, -10),
        ("time:[2026-05-14 TO 2026-05-15]", -6, -4),
    ],
)
def test_time_is_bound(query: str, low: int, high: int | None) -> None:
    asked = of(1001, 50).limit(language.compile(query, ZoneInfo("UTC"), NOW), NOW)
    assert asked.time_from == micros(NOW) + low * DAY
    assert asked.time_to == (None if high is None else micros(NOW) + high * DAY)
    assert asked.sources == frozenset({"okta"})
    assert "source IN" in asked.sql


def test_a_longer_time_or_another_source() -> None:
    role = of(1001, 50)
    with pytest.raises(Refused, match="7 days at once"):
        role.limit(language.compile("time:[2026-05-01 TO 2026-05-15]", ZoneInfo("UTC"), NOW), NOW)
    other = role.limit(language.compile("source:squid", ZoneInfo("UTC"), NOW), NOW)
    assert other.sources == frozenset()


@pytest.mark.parametrize(
    ("toml", "why"),
    [
        ('[[access.roles]]\nname = "a"\n', "nobody has the role a"),
        ('[[access.roles]]\nname = "a"\nusers = ["x"]\n' * 2, "named twice"),
        ('[[access.roles]]\nname = ""\nusers = ["x"]\n', "name"),
        ('[access]\nrole = "x"\n', "role"),
    ],
)
def test_mistakes_in_the_settings_are_named(tmp_path: Path, toml: str, why: str) -> None:
    (tmp_path / "sekisho.toml").write_text(toml)
    with pytest.raises(Refused, match=why):
        load(tmp_path)
