"""Names that look the same are the same; names that differ to a system stay different."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.model.folding import fold, keyed_hash, plain


@pytest.mark.parametrize(
    "written",
    [
        "wataru.kai@example.jp",
        "  Wataru.KAI@Example.JP ",
        "wataru.kai@example.jp.",
        "wataru.kai@example.jp . ",
        "\uff37ataru.kai\uff20example.jp",  # full-width W and @
        "wataru\u200b.kai@exam\u00adple.jp",  # zero-width space, soft hyphen
        "\ufeffwataru.kai@example.jp\x00",
        "wataru\u2060.\u202ekai\u202c@example.jp",
        "wataru\t.kai@example.jp\u3000\r\n",
    ],
)
def test_one_account_however_it_is_written(written: str) -> None:
    assert fold(written) == "wataru.kai@example.jp"
    assert keyed_hash(b"k", written) == keyed_hash(b"k", "wataru.kai@example.jp")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("kai+x@example.jp", "kai@example.jp"),
        ("k.ai@example.jp", "kai@example.jp"),
        ("a b", "ab"),
        ("ka", "кa"),
    ],
)
def test_what_a_system_may_tell_apart_stays_apart(one: str, other: str) -> None:
    assert fold(one) != fold(other)


def test_case_folding_beyond_lower_case() -> None:
    assert fold("STRASSE") == fold("straße")
    assert fold("ΚΑΪΣ") == fold("καϊς")


@pytest.mark.parametrize("written", ["CORP\\seki", "corp.example\\ Seki. ", "CORP\uff3cseki", "SEKI"])
def test_plain_is_without_the_domain(written: str) -> None:
    assert plain(written) == "seki"


@pytest.mark.parametrize("written", ["", ".", "...", " . "])
def test_nothing_but_dots_is_no_error(written: str) -> None:
    assert fold(written) == written.strip()


@given(st.text())
def test_folding_twice_changes_nothing(written: str) -> None:
    assert fold(fold(written)) == fold(written)
    if written.isascii():
        assert fold(written.upper()) == fold(written)
