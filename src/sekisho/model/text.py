"""A text that a person reads, in both languages of the platform."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Language = Literal["ja", "en"]


class Text(msgspec.Struct, frozen=True, order=True):
    """Japanese and English of one text. Both are required and neither may be empty."""

    ja: str
    en: str

    def __post_init__(self) -> None:
        if not self.ja.strip() or not self.en.strip():
            raise ValueError("a Text needs both ja and en, and neither may be empty")

    def get(self, language: Language) -> str:
        return self.ja if language == "ja" else self.en

    def fill(self, facts: dict[str, Any]) -> Text:
        """Put facts into ``{name}`` places of both languages.

        Only plain names are replaced: no attribute access and no format specification, so a
        hostile value or template cannot reach into objects. An unknown name stays visible.
        """
        return Text(ja=_fill(self.ja, facts), en=_fill(self.en, facts))


def _fill(template: str, facts: dict[str, Any]) -> str:
    parts: list[str] = []
    rest = template
    while True:
        head, brace, tail = rest.partition("{")
        parts.append(head)
        if not brace:
            return "".join(parts)
        name, close, after = tail.partition("}")
        if close and name.isidentifier() and name in facts:
            parts.append(str(facts[name]))
            rest = after
        else:
            parts.append("{")
            rest = tail
