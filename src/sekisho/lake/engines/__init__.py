"""Engines that run SQL (DuckDB's dialect) over files of the lake, behind one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa


class FileUnreadable(Exception):  # noqa: N818 - a fact about a file that the caller handles
    """One of the files cannot be read; the message says which part of it."""


class Engine(Protocol):
    """Runs a SELECT in which ``events`` stands for the rows of the given files."""

    def select(self, files: Sequence[Path], sql: str, params: Sequence[object]) -> pa.Table:
        """The whole result. ``events`` has every column of ``EVENT_SCHEMA``; what a file lacks is null.

        ``params`` are bound to the ``?`` of ``sql`` in order.
        Raises ``FileUnreadable`` if a file is damaged or gone, ``Refused`` if the query needs more
        than the engine's limits.
        """
        ...

    def close(self) -> None: ...
