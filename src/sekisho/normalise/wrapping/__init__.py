"""What is wrapped around a record: one module per wrapping, each ``body → Unwrapped``.

Every wrapping gives the source's own record (payload), what the wrapping says about it (``Hints``),
a label if it names one, and what is left of the wrapping, which becomes part of ``unmapped``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from typing import NamedTuple

from sekisho.contract import Hints
from sekisho.model import Wrapping
from sekisho.normalise.wrapping import csv, hec, otlp, syslog
from sekisho.normalise.wrapping.unwrapped import Unwrapped


class Circumstances(NamedTuple):
    """What is the same for all bodies of a frame. ``zone`` stands where a header has a time without one."""

    received_at: datetime
    zone: tzinfo
    attributes: Mapping[str, str]


def unwrapper(wrapping: Wrapping, circumstances: Circumstances) -> Callable[[bytes], Unwrapped]:
    """The function that opens the bodies of one frame; it raises ``Unmappable``."""
    received_at, zone, attributes = circumstances
    if wrapping == "hec":
        return lambda body: syslog.inner(hec.unwrap(body, received_at), received_at, zone)
    if wrapping == "otlp":
        return lambda body: syslog.inner(otlp.unwrap(body, received_at), received_at, zone)
    if wrapping == "syslog":
        return lambda body: syslog.unwrap(body, received_at, zone)
    if wrapping == "csv":
        return csv.unwrapper(attributes, received_at)
    hints = stated(attributes, received_at)
    return lambda body: syslog.inner(Unwrapped(body, hints), received_at, zone)


def stated(attributes: Mapping[str, str], received_at: datetime) -> Hints:
    """Hints for bodies in no wrapping: Splunk HEC's raw endpoint states time and host in the query."""
    return Hints(received_at, hec.seconds(attributes.get("time", "")), attributes.get("host"))


__all__ = ["Circumstances", "Unwrapped", "stated", "unwrapper"]
