"""What rules could not judge, as counters of the lake: kept in the transaction that stores the events.

Counters are by source and name. These are of no source (the empty one), and their name is
``unjudged:<rule>:<reason>``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

_SOURCE = ""
_KIND = "unjudged:"


def to_counters(unjudged: Mapping[tuple[str, str], int]) -> dict[str, Counter[str]]:
    """From events by (rule, reason); empty if there is nothing to count."""
    names = Counter({f"{_KIND}{rule}:{reason}": number for (rule, reason), number in unjudged.items()})
    return {_SOURCE: names} if names else {}


def of_counters(counters: Mapping[str, Mapping[str, int]]) -> Counter[tuple[str, str]]:
    """Events by (rule, reason), of all that was ever stored."""
    found: Counter[tuple[str, str]] = Counter()
    for name, number in counters.get(_SOURCE, {}).items():
        if name.startswith(_KIND):
            rule, _, reason = name.removeprefix(_KIND).partition(":")
            found[rule, reason] += number
    return found
