"""Tables as CSV (UTF-8 with mark, as spreadsheets expect) or xlsx. No cell can run as a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Literal

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell

from sekisho.contract import Table
from sekisho.tabular.safe import escape

Format = Literal["csv", "xlsx"]


def write(header: Sequence[str], rows: Iterable[Sequence[str]], kind: Format, title: str = "") -> bytes:
    """The file's bytes. ``title`` names the sheet of a workbook."""
    return _csv(header, rows) if kind == "csv" else _xlsx(header, rows, title)


def template(table: Table, kind: Format) -> bytes:
    """The header and one example row; what the row says is fictional."""
    names = [field.name for field in table.fields]
    return write(names, [[field.example for field in table.fields]], kind, table.name)


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([escape(cell) for cell in row] for row in rows)
    return out.getvalue().encode("utf-8-sig")


def _xlsx(header: Sequence[str], rows: Iterable[Sequence[str]], title: str) -> bytes:
    book = Workbook(write_only=True)
    page = book.create_sheet(title or "Sheet")
    page.freeze_panes = "A2"
    page.append(list(header))
    for row in rows:
        cells = []
        for text in row:
            cell = WriteOnlyCell(page, value=escape(text))
            cell.data_type = "s"
            cell.number_format = "@"
            cells.append(cell)
        page.append(cells)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()
