"""Why a request is turned away. Each protocol says it in its own words; the counters count it once."""

from __future__ import annotations

from collections.abc import Sequence


class Refusal(Exception):  # noqa: N818 - an answer to the sender, not a fault of the program
    """``reason`` is a short stable word for counting, ``why`` and ``remedy`` sentences for the sender.

    ``close``: the connection ends after the answer (something of the request was left unread, or the
    sender is not to be trusted). ``sources``: the valid source ids, where the sender named a wrong one.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        why: str,
        remedy: str = "",
        *,
        after: float | None = None,
        close: bool = False,
        sources: Sequence[str] = (),
    ) -> None:
        self.status = status
        self.reason = reason
        self.why = why
        self.remedy = remedy
        self.after = after
        self.close = close
        self.sources = tuple(sources)
        super().__init__(why)

    @property
    def text(self) -> str:
        """``why`` and ``remedy`` in one line."""
        return f"{self.why}; {self.remedy}" if self.remedy else self.why
