"""Sysmon (Windows and Linux): event ids 1 to 29 and 255, schema 4.x."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, cast

from sekisho.contract import Hints, Recognise, Source, WindowsEvent, WindowsEvents
from sekisho.model import Text
from sekisho.ocsf import Event

Pairs = tuple[tuple[str, str], ...]


class Kind(NamedTuple):
    """``texts``, ``numbers``: (column, value of the event). ``finish`` settles what depends on values."""

    class_uid: int
    activity_id: int
    texts: Pairs = ()
    numbers: Pairs = ()
    name: str | None = None
    disposition_id: int | None = None
    finish: Callable[[Event, dict[str, str]], None] | None = None


PROCESS: Pairs = (
    ("process_file_path", "Image"),
    ("process_cmd_line", "CommandLine"),
    ("process_parent_process_file_path", "ParentImage"),
    ("process_parent_process_cmd_line", "ParentCommandLine"),
    ("actor_session_uid", "LogonId"),
)
PROCESS_IDS: Pairs = (("process_pid", "ProcessId"), ("process_parent_process_pid", "ParentProcessId"))
ACTOR: Pairs = (("actor_process_file_path", "Image"),)
ACTOR_ID: Pairs = (("actor_process_pid", "ProcessId"),)
TARGET_FILE: Pairs = (*ACTOR, ("file_path", "TargetFilename"))
BETWEEN: Pairs = (("actor_process_file_path", "SourceImage"), ("process_file_path", "TargetImage"))
BETWEEN_IDS: Pairs = (("actor_process_pid", "SourceProcessId"), ("process_pid", "TargetProcessId"))
SHA256 = re.compile(r"SHA256=([0-9A-Fa-f]{64})")
#: Windows DNS status of a query → RCODE name; others stay as the number
RCODES = {
    "0": "NOERROR",
    "9002": "SERVFAIL",
    "9003": "NXDOMAIN",
    "9004": "NOTIMP",
    "9005": "REFUSED",
    "1460": "TIMEOUT",
}


def base_name(path: str | None) -> str | None:
    return path.replace("/", "\\").rsplit("\\", 1)[-1] if path else None


def registry(event: Event, rest: dict[str, str]) -> None:
    """``TargetObject`` is key and value in one path; for value events the last part is the value's name."""
    done = rest.pop("EventType", "")
    target = rest.pop("TargetObject", "")
    event["status"] = done or None
    if done in ("SetValue", "CreateValue", "DeleteValue", "RenameValue"):
        event["class_uid"] = 201002
        event["activity_id"] = {"SetValue": 2, "CreateValue": 2, "DeleteValue": 4, "RenameValue": 3}[done]
        key, _, value = target.rpartition("\\")
        event["reg_key_path"], event["reg_value_name"] = key or target, value or None
    else:
        event["class_uid"] = 201001
        event["activity_id"] = {"CreateKey": 1, "DeleteKey": 4, "RenameKey": 5}.get(done, 99)
        event["reg_key_path"] = target or None


def connection(event: Event, rest: dict[str, str]) -> None:
    initiated = rest.pop("Initiated", None)
    event["connection_info_direction_id"] = {"true": 2, "false": 1}.get(initiated or "")


def state(event: Event, rest: dict[str, str]) -> None:
    """The service that writes the log starts or stops: logging starts or stops."""
    event["status"] = rest.pop("State", None)
    event["activity_id"] = {"Started": 6, "Stopped": 7}.get(event["status"] or "", 0)


def query(event: Event, rest: dict[str, str]) -> None:
    status = rest.pop("QueryStatus", None)
    event["rcode"] = RCODES.get(status or "", status)
    event["status_id"] = 1 if status == "0" else 2
    results = rest.pop("QueryResults", "")
    event["answers_rdata"] = " ".join(part.strip() for part in results.split(";") if part.strip(" -")) or None


def pipe(event: Event, rest: dict[str, str]) -> None:
    event["resource_type"] = "named pipe"


