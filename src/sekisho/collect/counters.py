"""What was received, refused and dropped, counted by reason. Plain numbers, read by status and metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Counters:
    """One per process; touched only by the event loop's thread.

    ``records``, ``bytes``  by (source label, receiver)
    ``refused``             requests or messages turned away before the journal, by (receiver, reason)
    ``dropped``             records lost with the reason known (e.g. UDP socket buffer), by (receiver, reason)
    ``last_seen``           receipt of the newest record by source label, ns since 1970 UTC
    """

    records: Counter[tuple[str, str]] = field(default_factory=Counter)
    bytes: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    last_seen: dict[str, int] = field(default_factory=dict)

    def took(self, source: str, receiver: str, records: int, size: int, at: int) -> None:
        self.records[source, receiver] += records
        self.bytes[source, receiver] += size
        self.last_seen[source] = at
