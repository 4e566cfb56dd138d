"""Which batches were journaled without their sender having been told so.

A sender that got no answer sends the batch again. Records with a time of their own fold by their content; a
line without any time could as well be a new happening. Only the receiver knows the difference: it marks the
batch that comes again (attribute ``retry_of``), and the mark stands in the journal, so that a replay gives
the same. A batch whose sender was answered is never taken for a retry: a line that is told again is kept.

If an answer is lost between the two machines, the repeated batch counts as new: such lines stand twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar

import msgspec

from sekisho.model import RETRY_OF, Records

#: A sender tries again within this time; ns.
WINDOW = 600 * 1_000_000_000
#: Batches that are remembered at most; the oldest are forgotten first.
_MOST = 100_000

#: keys of the batches of the request that is being handled
_of_request: ContextVar[list[int] | None] = ContextVar("deliveries", default=None)


class Deliveries:
    """The batches that are journaled (or about to be) and not answered. For one event loop."""

    def __init__(self) -> None:
        self._open: dict[int, int] = {}

    def recall(self, batches: Iterable[Records]) -> None:
        """What the journal's end holds: a process that was killed may have owed the answer to any of it."""
        for records in batches:
            self._note(_key(records), records)

    def begin(self) -> None:
        """A request begins in this task."""
        _of_request.set([])

    def mark(self, records: Records) -> Records:
        """The batch as it is to be journaled: marked if it was journaled before and never answered."""
        key = _key(records)
        keys = _of_request.get()
        if keys is not None:
            keys.append(key)
        first = self._open.get(key)
        if first is None or not 0 <= records.received_at - first <= WINDOW:
            self._note(key, records)
            return records
        return msgspec.structs.replace(records, attributes={**records.attributes, RETRY_OF: str(first)})

    def answered(self) -> None:
        """The sender of this task's request has its answer."""
        for key in _of_request.get() or ():
            self._open.pop(key, None)

    def _note(self, key: int, records: Records) -> None:
        self._open.pop(key, None)  # so that it stands last
        stated = records.attributes.get(RETRY_OF)
        self._open[key] = int(stated) if stated else records.received_at
        while len(self._open) > _MOST:
            del self._open[next(iter(self._open))]


def _key(records: Records) -> int:
    """Of what was sent. A hash of this process only, with a secret seed: nobody can make two alike."""
    return hash((records.source, records.receiver, records.identity, records.bodies))
