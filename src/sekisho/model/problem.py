"""What is wrong with input that a person gave (a file, a form, a command line)."""

from __future__ import annotations

import msgspec

from sekisho.model.text import Text


class Problem(msgspec.Struct, frozen=True):
    """One problem of a person's input. ``row`` counts as the person's program shows it (header = 1)."""

    row: int | None
    column: str
    got: str
    expected: Text
    example: str = ""
