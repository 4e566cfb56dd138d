"""Nouns of Sekisho. Frozen values; this package imports nothing else of ours."""

from sekisho.model.errors import ContentError, ContentProblem, Refused, Retry
from sekisho.model.finding import Evidence, Finding, Severity
from sekisho.model.moment import moment
from sekisho.model.problem import Problem
from sekisho.model.record import RECORDS_PER_FRAME, RETRY_OF, Frame, Offset, Records, Reject, Wrapping
from sekisho.model.text import Language, Text

__all__ = [
    "RECORDS_PER_FRAME",
    "RETRY_OF",
    "ContentError",
    "ContentProblem",
    "Evidence",
    "Finding",
    "Frame",
    "Language",
    "Offset",
    "Problem",
    "Records",
    "Refused",
    "Reject",
    "Retry",
    "Severity",
    "Text",
    "Wrapping",
    "moment",
]
