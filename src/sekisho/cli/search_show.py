"""Events as a person reads them. Log text is untrusted: nothing in it may steer the terminal."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from sekisho.cli.main import COMMANDS
from sekisho.model import Offset
from sekisho.ocsf import CLASSES, EVENT_SCHEMA
from sekisho.tabular.safe import escape

Row = dict[str, Any]

#: Control characters (C0, DEL, C1) and the marks that reorder or hide text.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")

#: What the table needs; nothing else is read.
TABLE_COLUMNS = tuple(
    """
    time source class_uid activity_id activity_name status status_id status_detail message
    user_name user_email_addr user_uid actor_user_name actor_user_email_addr actor_user_uid
    person_uid account src_endpoint_ip src_country src_net_class src_endpoint_hostname
    device_hostname device_asset service_name resource_name query_hostname
    http_request_url_url_string dst_endpoint_ip dst_endpoint_hostname process_cmd_line
    process_name file_path api_operation metadata_event_code decoy_uid event_uid
    """.split()  # noqa: SIM905 - a paragraph of words reads better
)

_OUTCOMES = {1: "success", 2: "failure"}


def clean(text: object) -> str:
    """Text with control and reordering characters made visible."""
    return _UNSAFE.sub(
        lambda m: f"\\x{ord(m[0]):02x}" if ord(m[0]) < 256 else f"\\u{ord(m[0]):04x}", str(text)
    )


def json_line(row: Row) -> str:
    """One event as JSON without its nulls; times in UTC. Characters unsafe for a terminal are escaped."""
    held = {name: _plain(value) for name, value in row.items() if value is not None}
    return _UNSAFE.sub(lambda m: f"\\u{ord(m[0]):04x}", json.dumps(held, ensure_ascii=False))


def _plain(value: object) -> object:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def local(time: datetime, zone: ZoneInfo) -> str:
    shown = time.astimezone(zone)
    return f"{shown:%Y-%m-%d %H:%M:%S} {shown.tzname()}"


def _first(row: Row, names: str) -> str:
    return next((clean(row[name]) for name in names.split() if row.get(name) not in (None, "")), "")


def _who(row: Row) -> str:
    name = _first(
        row,
        "user_email_addr user_name user_uid actor_user_email_addr actor_user_name actor_user_uid account",
    )
    person = row.get("person_uid")
    return f"{name} ({clean(person)})" if person and person not in name else name


def _from(row: Row) -> str:
    parts = [_first(row, "src_endpoint_ip src_endpoint_hostname device_asset device_hostname")]
    parts += [clean(row[name]) for name in ("src_country", "src_net_class") if row.get(name)]
    return " ".join(part for part in parts if part)


def _what(row: Row) -> str:
    known = CLASSES.get(row.get("class_uid") or 0)
    activity = row.get("activity_name") or (known and known.activities.get(row.get("activity_id") or 0)) or ""
    code = _first(row, "api_operation metadata_event_code")
    thing = _first(
        row,
        "decoy_uid service_name resource_name query_hostname http_request_url_url_string process_cmd_line"
        " process_name file_path dst_endpoint_hostname dst_endpoint_ip message",
    )
    head = clean(activity) if activity not in {"Unknown", "Other", ""} else (known.caption if known else "")
    return " · ".join(part for part in (head, code, thing[:120]) if part)


def _outcome(row: Row) -> Text:
    said = _OUTCOMES.get(row.get("status_id") or 0) or _first(row, "status")
    detail = _first(row, "status_detail")
    style = {"success": "green", "failure": "red"}.get(said, "")
    return Text(f"{said}: {detail[:60]}" if said and detail else said or detail[:60], style=style)


def table(rows: list[Row], zone: ZoneInfo, columns: list[str]) -> Table:
    """The readable table; with ``columns`` exactly those."""
    shown = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for title in columns or ["time", "source", "user", "from", "what", "outcome"]:
        shown.add_column(title, no_wrap=title in {"time", "source"}, overflow="fold")
    for row in rows:
        if columns:
            shown.add_row(*(Text(_cell(row.get(name), zone)) for name in columns))
            continue
        texts = (local(row["time"], zone), clean(row["source"]), _who(row), _from(row), _what(row))
        shown.add_row(*(Text(text) for text in texts), _outcome(row))
    return shown


def line(row: Row, zone: ZoneInfo) -> str:
    """One event on one line, as the table shows it."""
    parts = (local(row["time"], zone), clean(row["source"]), _who(row), _from(row), _what(row))
    return "  ".join(part for part in (*parts, _outcome(row).plain) if part)


def _cell(value: object, zone: ZoneInfo) -> str:
    if value is None:
        return ""
    return local(value, zone) if isinstance(value, datetime) else clean(value)


def full(row: Row, zone: ZoneInfo) -> Group:
    """One event whole: every column that holds something, then what was not mapped beside the record."""
    held = Table(box=None, pad_edge=False, show_header=False)
    held.add_column(style="bold", no_wrap=True)
    held.add_column(overflow="fold")
    for name in EVENT_SCHEMA.names:
        if row.get(name) is not None and name not in {"raw", "unmapped"}:
            held.add_row(name, Text(_cell(row[name], zone)))
    beside = Table(expand=True)
    for title in ("unmapped (what the mapping left over)", "raw (the record as received)"):
        beside.add_column(title, ratio=1, overflow="fold")
    beside.add_row(Text(_pretty(row.get("unmapped"))), Text(_pretty(row.get("raw"))))
    return Group(held, beside, Text(_origin(row), style="dim"))


def _origin(row: Row) -> str:
    """Where its proof comes from: the place of the record in the journal."""
    packed = row.get("journal_offset")
    if packed is None:
        return ""
    place = Offset.unpack(packed)
    proof = f"; prove it: sekisho prove {row.get('event_uid')}" if "prove" in COMMANDS else ""
    came = f"(received by {row.get('receiver')})"
    return f"evidence: journal frame {place.frame}, record {place.index} {came}{proof}"


def _pretty(text: str | None) -> str:
    """JSON with line breaks where it is JSON; control characters made visible either way."""
    if not text:
        return "-"
    try:
        lines = json.dumps(json.loads(text), ensure_ascii=False, indent=2).splitlines()
    except (ValueError, RecursionError):
        lines = text.splitlines()
    return "\n".join(clean(line) for line in lines)


def to_screen() -> Console:
    """The screen; wide enough for a table when the output goes elsewhere."""
    console = Console(highlight=False, soft_wrap=False)
    return console if console.is_terminal else Console(highlight=False, width=200)


def csv_cell(value: object) -> object:
    """Log text is a stranger's: it must neither run as a formula nor drive a terminal."""
    return escape(clean(value)) if isinstance(value, str) else value
