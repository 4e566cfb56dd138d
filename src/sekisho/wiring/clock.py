"""The clock of the platform. Everything else gets its time from here, so that a replay gives the same."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now_ns() -> int:
    """The clock of the platform, in nanoseconds since 1970 UTC."""
    return time.time_ns()


def now() -> datetime:
    return datetime.now(tz=UTC)
