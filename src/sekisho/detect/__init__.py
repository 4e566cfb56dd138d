"""Events and master data -> findings. Pure: the same events give the same findings, however batched."""

from sekisho.detect import unjudged
from sekisho.detect.detector import Detector
from sekisho.detect.judge import Verdict, columns_filled, columns_needed, judge, why_silent
from sekisho.detect.rules import rules

__all__ = [
    "Detector",
    "Verdict",
    "columns_filled",
    "columns_needed",
    "judge",
    "rules",
    "unjudged",
    "why_silent",
]
