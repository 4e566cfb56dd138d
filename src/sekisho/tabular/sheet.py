"""CSV or xlsx bytes into rows of text, numbered as the person's program numbers them."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any, NamedTuple

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from sekisho.model import Problem, Text
from sekisho.tabular.safe import unescape

MAX_BYTES = 32 * 1024 * 1024
MAX_UNPACKED = 128 * 1024 * 1024
MAX_RATIO = 200
MAX_ROWS = 200_000
MAX_COLUMNS = 200
MAX_CELLS = 2_000_000
#: Empty rows one after the other: a row may state any number, and all before it count.
MAX_GAP = 10_000
_ENCODINGS = ("utf-8-sig", "cp932")


class SheetRow(NamedTuple):
    """``number`` counts as spreadsheets show it: the header is row 1, empty rows count."""

    number: int
    cells: tuple[str, ...]


class Sheet(NamedTuple):
    header: tuple[str, ...]
    rows: tuple[SheetRow, ...]


_Read = tuple[Sheet | None, list[Problem]]


def read(content: bytes, name: str, sheet: str = "") -> _Read:
    """The table in a file. xlsx is known by its content, all else is CSV (UTF-8 or cp932, separated by
    comma, tab or semicolon). Of a workbook the sheet named ``sheet`` counts, else the first.

    Formulas are refused: what they showed to the person cannot be known from the file for sure.
    """
    if len(content) > MAX_BYTES:
        return None, [
            _file(
                name,
                f"{len(content):,} bytes",
                Text(ja=f"{MAX_BYTES:,} バイト以下のファイル", en=f"a file of at most {MAX_BYTES:,} bytes"),
            )
        ]
    rows, problems = _xlsx(content, name, sheet) if content[:4] == b"PK\x03\x04" else _csv(content, name)
    filled = [row for row in rows if any(cell.strip() for cell in row.cells)]
    if not filled:
        if not problems:
            problems.append(
                _file(name, "", Text(ja="見出し行とデータ行", en="a header row and rows of data"))
            )
        return None, problems
    return Sheet(tuple(cell.strip() for cell in filled[0].cells), tuple(filled[1:])), problems


def _file(name: str, got: str, expected: Text, example: str = "") -> Problem:
    return Problem(
        row=None, column="", got=f"{name}: {got}" if got else name, expected=expected, example=example
    )


# -- CSV -------------------------------------------------------------------------------------------


def _csv(content: bytes, name: str) -> tuple[list[SheetRow], list[Problem]]:
    text = _decode(content)
    if text is None or "\x00" in text:
        expected = Text(
            ja="CSV（UTF-8 または cp932）か xlsx", en="CSV in UTF-8 or cp932, or an xlsx workbook"
        )
        return [], [_file(name, "neither", expected)]
    rows: list[SheetRow] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        for number, cells in enumerate(reader, 1):
            if number > MAX_ROWS:
                return rows, [_too_long(name)]
            rows.append(SheetRow(number, tuple(unescape(cell) for cell in cells)))
    except csv.Error as error:
        expected = Text(
            ja="引用符の閉じた CSV の行", en="a CSV row whose quotation marks are closed and well placed"
        )
        return rows, [Problem(len(rows) + 1, "", str(error), expected, '"関, 守",JP')]
    return rows, []


def _decode(content: bytes) -> str | None:
    for encoding in _ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _delimiter(text: str) -> str:
    head = text.lstrip().partition("\n")[0]
    return max(",", "\t", ";", key=head.count) if head else ","


def _too_long(name: str) -> Problem:
    return _file(name, f"> {MAX_ROWS:,}", Text(ja=f"{MAX_ROWS:,} 行以下", en=f"at most {MAX_ROWS:,} rows"))


# -- xlsx ------------------------------------------------------------------------------------------


def _xlsx(content: bytes, name: str, sheet: str) -> tuple[list[SheetRow], list[Problem]]:
    expected = Text(ja="開くことのできる xlsx ファイル", en="an xlsx workbook that can be opened")
    try:
        if (why := _bomb(content)) is not None:
            return [], [_file(name, why, Text(ja="通常の大きさの xlsx", en="an xlsx of ordinary size"))]
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=False, keep_links=False)
        try:
            page = book[sheet] if sheet in book.sheetnames else book.worksheets[0]
            return _page(page, name)
        finally:
            book.close()
    except (
        zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, IndexError, TypeError,
        AttributeError, SyntaxError, EOFError, NotImplementedError, OverflowError,
    ) as error:  # fmt: skip
        # openpyxl has no error of its own for a broken part: it fails with whatever broke inside
        return [], [_file(name, type(error).__name__, expected)]


def _bomb(content: bytes) -> str | None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
    size = sum(member.file_size for member in members)
    if size > MAX_UNPACKED or len(members) > 2000:
        return f"{size:,} bytes unpacked in {len(members)} parts"
    if any(m.file_size > MAX_RATIO * max(m.compress_size, 4096) for m in members):
        return f"packed more than {MAX_RATIO} times"
    return None


def _page(page: Any, name: str) -> tuple[list[SheetRow], list[Problem]]:
    rows: list[SheetRow] = []
    problems: list[Problem] = []
    header: tuple[str, ...] = ()
    page.reset_dimensions()
    read = empty = 0
    for number, cells in _numbered(page):
        read += len(cells)
        empty = 0 if cells else empty + 1
        if number > MAX_ROWS or read > MAX_CELLS or empty > MAX_GAP:
            return rows, [*problems, _too_much(name, number, read, empty)]
        texts = []
        for index, cell in enumerate(cells):
            text, expected = _text(cell)
            if expected is not None:
                column = header[index] if index < len(header) else str(index + 1)
                problems.append(Problem(number, column, text[:80], expected, ""))
            texts.append(text)
        row = SheetRow(number, tuple(texts))
        header = header or (row.cells if any(row.cells) else ())
        rows.append(row)
    return rows, problems


def _too_much(name: str, number: int, read: int, empty: int) -> Problem:
    if number > MAX_ROWS:
        return _too_long(name)
    if read > MAX_CELLS:
        expected = Text(ja=f"{MAX_CELLS:,} 個以下のセル", en=f"at most {MAX_CELLS:,} cells")
        return _file(name, f"> {MAX_CELLS:,}", expected)
    expected = Text(
        ja=f"連続 {MAX_GAP:,} 行以下の空行（表の下の空行を削除してください）",
        en=f"at most {MAX_GAP:,} empty rows one after the other (delete those below the table)",
    )
    return _file(name, f"{empty:,} empty rows before row {number:,}", expected)


def _numbered(page: Any) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Rows without the empty cells at their ends. Rows that the file leaves out are all the same object."""
    empty: tuple[Any, ...] | None = None
    for number, cells in enumerate(page.iter_rows(max_col=MAX_COLUMNS), 1):
        if cells is empty:
            yield number, ()
            continue
        last = next((index for index in range(len(cells), 0, -1) if cells[index - 1].value is not None), 0)
        empty = empty if last else cells
        yield number, cells[:last]


def _text(cell: Any) -> tuple[str, Text | None]:
    value = cell.value
    if value is None:
        return "", None
    if cell.data_type == "f" or not isinstance(value, str | bool | int | float | date | time):
        shown = value if isinstance(value, str) else "="
        return shown, Text(ja="数式ではなく値", en="a value, not a formula")
    if cell.data_type == "e":
        return str(value), Text(ja="エラーではなく値", en="a value, not an error")
    return _plain(value, cell.number_format or ""), None


def _plain(value: str | bool | int | float | date | time, number_format: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime):
        only_day = value.time() == time() and "h" not in number_format.lower()
        return value.date().isoformat() if only_day else value.isoformat()
    return value.isoformat() if isinstance(value, date | time) else unescape(str(value))
