"""Whether a rule can judge at all: it fails closed and says what is missing (detection.md, 3.2 and 6)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, NamedTuple

from sekisho.contract import Context, Rule
from sekisho.ocsf import BY_NAME


class Verdict(NamedTuple):
    """``reason`` is empty if the rule works; else it names what is missing and the remedy."""

    state: Literal["working", "blind"]
    reason: str = ""


def judge(rule: Rule, context: Context, filled: Collection[str] | None = None) -> Verdict:
    """Can the rule judge with this master data and these event columns?

    ``filled`` holds the event columns that had at least one value lately; None = not known, not judged.
    """
    reasons = [
        f"cannot judge: table {name} is empty; remedy: sekisho {name} import FILE.csv"
        for name in rule.tables
        if context.tables[name].num_rows == 0
    ]
    if filled is not None:
        reasons += [
            f"can never match your events: no event fills {name} ({BY_NAME[name].doc}); remedy: connect a"
            " source that records it (sekisho sources list)"
            for name in rule.columns
            if name not in filled
        ]
    return Verdict("blind", " / ".join(reasons)) if reasons else Verdict("working")
