"""What a file is, by its first bytes. The name helps only where the content leaves a choice."""

from __future__ import annotations

import codecs
import csv
import re
from typing import Literal, NamedTuple

import msgspec

from sekisho.collect import evtx

Format = Literal[
    "evtx", "event-xml", "json", "ndjson", "csv", "syslog", "lines", "prose", "empty", "binary", "xml"
]

#: bytes looked at
HEAD = 1 << 18
_SAMPLE = 40
_BOMS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF8, ""))
_BINARY = (
    (b"\x7fELF", "an ELF program"),
    (b"MZ", "a Windows program"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF"),
    (b"\xd4\xc3\xb2\xa1", "a packet capture"),
    (b"\x0a\x0d\x0d\x0a", "a packet capture"),
    (b"\xfd7zXZ\x00", "an xz archive; unpack it first"),
    (b"BZh", "a bzip2 archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"Rar!\x1a\x07", "a rar archive; unpack it first"),
    (b"LfLe", "an old .evt event log; open it in Event Viewer and save it as .evtx"),
    (b"LPKSHHRH", "a systemd journal; export it with: journalctl -o json --file FILE"),
)
#: RFC 5424, RFC 3164, and the notation that rsyslog writes to files; with or without priority
_SYSLOG = re.compile(
    rb"(?:<\d{1,3}>(?:1 )?)?"
    rb"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ \S+"
    rb"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d) \S+ [^\s:\[]+(?:\[[^\]\s]*\])?:\s)"
    rb"|<\d{1,3}>\S"
    rb"|1 (?:\d{4}-\d\d-\d\dT\S+|-) \S+ \S+ \S+ \S+ (?:-|\[)"
)
#: What hardly any log lacks and prose does: a time of day, a date with one, seconds since 1970, an address,
#: name=value, a priority, seconds since the start in brackets. Where no line has any, it is prose.
_SIGN = re.compile(
    rb"\d:\d\d|\d{4}-\d\d-\d\d|\b\d{10,}\b|\b\d{1,3}(?:\.\d{1,3}){3}\b"
    rb"|(?:^|[\s,;(|])[\w.-]+=\S|^<\d{1,3}>|^\[ *\d+\.\d+\]",
    re.MULTILINE,
)
_HEADER_CELL = re.compile(r"[^\W\d][\w .:/()@#%$*-]{0,99}")
_DELIMITERS = ",\t;"


class Recognised(NamedTuple):
    """``encoding`` is set if the text must be brought to UTF-8; ``bom`` bytes are to be skipped."""

    format: Format
    encoding: str = ""
    bom: int = 0
    csv_delimiter: str = ""
    remark: str = ""


def recognise(head: bytes, name: str = "") -> Recognised:
    """Format of a file that begins with ``head`` (up to ``HEAD`` bytes; shorter means: all of it)."""
    if not head.strip(b"\x00 \t\r\n"):
        return Recognised("empty")
    if head.startswith(evtx.MAGIC):
        return Recognised("evtx")
    for magic, what in _BINARY:
        if head.startswith(magic):
            return Recognised("binary", remark=what)
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            text = head[len(bom) :].decode(encoding, "replace").encode() if encoding else head[len(bom) :]
            return _text(text, name)._replace(encoding=encoding, bom=len(bom))
    if head.count(b"\x00") * 10 > len(head):
        return Recognised("binary", remark="binary data of an unknown kind")
    return _text(head, name)


def _text(head: bytes, name: str) -> Recognised:
    start = head.lstrip()
    if start.startswith((b"<?xml", b"<Event", b"<!--")):
        found = re.search(rb"<Events?[\s>]", start) is not None
        return Recognised("event-xml" if found else "xml")
    if start.startswith(b"{") or re.match(rb"\[\s*[{\]]", start):
        return Recognised(_json(start))
    sample = [line for line in head.split(b"\n")[:_SAMPLE] if line.strip()]
    if 2 * sum(_SYSLOG.match(line) is not None for line in sample) > len(sample):
        return Recognised("syslog")
    delimiter = _csv_delimiter(head, name.lower().endswith((".csv", ".tsv")))
    if delimiter:
        return Recognised("csv", csv_delimiter=delimiter)
    return Recognised("lines" if _SIGN.search(head) else "prose")


def _json(start: bytes) -> Format:
    """One value per line if the first line is a whole value and another line follows."""
    line, line_end, more = start.partition(b"\n")
    if not line_end or not more.strip():
        return "json"
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return "json"
    return "ndjson"


def _csv_delimiter(head: bytes, named: bool) -> str:
    """The delimiter if the first row reads like a header and the second has as many cells."""
    text = [line for line in head.decode("utf-8", "replace").splitlines(keepends=True) if line.strip()]
    for delimiter in _DELIMITERS:
        try:
            rows = csv.reader(text[:_SAMPLE], delimiter=delimiter, strict=False)
            header, row = next(rows, []), next(rows, [])
        except csv.Error:
            continue
        cells = [cell.strip() for cell in header]
        if len(cells) < (2 if named else 3) or len(set(cells)) < len(cells):
            continue
        if all(map(_HEADER_CELL.fullmatch, cells)) and (len(row) == len(cells) or (named and not row)):
            return delimiter
    return ""
