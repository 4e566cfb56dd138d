"""Cells that a spreadsheet would run as a formula, made harmless on the way out and restored on the
way in (OWASP, "CSV Injection")."""

from __future__ import annotations

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def _runs(text: str) -> bool:
    return text.lstrip("'").startswith(_STARTS)


def escape(text: str) -> str:
    """An apostrophe in front: spreadsheets then show the text and calculate nothing."""
    return f"'{text}" if _runs(text) else text


def unescape(text: str) -> str:
    """The text that ``escape`` was given."""
    return text[1:] if text.startswith("'") and _runs(text) else text
