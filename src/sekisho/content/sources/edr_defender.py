"""Microsoft Defender for Endpoint: Advanced Hunting rows in the envelope of the streaming API.

``PublicIP`` of DeviceInfo is the address the service saw the device come from.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct, field

from sekisho.contract import Hints, Json, Recognise, Source, Unmappable
from sekisho.model import Text
from sekisho.ocsf import Event


class Row(Struct, gc=False):
    """The columns that are mapped, of all tables."""

    Timestamp: datetime | None = None
    DeviceId: str | None = None
    DeviceName: str | None = None
    ActionType: str | None = None
    ReportId: int | str | None = None
    PublicIP: str | None = None
    OSPlatform: str | None = None
    OnboardingStatus: str | None = None
    LocalIP: str | None = None
    LocalPort: int | None = None
    RemoteIP: str | None = None
    RemotePort: int | None = None
    RemoteUrl: str | None = None
    RemoteDeviceName: str | None = None
    Protocol: str | None = None
    LogonType: str | None = None
    AccountName: str | None = None
    AccountDomain: str | None = None
    AccountSid: str | None = None
    AccountUpn: str | None = None
    FailureReason: str | None = None
    FileName: str | None = None
    FolderPath: str | None = None
    SHA256: str | None = None
    ProcessId: int | None = None
    ProcessCommandLine: str | None = None
    InitiatingProcessFileName: str | None = None
    InitiatingProcessFolderPath: str | None = None
    InitiatingProcessId: int | None = None
    InitiatingProcessCommandLine: str | None = None
    InitiatingProcessAccountName: str | None = None
    InitiatingProcessAccountDomain: str | None = None
    InitiatingProcessAccountSid: str | None = None
    InitiatingProcessAccountUpn: str | None = None
    AlertId: str | None = None
    Title: str | None = None
    Severity: str | None = None


class Record(Row, gc=False):
    """Envelope ``{"category": "AdvancedHunting-<Table>", "properties": {...}}``; or a row exported
    from a workspace, whose ``Type`` names the table."""

    time: datetime | None = None
    category: str | None = None
    tenant: str | None = field(default=None, name="tenantId")
    Type: str | None = None
    properties: Row | None = None


_TABLES: dict[str, tuple[int, int]] = {
    "DeviceInfo": (5001, 1),
    "DeviceNetworkInfo": (5001, 1),
    "DeviceLogonEvents": (3002, 1),
    "DeviceNetworkEvents": (4001, 1),
    "DeviceProcessEvents": (1007, 1),
    "DeviceFileEvents": (1001, 99),
    "AlertInfo": (2004, 1),
}
_ACTIONS: dict[str, tuple[int, int]] = {
    "ConnectionSuccess": (4001, 1),
    "ConnectionRequest": (4001, 1),
    "ConnectionAcknowledged": (4001, 1),
    "InboundConnectionAccepted": (4001, 1),
    "ConnectionFailed": (4001, 4),
    "ConnectionAttempt": (4001, 99),
    "ListeningConnectionCreated": (4001, 7),
    "LogonSuccess": (3002, 1),
    "LogonFailed": (3002, 1),
    "LogonAttempted": (3002, 1),
    "ProcessCreated": (1007, 1),
    "OpenProcess": (1007, 3),
    "FileCreated": (1001, 1),
    "FileModified": (1001, 3),
    "FileDeleted": (1001, 4),
    "FileRenamed": (1001, 5),
    "SecurityLogCleared": (1008, 1),
    "AntivirusDetection": (2004, 1),
}
_STATUS = {
    "LogonSuccess": 1,
    "LogonFailed": 2,
    "ConnectionSuccess": 1,
    "InboundConnectionAccepted": 1,
    "ConnectionFailed": 2,
}
_LOGONS = {
    "Interactive": 2,
    "Network": 3,
    "Batch": 4,
    "Service": 5,
    "Unlock": 7,
    "NetworkCleartext": 8,
    "NewCredentials": 9,
    "RemoteInteractive": 10,
    "Remote interactive (RDP) logons": 10,
    "CachedInteractive": 11,
}
_SEVERITY = {"Informational": 1, "Low": 2, "Medium": 3, "High": 4}


def to_event(record: Record, hints: Hints) -> Event:
    row = record.properties or record
    table = (record.category or record.Type or "").removeprefix("AdvancedHunting-")
    action = row.ActionType or ""
    kind = _ACTIONS.get(action) or _TABLES.get(table)
    if not table and kind is None:
        raise Unmappable("wrong-shape", "names neither its table (category) nor a known ActionType")
    class_uid, activity_id = kind or (0, 99)
    event: Event = {
        "time": row.Timestamp or record.time,
        "class_uid": class_uid,
        "activity_id": activity_id,
        "activity_name": (action or table) if activity_id == 99 else None,
        "severity_id": _SEVERITY.get(row.Severity or "Informational", 99),
        "status_id": _STATUS.get(action),
        "status_detail": row.FailureReason or None,
        "metadata_event_code": action or None,
        "metadata_log_name": table or None,
        "metadata_uid": None if row.ReportId is None else str(row.ReportId),
        "device_uid": row.DeviceId,
        "device_hostname": row.DeviceName,
        "device_ip": row.PublicIP or (row.LocalIP if class_uid != 4001 else None),
        "device_os_name": row.OSPlatform,
        "device_is_managed": {"Onboarded": True}.get(row.OnboardingStatus or ""),
        "actor_user_name": row.InitiatingProcessAccountUpn or row.InitiatingProcessAccountName or None,
        "actor_user_domain": row.InitiatingProcessAccountDomain or None,
        "actor_user_uid": row.InitiatingProcessAccountSid or None,
        "actor_process_name": row.InitiatingProcessFileName or None,
        "actor_process_pid": row.InitiatingProcessId,
        "actor_process_file_path": row.InitiatingProcessFolderPath or None,
        "actor_process_cmd_line": row.InitiatingProcessCommandLine or None,
    }
    _SECTIONS.get(class_uid, _file)(event, row)
    return event


def _connection(event: Event, row: Row) -> None:
    inbound = row.ActionType == "InboundConnectionAccepted"
    local, remote = (row.LocalIP, row.LocalPort), (row.RemoteIP, row.RemotePort)
    source, target = (remote, local) if inbound else (local, remote)
    event["src_endpoint_ip"], event["src_endpoint_port"] = source
    event["dst_endpoint_ip"], event["dst_endpoint_port"] = target
    event["dst_endpoint_hostname"] = _host(row.RemoteUrl)
    event["connection_info_direction_id"] = 1 if inbound else 2
    event["connection_info_protocol_name"] = row.Protocol.lower() if row.Protocol else None


def _host(url: str | None) -> str | None:
    """``RemoteUrl`` is a URL or a bare host name."""
    if not url:
        return None
    return url.partition("://")[2].partition("/")[0] if "://" in url else url.partition("/")[0]


def _logon(event: Event, row: Row) -> None:
    event["user_name"] = row.AccountName
    event["user_domain"] = row.AccountDomain or None
    event["user_uid"] = row.AccountSid or None
    event["user_email_addr"] = row.AccountUpn or None
    event["logon_type"] = row.LogonType
    event["logon_type_id"] = kind = _LOGONS.get(row.LogonType or "")
    event["is_remote"] = None if kind is None else kind in (3, 8, 10)
    event["auth_protocol"] = row.Protocol or None
    event["src_endpoint_ip"] = row.RemoteIP or None
    event["src_endpoint_port"] = row.RemotePort
    event["src_endpoint_hostname"] = row.RemoteDeviceName or None


def _process(event: Event, row: Row) -> None:
    event["process_name"] = row.FileName
    event["process_pid"] = row.ProcessId
    event["process_file_path"] = row.FolderPath
    event["process_cmd_line"] = row.ProcessCommandLine
    event["process_file_hash_sha256"] = row.SHA256
    event["process_parent_process_name"] = row.InitiatingProcessFileName
    event["process_parent_process_pid"] = row.InitiatingProcessId
    event["process_parent_process_file_path"] = row.InitiatingProcessFolderPath
    event["process_parent_process_cmd_line"] = row.InitiatingProcessCommandLine
    event["user_name"] = row.AccountName


def _file(event: Event, row: Row) -> None:
    event["file_name"] = row.FileName
    event["file_path"] = row.FolderPath
    event["file_hash_sha256"] = row.SHA256
    event["user_name"] = row.AccountName
    event["dst_endpoint_ip"] = row.RemoteIP
    event["dst_endpoint_hostname"] = _host(row.RemoteUrl)


def _finding(event: Event, row: Row) -> None:
    event["finding_info_title"] = row.Title or row.ActionType
    event["finding_info_uid"] = row.AlertId or event.get("metadata_uid")
    _file(event, row)


_SECTIONS = {4001: _connection, 3002: _logon, 1007: _process, 2004: _finding}


SOURCE = Source(
    id="edr_defender",
    title=Text(ja="Microsoft Defender for Endpoint", en="Microsoft Defender for Endpoint"),
    vendor="Microsoft",
    product="Defender for Endpoint",
    decode=Json(Record),
    map=to_event,
    recognise=Recognise(
        marks=(b'"DeviceId"', b'"Timestamp"', b'"AdvancedHunting-'),
        sourcetypes=("ms:defender:eventhub",),
    ),
    reference="https://learn.microsoft.com/en-us/defender-xdr/streaming-api-event-hub",
    switch_on=Text(
        ja="Defender ポータル［設定］→［Microsoft Defender XDR］→［ストリーミング API］で Event Hubs に送る"
        "（DeviceInfo、DeviceLogonEvents、DeviceNetworkEvents、DeviceProcessEvents）",
        en="Defender portal, Settings > Microsoft Defender XDR > Streaming API: send DeviceInfo, "
        "DeviceLogonEvents, DeviceNetworkEvents and DeviceProcessEvents to Event Hubs",
    ),
    advisory=("A5", "A6", "A7", "A10"),
    lag=1800,
    systems=("windows", "entra"),
)