WMI: Pairs = (("resource_name", "Name"), ("process_cmd_line", "Destination"))
KINDS = {
    1: Kind(1007, 1, PROCESS, PROCESS_IDS),
    2: Kind(1001, 6, TARGET_FILE, ACTOR_ID),
    3: Kind(
        4001, 1,
        (*ACTOR, ("connection_info_protocol_name", "Protocol"), ("src_endpoint_ip", "SourceIp"),
         ("src_endpoint_hostname", "SourceHostname"), ("dst_endpoint_ip", "DestinationIp"),
         ("dst_endpoint_hostname", "DestinationHostname"), ("dst_endpoint_svc_name", "DestinationPortName")),
        (*ACTOR_ID, ("src_endpoint_port", "SourcePort"), ("dst_endpoint_port", "DestinationPort")), finish=connection,
    ),
    4: Kind(1008, 0, finish=state),
    5: Kind(1007, 2, PROCESS, PROCESS_IDS),
    6: Kind(1002, 1, (("file_path", "ImageLoaded"), ("process_file_signature", "Signature"))),
    7: Kind(1005, 1, (*ACTOR, ("file_path", "ImageLoaded"), ("process_file_signature", "Signature")), ACTOR_ID),
    8: Kind(1007, 4, BETWEEN, BETWEEN_IDS),
    9: Kind(1001, 2, (*ACTOR, ("file_path", "Device")), ACTOR_ID),
    10: Kind(1007, 3, BETWEEN, BETWEEN_IDS),
    11: Kind(1001, 1, TARGET_FILE, ACTOR_ID),
    12: Kind(201001, 99, ACTOR, ACTOR_ID, finish=registry),
    13: Kind(201002, 2, (*ACTOR, ("reg_value_data", "Details")), ACTOR_ID, finish=registry),
    14: Kind(201001, 5, (*ACTOR, ("reg_value_data", "NewName")), ACTOR_ID, finish=registry),
    15: Kind(1001, 1, TARGET_FILE, ACTOR_ID),
    16: Kind(6002, 8, (("resource_name", "Configuration"),)),
    17: Kind(1001, 1, (*ACTOR, ("file_path", "PipeName")), ACTOR_ID, finish=pipe),
    18: Kind(1001, 14, (*ACTOR, ("file_path", "PipeName")), ACTOR_ID, finish=pipe),
    19: Kind(0, 99, (("resource_name", "Name"), ("status", "Operation")), name="WMI Event Filter"),
    20: Kind(0, 99, (*WMI, ("status", "Operation")), name="WMI Event Consumer"),
    21: Kind(0, 99, (("resource_name", "Consumer"), ("status", "Operation")), name="WMI Event Binding"),
    22: Kind(4003, 6, (*ACTOR, ("query_hostname", "QueryName")), ACTOR_ID, finish=query),
    23: Kind(1001, 4, TARGET_FILE, ACTOR_ID),
    24: Kind(0, 99, ACTOR, ACTOR_ID, name="Clipboard Change"),
    25: Kind(1007, 4, (("process_file_path", "Image"), ("status_detail", "Type")), (("process_pid", "ProcessId"),)),
    26: Kind(1001, 4, TARGET_FILE, ACTOR_ID),
    27: Kind(1001, 1, TARGET_FILE, ACTOR_ID, disposition_id=2),
    28: Kind(1001, 4, TARGET_FILE, ACTOR_ID, disposition_id=2),
    29: Kind(1001, 1, TARGET_FILE, ACTOR_ID),
    255: Kind(0, 99, (("status_code", "ID"), ("message", "Description")), name="Error"),
}  # fmt: skip
OTHER = Kind(0, 0)
#: Windows level (1 critical … 5 verbose) → OCSF severity
SEVERITY = {0: 1, 1: 5, 2: 4, 3: 3, 4: 1, 5: 1}
NOTHING = frozenset(("", "-", "<unknown process>"))


def convert(event: Event, rest: dict[str, str], kind: Kind) -> None:
    values = cast("dict[str, object]", event)  # columns are chosen by name
    for column, name in kind.texts:
        value = rest.pop(name, None)
        if value is not None and value not in NOTHING:
            values[column] = value
    for column, name in kind.numbers:
        value = rest.get(name)
        if value is not None and value.isascii() and value.isdigit() and len(value) < 19:
            del rest[name]
            values[column] = int(value)


