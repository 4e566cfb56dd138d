"""Runs of record numbers -> the holes between them. Pure.

A Windows log numbers its records without a gap (EventRecordID); RFC 5424, 7.3.1 asks a sender to count its
messages (``meta sequenceId``), from 1 at each start and after 2147483647.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sekisho.detect.standing.digest import Run

#: A log with shorter runs than this (records, on average) is a selection: a shipper leaves records out on
#: purpose.
_RUN = 20
#: A log with fewer records is not judged.
_FEW = 40


class Break(NamedTuple):
    """``after`` does not follow ``before``. ``restart``: its numbers begin anew."""

    before: Run
    after: Run
    restart: bool


def breaks(runs: Sequence[Run]) -> list[Break]:
    """In order of time. Runs that lie inside what was passed already fill or repeat it, and break nothing."""
    ordered = sorted(runs, key=lambda run: (run.low_time, run.low))
    found: list[Break] = []
    epoch: list[Run] = []
    for run in ordered:
        top = max(epoch, key=lambda held: held.high, default=None)
        if top is not None and run.low * 2 < top.high and run.low_time >= top.high_time:
            found += _within(epoch)
            found.append(Break(top, run, restart=True))
            epoch = []
        epoch.append(run)
    return found + _within(epoch)


def _within(epoch: Sequence[Run]) -> list[Break]:
    ordered = sorted(epoch, key=lambda run: run.low)
    found = []
    top: Run | None = None
    for run in ordered:
        if top is not None and run.low > top.high + 1:
            found.append(Break(top, run, restart=False))
        if top is None or run.high > top.high:
            top = run
    return found


def why_not(runs: Sequence[Run]) -> str:
    """Why a log cannot be judged by its numbers; empty if it can."""
    records = sum(run.n for run in runs)
    if records < _FEW:
        return "too few numbered records"
    if records < _RUN * len(runs):
        return "its numbers are broken everywhere: the shipper sends a selection, so a hole tells nothing"
    return ""
