"""The content of the platform, found and checked."""

from __future__ import annotations

from sekisho.contract.discovery import Content, discover


def content() -> Content:
    """All content of the platform; raises ``ContentError`` with every problem at once."""
    return discover()
