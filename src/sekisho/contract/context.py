"""Master data as enrichment and rules see it: a versioned, read-only snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from sekisho.contract.tables import TABLES


@dataclass(frozen=True)
class Context:
    """``tables`` holds every table of ``TABLES`` (empty if nothing was imported). ``version`` is the
    SHA-256 of the content, 16 hex digits; ``empty`` before the first import."""

    version: str = "empty"
    tables: Mapping[str, pa.Table] = field(
        default_factory=lambda: {name: table.schema().empty_table() for name, table in TABLES.items()}
    )
