"""Which row groups of a file can hold what is asked; None where only reading it can tell."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from sekisho.lake.cold import index
from sekisho.lake.manifest import Stored

log = logging.getLogger(__name__)

#: Looking up each of more values than this costs more than reading.
_MANY = 256

Rows = list[tuple[int, int]]


def perhaps(file: Stored, path: Path, values: Collection[str]) -> set[int] | None:
    """Row groups of ``file`` that can hold one of these values in a needle column; None = any."""
    if file.tier != "cold" or len(values) > _MANY:
        return None
    try:
        return index.groups(path, [sorted(values)], [])
    except index.Broken as broken:
        log.warning("%s; the file is looked through whole", broken)
        return None


def rows(
    file: Stored, path: Path, needles: Sequence[Sequence[str]], tokens: Sequence[Sequence[str]]
) -> Rows | None:
    """Stretches of rows (first, behind the last) that can match; None = the whole file.

    ``needles``, ``tokens``  see ``query.Condition``
    """
    if file.tier != "cold" or not (needles or tokens):
        return None
    try:
        groups = index.groups(path, needles, tokens)
        return None if groups is None else index.spans(path, groups)
    except index.Broken as broken:
        log.warning("%s; the file is looked through whole", broken)
        return None
