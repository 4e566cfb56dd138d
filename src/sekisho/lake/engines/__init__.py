"""Engines that run SQL (DuckDB's dialect) over files of the lake, behind one protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa


class FileUnreadable(Exception):  # noqa: N818 - a fact about a file that the caller handles
    """One of the files cannot be read; the message says which part of it."""


#: Stretches of rows in a file: first, behind the last; counted from 0.
Rows = Sequence[tuple[int, int]]


class Engine(Protocol):
    """Runs a SELECT in which ``events`` stands for the rows of the given files."""

    def select(
        self, files: Sequence[Path], sql: str, params: Sequence[object], rows: Mapping[Path, Rows] = {}
    ) -> pa.Table:
        """The whole result. ``events`` has every column of ``EVENT_SCHEMA``; what a file lacks is null.

        It also has ``filename`` and ``file_row_number`` (from 0), where a row lies (in Spark over the
        Iceberg table: ``_file``, ``_pos``).

        ``params``  bound to the ``?`` of ``sql`` in order
        ``rows``    of these files only these rows are looked at
        Raises ``FileUnreadable`` if a file is damaged or gone, ``Refused`` if the query needs more
        than the engine's limits.
        """
        ...

    def counts(self, files: Sequence[Path], sql: str, params: Sequence[object]) -> pa.Table:
        """The same over counts by hour (``cold.cube``): ``events`` has their columns and ``n``."""
        ...

    def close(self) -> None: ...
