"""One row of a CSV file; the header row is in the frame's attribute ``csv_header`` (RFC 4180).

The payload is a JSON object of column → text; bytes that are not UTF-8 become U+FFFD. ``csv_delimiter`` may
name another separator.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from sekisho.contract import Hints, Unmappable
from sekisho.normalise.wrapping.unwrapped import Unwrapped


def _row(text: str, delimiter: str) -> list[str]:
    """Cells of exactly one row. Raises ``Unmappable``."""
    try:
        rows = [
            row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row
        ]
    except csv.Error as error:
        raise Unmappable("not-csv", f"this row is not CSV: {error}") from error
    if len(rows) != 1:
        raise Unmappable("not-csv", f"one row was expected, {len(rows)} found")
    return rows[0]


def unwrapper(attributes: Mapping[str, str], received_at: datetime) -> Callable[[bytes], Unwrapped]:
    header = attributes.get("csv_header", "")
    delimiter = attributes.get("csv_delimiter", ",")
    hints = Hints(received_at)

    def unwrap(body: bytes) -> Unwrapped:
        if not header or len(delimiter) != 1:
            raise Unmappable(
                "no-header", "the frame has no attribute csv_header, so the columns have no names"
            )
        names, cells = _row(header, delimiter), _row(body.decode("utf-8-sig", "replace"), delimiter)
        if len(names) != len(cells):
            raise Unmappable("wrong-shape", f"{len(cells)} cells, but the header names {len(names)} columns")
        return Unwrapped(msgspec.json.encode(dict(zip(names, cells, strict=True))), hints, None, "csv")

    return unwrap
