"""Decoys (A9): whether a name, key or cookie of an event is one that nobody may ever use.

The published table holds only HMAC-SHA256 of the folded identifier; each distinct value of an event is
hashed with the installation's decoy key and compared.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache

import numpy as np
import pyarrow as pa

from sekisho.enrich.identity import REMEMBERED
from sekisho.enrich.timeline import NEVER, NO_STEPS, NOTHING, Coded, Ints, Span, Steps, micros, resolve, steps
from sekisho.model.folding import keyed_hash
from sekisho.model.spelling import looks_like, spellings

#: Who acted before whom it was done to: of a decoy that changes itself, the use counts.
COLUMNS = (
    "actor_user_credential_uid",
    "actor_session_uid",
    "session_uid",
    "actor_user_name",
    "actor_user_email_addr",
    "actor_user_uid",
    "user_name",
    "user_email_addr",
    "user_uid",
)


class Decoys:
    """Decoys by hashed identifier. A decoy stays one after its end: its use is never legitimate."""

    def __init__(self, decoys: pa.Table, key: bytes) -> None:
        self._key = key
        self.uids: list[str] = decoys.column("decoy_id").to_pylist()
        self._spans: dict[str, list[Span]] = defaultdict(list)
        rows = zip(
            decoys.column("identifier").to_pylist(),
            micros(decoys.column("valid_from"), 0).tolist(),
            strict=True,
        )
        for number, (identifier, start) in enumerate(rows):
            self._spans[(identifier or "").lower()].append(Span(start, NEVER, number))
        self._known = lru_cache(maxsize=REMEMBERED)(self._look)

    def find(self, events: pa.Table, times: Ints) -> tuple[Ints, Ints]:
        """Row of the table and place in ``COLUMNS`` for each event, ``NOTHING`` where no decoy occurs."""
        result = np.full(len(times), NOTHING, np.int64)
        places = np.full(len(times), NOTHING, np.int64)
        if not self.uids:
            return result, places
        for place, name in enumerate(COLUMNS):
            coded = Coded.of(events.column(name))
            found = resolve([self._known(value) for value in coded.values], coded.codes, times)
            first = (result == NOTHING) & (found != NOTHING)
            result = np.where(first, found, result)
            places = np.where(first, place, places)
        return result, places

    def _look(self, value: str) -> Steps:
        """The value in any spelling, without its Windows domain, without its mail domain, without both.

        Also what only looks like it: nobody is granted anything by a decoy, and whoever imitates one has
        seen it. The rule ``look-alike`` tells that the letters are others.
        """
        forms = spellings(value)
        forms += tuple(form.rpartition("\\")[2] for form in forms)
        forms += tuple(form.partition("@")[0] for form in forms)
        forms += tuple(look for form in forms if (look := looks_like(form)))
        for form in dict.fromkeys(forms):
            spans = self._spans.get(keyed_hash(self._key, form))
            if spans:
                return steps(spans, lasting=False)
        return NO_STEPS
