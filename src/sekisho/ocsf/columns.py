"""Columns of the ``events`` table: OCSF attributes, then what Sekisho adds, as an Arrow schema."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, get_args, get_type_hints

import pyarrow as pa

from sekisho.ocsf.event import Event

TIME = pa.timestamp("us", tz="UTC")


class Column(NamedTuple):
    """One column: its name, Arrow type, the OCSF path (empty if Sekisho's own) and what it holds."""

    name: str
    type: pa.DataType
    path: str
    doc: str


_SMALL = {"class_uid", "activity_id", "severity_id", "status_id", "logon_type_id", "disposition_id"}


def _arrow_type(name: str, python_type: object) -> pa.DataType:
    kinds = set(get_args(python_type)) or {python_type}
    if datetime in kinds:
        return TIME
    if bool in kinds:
        return pa.bool_()
    if int in kinds:
        return pa.int32() if name in _SMALL else pa.int64()
    return pa.string()


def _mapped() -> tuple[Column, ...]:
    columns = []
    for name, hint in get_type_hints(Event, include_extras=True).items():
        python_type, path, doc = get_args(hint)
        columns.append(Column(name, _arrow_type(name, python_type), path, doc))
    return tuple(columns)


#: What a source's mapping may fill.
MAPPED: tuple[Column, ...] = _mapped()

#: Computed from the mapped columns, never by a mapping.
DERIVED: tuple[Column, ...] = (
    Column("category_uid", pa.int32(), "category_uid", "OCSF category"),
    Column("type_uid", pa.int64(), "type_uid", "class_uid × 100 + activity_id"),
)

#: Where the event is from and its evidence.
ORIGIN: tuple[Column, ...] = (
    Column("event_uid", pa.string(), "", "32 hex digits; the same record has the same id"),
    Column("source", pa.string(), "", "id of the source file that mapped it"),
    Column("journal_offset", pa.int64(), "", "place in the journal (frame × 2^20 + index)"),
    Column("ingested_at", TIME, "", "when the receiver took it (UTC)"),
    Column("receiver", pa.string(), "", "how it came: hec, bulk, otlp, ndjson, syslog-*, file"),
    Column("raw", pa.string(), "", "the record as received; bytes that are not UTF-8 as \\xNN"),
    Column("unmapped", pa.string(), "unmapped", "JSON of what the mapping left over"),
)

#: What enrichment adds (null = cannot be told with the tables at hand).
ENRICHED: tuple[Column, ...] = (
    Column("account", pa.string(), "", "the account it is about, folded for comparison"),
    Column("person_uid", pa.string(), "", "person who holds the account at that time"),
    Column("account_ref", pa.string(), "", "that account's name in the table accounts, folded"),
    Column("actor_account", pa.string(), "", "the account that acted, folded for comparison"),
    Column("actor_person_uid", pa.string(), "", "person who holds the acting account at that time"),
    Column("actor_account_ref", pa.string(), "", "the acting account's name in the table accounts, folded"),
    Column("device_asset", pa.string(), "", "asset tag of the device that logged or connected"),
    Column("src_country", pa.string(), "", "country of src_endpoint_ip by table (ISO code)"),
    Column("src_asn", pa.int64(), "", "AS number of src_endpoint_ip by table"),
    Column("src_as_org", pa.string(), "", "its holder"),
    Column("src_net_class", pa.string(), "", "own-egress, vpn, relay, hosting, tor, mobile, fixed, ..."),
    Column("src_net_name", pa.string(), "", "list or own network that decided the class"),
    Column("decoy_uid", pa.string(), "", "decoy whose name, key or cookie appears in the event (A9)"),
    Column("decoy_in", pa.string(), "", "column in which the decoy appears"),
    Column("context_version", pa.string(), "", "version of the tables used"),
)

COLUMNS: tuple[Column, ...] = MAPPED + DERIVED + ORIGIN + ENRICHED
BY_NAME: dict[str, Column] = {column.name: column for column in COLUMNS}


def _schema(columns: tuple[Column, ...]) -> pa.Schema:
    return pa.schema([pa.field(column.name, column.type) for column in columns])


#: Events as normalisation gives them (without the enrichment columns).
NORMALISED_SCHEMA: pa.Schema = _schema(MAPPED + DERIVED + ORIGIN)

#: Events as the lake stores them.
EVENT_SCHEMA: pa.Schema = _schema(COLUMNS)
EVENT_SCHEMA_VERSION = 2
