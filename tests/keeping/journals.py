"""Real journals for these tests: written by the real writer, with a clock of the test's own."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sekisho.journal import JournalWriter
from sekisho.model import Records

DAY = 86_400_000_000_000
START = datetime(2026, 5, 1, tzinfo=UTC)
START_NS = int(START.timestamp()) * 1_000_000_000


def records(number: int, at: int, source: str = "okta", size: int = 400) -> Records:
    """One batch of bytes that do not shrink; ``at``: ns since 1970 UTC."""
    dice = random.Random(number)
    bodies = tuple(dice.randbytes(size) for _ in range(3))
    return Records(source, "hec", "none", "192.0.2.1:1", "shipper", at, bodies)


def write(
    folder: Path,
    batches: Iterable[tuple[int, str]],
    *,
    segment_bytes: int = 4096,
    size: int = 400,
) -> int:
    """Frames received at ``(ns, source)``; gives the number that comes next. Sealed by a further segment."""
    writer = JournalWriter(folder, segment_bytes=segment_bytes)
    try:
        for at, source in batches:
            writer.append([records(writer.next_frame, at, source, size)])
        return writer.next_frame
    finally:
        writer.close()


def days(count: int, sources: Sequence[str] = ("okta",), start: int = START_NS) -> list[tuple[int, str]]:
    """Four batches a day."""
    return [
        (start + day * DAY + quarter * DAY // 4, sources[(day * 4 + quarter) % len(sources)])
        for day in range(count)
        for quarter in range(4)
    ]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.seg"))}
