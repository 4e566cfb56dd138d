"""What rules could not judge: the lake counts it as events come, judging the past again makes it less.

The counters only grow. A pass over the whole past (``judge_again``) finds how much of it is still unjudged
with the master data of now, and leaves that with the counters that it began with in ``run/unjudged.json``.
Without this file everything that was ever counted is told.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from sekisho.detect import unjudged
from sekisho.lake import manifest, reader
from sekisho.settings import Settings

_FILE = "unjudged.json"

#: Events by rule and reason.
Unjudged = Counter[tuple[str, str]]


class _Pass(msgspec.Struct):
    """``before``: the counters when it began; ``still``: what it could not judge. (rule, reason, events)"""

    before: list[tuple[str, str, int]]
    still: list[tuple[str, str, int]]


def counted(settings: Settings) -> Unjudged:
    """Of all events that were ever stored, when they were stored."""
    if not (settings.lake_dir / manifest.FILE).exists():
        return Counter()
    return unjudged.of_counters(reader.snapshot(settings.lake_dir).counters)


def still_unjudged(settings: Settings) -> Unjudged:
    """What the last pass over the past left unjudged, and what was stored since it began."""
    total = counted(settings)
    try:
        last = msgspec.json.decode((settings.run_dir / _FILE).read_bytes(), type=_Pass)
    except (OSError, msgspec.MsgspecError):
        return total
    before = _counter(last.before)
    if any(total[of] < number for of, number in before.items()):
        return total  # another lake than the one it was about
    return (total - before) + _counter(last.still)


def remember(settings: Settings, before: Unjudged, still: Unjudged) -> None:
    """After a pass over the whole past that left nothing out."""
    fresh = settings.run_dir / f".{_FILE}.new"
    fresh.write_bytes(msgspec.json.encode(_Pass(_rows(before), _rows(still))))
    fresh.replace(settings.run_dir / _FILE)


def _counter(rows: list[tuple[str, str, int]]) -> Unjudged:
    return Counter({(rule, reason): number for rule, reason, number in rows})


def _rows(counts: Unjudged) -> list[tuple[str, str, int]]:
    return [(rule, reason, number) for (rule, reason), number in sorted(counts.items())]
