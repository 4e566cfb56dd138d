"""The journal: received batches in append-only segments, checksummed, fsynced, then acknowledged."""

from sekisho.journal.commit import GroupCommit
from sekisho.journal.reader import Damage, JournalReader, Taken
from sekisho.journal.rejects import Outcome, RejectRow, Rejects
from sekisho.journal.writer import JournalWriter

__all__ = [
    "Damage",
    "GroupCommit",
    "JournalReader",
    "JournalWriter",
    "Outcome",
    "RejectRow",
    "Rejects",
    "Taken",
]
