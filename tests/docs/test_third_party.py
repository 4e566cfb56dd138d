"""THIRD_PARTY.md names every package of the lock file with a licence."""

from __future__ import annotations

from tests.docs import third_party


def test_the_page_is_current() -> None:
    assert third_party.PAGE.read_text(encoding="utf-8") == third_party.page(), (
        "THIRD_PARTY.md is stale: run `python -m tests.docs.third_party`"
    )


def test_every_package_says_its_licence() -> None:
    assert third_party.locked(), "requirements/run.txt could not be read"
    assert [name for name in third_party.locked() if not third_party.licence(name)] == []
