"""What a detection found. Facts only; who reads it and in which zone is decided later."""

from __future__ import annotations

import enum
import hashlib
from datetime import datetime

import msgspec

from sekisho.model.text import Text


class Severity(enum.IntEnum):
    """OCSF ``severity_id`` values that Sekisho uses."""

    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5


class Evidence(msgspec.Struct, frozen=True, order=True):
    """One event behind a finding; ``facts`` are the columns that a reader needs (name, value)."""

    time: datetime
    event_uid: str
    source: str
    facts: tuple[tuple[str, str], ...] = ()


class Finding(msgspec.Struct, frozen=True):
    """Result of a rule for one subject. Two findings with one ``uid`` are the same alert.

    ``subject``, ``anchor``  facts of the world (account, grant, local day), never processing times
    ``what``                 what happened, filled with facts
    ``why``                  why it matters (the advisory's sentence, the technique)
    ``todo``                 what to do now, in order
    ``person``, ``zone``     person uid and IANA zone, empty where unknown
    ``evidence``             in (time, event_uid) order, not empty
    ``count``                matching events in this batch (``evidence`` may be cut)
    ``lead``                 event_uid of the evidence whose words these are: highest severity, then
                             earliest (time, event_uid); empty = the first one. With it an alert
                             reads the same however its events were cut into batches
    """

    rule: str
    subject: str
    anchor: str
    severity: Severity
    title: Text
    what: Text
    why: Text
    todo: tuple[Text, ...]
    advisory: tuple[str, ...]
    attack: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    count: int
    person: str = ""
    zone: str = ""
    author: str = ""
    lead: str = ""

    @property
    def uid(self) -> str:
        """Stable id: SHA-256 over rule, subject and anchor (rules-of-detection.md, I5), 32 hex digits."""
        digest = hashlib.sha256()
        for part in (self.rule, self.subject, self.anchor):
            digest.update(part.encode("utf-8", "surrogatepass"))
            digest.update(b"\x00")
        return digest.hexdigest()[:32]