def who(event: Event, rest: dict[str, str]) -> None:
    user = rest.pop("User", None) or rest.pop("SourceUser", None)
    if user and user not in NOTHING:
        head, slash, tail = user.partition("\\")
        event["actor_user_name"] = tail if slash else user
        if slash:
            event["actor_user_domain"] = head


def hashes(event: Event, rest: dict[str, str]) -> None:
    found = SHA256.search(rest.get("Hashes") or rest.get("Hash") or "")
    if found is None:
        return
    if event["class_uid"] == 1007:
        event["process_file_hash_sha256"] = found[1].lower()
    else:
        event["file_hash_sha256"] = found[1].lower()


def to_event(record: WindowsEvent, hints: Hints) -> Event:
    kind = KINDS.get(record.event_id, OTHER)
    rest = record.rest
    event: Event = {
        "time": record.time,
        "class_uid": kind.class_uid,
        "activity_id": kind.activity_id,
        "status_id": 1 if kind.class_uid else None,
        "severity_id": SEVERITY.get(record.level or 0, 1),
        "metadata_event_code": str(record.event_id),
        "metadata_log_name": record.channel,
        "metadata_log_provider": record.provider,
        "metadata_sequence": record.record_id,
        "device_hostname": record.computer,
    }
    if record.message is not None:
        event["message"] = record.message
    if kind.name is not None:
        event["activity_name"] = kind.name
    if kind.disposition_id is not None:
        event["disposition_id"] = kind.disposition_id
    convert(event, rest, kind)
    if kind.finish is not None:
        kind.finish(event, rest)
    who(event, rest)
    if "Hashes" in rest or "Hash" in rest:
        hashes(event, rest)
    names(event)
    return event


def names(event: Event) -> None:
    """Names of files and processes are the last part of their paths."""
    if path := event.get("process_file_path"):
        event["process_name"] = base_name(path)
    if path := event.get("process_parent_process_file_path"):
        event["process_parent_process_name"] = base_name(path)
    if path := event.get("actor_process_file_path"):
        event["actor_process_name"] = base_name(path)
    if path := event.get("file_path"):
        event["file_name"] = base_name(path)


SOURCE = Source(
    id="sysmon",
    title=Text(ja="Sysmon", en="Sysmon"),
    vendor="Microsoft",
    product="Sysmon",
    decode=WindowsEvents(),
    map=to_event,
    recognise=Recognise(
        marks=(b"-Sysmon",),
        # in JSON a quotation mark inside a value is escaped, in XML a "<" is: a value cannot imitate these
        pattern=re.compile(
            rb'"(?:SourceName"\s*:|provider_name"\s*:|Provider"\s*:(?:\s*\{\s*(?:"[#@]attributes"\s*:\s*\{)?[^{}]{0,200}"Name"\s*:)?)'
            rb'\s*"(?:Microsoft-Windows|Linux)-Sysmon"'
            rb"|<Provider Name=['\"](?:Microsoft-Windows|Linux)-Sysmon['\"]"
            rb'|\\u003cProvider Name=\\"Linux-Sysmon\\"'
        ),
        sourcetypes=("XmlWinEventLog:Microsoft-Windows-Sysmon/Operational", "sysmon", "sysmon:linux"),
        rank=20,
    ),
    reference="https://learn.microsoft.com/sysinternals/downloads/sysmon",
    switch_on=Text(
        ja="業務用 PC に Sysmon を導入し（設定ファイルでネットワーク接続・DNS・プロセス作成を有効化）、"
        "Microsoft-Windows-Sysmon/Operational を転送します。",
        en="Install Sysmon on the work PCs with a configuration that logs process creation, network connections and DNS, "
        "and forward Microsoft-Windows-Sysmon/Operational.",
    ),
    advisory=("A1", "A5", "A10", "T2.4"),
    systems=("windows", "active-directory"),
)
