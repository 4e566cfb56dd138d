"""Names that a search may use: every column, its OCSF path, and short names for groups of columns."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import pyarrow as pa

from sekisho.ocsf import BY_NAME, CLASSES, COLUMNS

#: How a value is compared. ``word``: equal, ignoring case. ``exact``: equal. ``path``: equal or its last
#: parts, ignoring case. ``text``: contained, ignoring case.
Kind = Literal["word", "exact", "path", "text", "address", "number", "flag", "time"]


class Target(NamedTuple):
    """One column that a field term looks at."""

    column: str
    kind: Kind


class Field(NamedTuple):
    """``names``: words that stand for numbers in the field's number columns (``success`` → 1)."""

    name: str
    targets: tuple[Target, ...]
    doc: str
    names: Mapping[str, int] = MappingProxyType({})


_EXACT = {"event_uid", "source", "receiver", "context_version"}
_TEXT = {"raw", "message", "unmapped"}

_SEVERITY = {"informational": 1, "info": 1, "low": 2, "medium": 3, "high": 4, "critical": 5, "fatal": 6}
_STATUS = {"success": 1, "failure": 2, "failed": 2, "fail": 2, "unknown": 0, "other": 99}
_CLASSES = {name: uid for uid, c in CLASSES.items() for name in (c.name, c.caption.lower())}


def _kind(column: str) -> Kind:
    kinds: dict[pa.DataType, Kind] = {pa.bool_(): "flag", pa.int32(): "number", pa.int64(): "number"}
    held = BY_NAME[column].type
    if pa.types.is_timestamp(held):
        return "time"
    if held in kinds:
        return kinds[held]
    if column in _EXACT:
        return "exact"
    if column in _TEXT or column.endswith("cmd_line"):
        return "text"
    if column.endswith("_ip"):
        return "address"
    return "path" if column.endswith("_path") else "word"


def _field(name: str, columns: str, doc: str, names: dict[str, int] | None = None) -> Field:
    return Field(name, tuple(Target(c, _kind(c)) for c in columns.split()), doc, names or {})


ALIASES: tuple[Field, ...] = (
    _field(
        "user",
        "user_name user_email_addr user_uid actor_user_name actor_user_email_addr actor_user_uid account"
        " person_uid",
        "who acted or was acted on: name, mail address, id, account or person",
    ),
    _field("person", "person_uid", "employee number, as the master data says"),
    _field("ip", "src_endpoint_ip dst_endpoint_ip device_ip", "any address; also CIDR"),
    _field("src", "src_endpoint_ip src_endpoint_hostname", "where it came from"),
    _field("dst", "dst_endpoint_ip dst_endpoint_hostname", "where it went"),
    _field("port", "dst_endpoint_port src_endpoint_port", "either port"),
    _field(
        "host",
        "device_hostname src_endpoint_hostname dst_endpoint_hostname device_asset device_uid",
        "any host, device id or asset tag",
    ),
    _field("device", "device_asset device_hostname device_uid src_endpoint_uid", "the device"),
    _field(
        "domain",
        "query_hostname http_request_url_hostname dst_endpoint_hostname tls_sni",
        "name looked up or visited",
    ),
    _field("url", "http_request_url_url_string", "URL"),
    _field("agent", "http_request_user_agent", "user agent"),
    _field("session", "session_uid actor_session_uid metadata_correlation_uid", "session"),
    _field("class", "class_uid", "OCSF class: number or name (authentication)", _CLASSES),
    _field("severity", "severity_id", "informational, low, medium, high, critical, fatal", _SEVERITY),
    _field("status", "status_id status", "success, failure, or the source's own word", _STATUS),
    _field("code", "metadata_event_code", "event type or number given by the vendor (4624)"),
    _field("country", "src_country src_endpoint_location_country", "country of origin (ISO code)"),
    _field("asn", "src_asn src_endpoint_autonomous_system_number", "AS number (64500 or AS64500)"),
    _field("net", "src_net_class src_net_name", "network class or name: vpn, hosting, own-egress"),
    _field("decoy", "decoy_uid", "decoy that was touched"),
    _field(
        "process",
        "process_name process_file_path actor_process_name actor_process_file_path",
        "program: name, path or end of the path",
    ),
    _field("cmd", "process_cmd_line actor_process_cmd_line", "part of a command line"),
    _field("file", "file_name file_path", "file: name, path or end of the path"),
    _field("hash", "process_file_hash_sha256 file_hash_sha256", "SHA-256"),
    _field("service", "service_name service_uid api_service_name", "service or application"),
    _field("resource", "resource_name resource_uid entity_name group_name", "what was accessed"),
    _field("operation", "api_operation activity_name metadata_event_code", "what was called"),
    _field("mfa", "is_mfa actor_session_is_mfa", "second factor: true or false"),
    _field("text", "raw message", "text anywhere in the record"),
)

FIELDS: dict[str, Field] = {
    **{
        column.path.lower(): _field(column.name, column.name, column.doc) for column in COLUMNS if column.path
    },
    **{column.name: _field(column.name, column.name, column.doc) for column in COLUMNS},
    **{alias.name: alias for alias in ALIASES},
}


def suggestions(name: str) -> list[str]:
    """Field names that resemble ``name``."""
    return difflib.get_close_matches(name.lower(), FIELDS, n=3, cutoff=0.6)
