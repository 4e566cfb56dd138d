"""All rules of the content, Python and Sigma alike, ready for the detector."""

from __future__ import annotations

from sekisho.contract import Rule
from sekisho.contract.discovery import Content
from sekisho.detect.sigma import SigmaRule, load
from sekisho.model import ContentError, ContentProblem


def rules(content: Content) -> list[Rule]:
    """In order of their ids. Raises ``ContentError`` with every problem of every Sigma file at once."""
    problems: list[ContentProblem] = []
    found: list[Rule] = list(content.rules.values())
    for rule_id, path in content.sigma.items():
        loaded = load(path, rule_id, shown=str(path.relative_to(content.root)), own=True)
        if isinstance(loaded, SigmaRule):
            found.append(loaded)
        else:
            problems += loaded
    if problems:
        raise ContentError(problems)
    return sorted(found, key=lambda rule: rule.id)
