"""Events and master data -> findings. Pure: the same events give the same findings, however batched."""

from sekisho.detect.detector import Detector
from sekisho.detect.judge import Verdict, judge
from sekisho.detect.rules import rules

__all__ = ["Detector", "Verdict", "judge", "rules"]
