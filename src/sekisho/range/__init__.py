"""The simulated organisation with ground truth. Never imports the detector, nor the reverse."""

from sekisho.range.emit import STREAMS, Emitted, Stream
from sekisho.range.ledger import Act, Ledger
from sekisho.range.organisation import DAYS, LAYERS, Range, Size, period, simulate

__all__ = [
    "DAYS",
    "LAYERS",
    "STREAMS",
    "Act",
    "Emitted",
    "Ledger",
    "Range",
    "Size",
    "Stream",
    "period",
    "simulate",
]
