"""What is absent: a small digest of the stored events, and the standing rules over it."""

from sekisho.detect.standing.digest import Digest
from sekisho.detect.standing.judge import Judgement, judge_past
from sekisho.detect.standing.past import Seen, StoredPast
from sekisho.detect.standing.reading import Read, statements

__all__ = ["Digest", "Judgement", "Read", "Seen", "StoredPast", "judge_past", "statements"]
