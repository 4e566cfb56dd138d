"""CrowdStrike Falcon: Data Replicator records (flat) and Event Streams (``metadata`` and ``event``).

``aip`` is the public address the cloud saw the sensor come from. Data Replicator
writes nearly all values as strings.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from msgspec import Struct, field

from sekisho.contract import Hints, Json, Recognise, Source, Unmappable
from sekisho.model import Text
from sekisho.ocsf import Event

Number = int | float | str | None


class Metadata(Struct, gc=False):
    eventType: str
    eventCreationTime: Number = None
    offset: int | None = None
    customerIDString: str | None = None


class StreamEvent(Struct, gc=False):
    """``event`` of an Event Streams record."""

    DetectName: str | None = None
    DetectDescription: str | None = None
    DetectId: str | None = None
    Name: str | None = None
    Description: str | None = None
    CompositeId: str | None = None
    Severity: Number = None
    SensorId: str | None = None
    AgentId: str | None = None
    ComputerName: str | None = None
    Hostname: str | None = None
    UserName: str | None = None
    LocalIP: str | None = None
    FileName: str | None = None
    FilePath: str | None = None
    CommandLine: str | None = None
    SHA256String: str | None = None
    UserId: str | None = None
    UserIp: str | None = None
    OperationName: str | None = None
    ServiceName: str | None = None
    Success: bool | None = None


class Record(Struct, gc=False):
    event_simpleName: str | None = None
    metadata: Metadata | None = None
    event: StreamEvent | None = None
    aid: str | None = None
    aip: str | None = None
    cid: str | None = None
    id: str | None = None
    timestamp: Number = None
    ContextTimeStamp: Number = None
    event_platform: str | None = None
    ComputerName: str | None = None
    UserName: str | None = None
    UserSid: str | None = None
    UserPrincipal: str | None = None
    LogonDomain: str | None = None
    LogonType: Number = None
    SubStatus: Number = None
    RemoteAddressIP4: str | None = None
    RemoteAddressIP6: str | None = None
    RemotePort: Number = None
    LocalAddressIP4: str | None = None
    LocalAddressIP6: str | None = None
    LocalPort: Number = None
    Protocol: Number = None
    ConnectionDirection: Number = None
    ContextBaseFileName: str | None = None
    ImageFileName: str | None = None
    CommandLine: str | None = None
    SHA256HashData: str | None = None
    ParentBaseFileName: str | None = None
    RawProcessId: Number = None
    DomainName: str | None = None
    agent_version: str | None = field(default=None, name="AgentVersion")


#: Data Replicator: OCSF class and activity by event. What is not here stays a base event.
_KINDS: dict[str, tuple[int, int]] = {
    "SensorHeartbeat": (5001, 1),
    "AgentOnline": (5001, 1),
    "AgentConnect": (5001, 1),
    "HostInfo": (5001, 2),
    "OsVersionInfo": (5001, 2),
    "LocalIpAddressIP4": (5001, 2),
    "LocalIpAddressIP6": (5001, 2),
    "UserLogon": (3002, 1),
    "UserLogonFailed": (3002, 1),
    "UserLogonFailed2": (3002, 1),
    "UserLogoff": (3002, 2),
    "NetworkConnectIP4": (4001, 1),
    "NetworkConnectIP6": (4001, 1),
    "NetworkReceiveAcceptIP4": (4001, 1),
    "NetworkReceiveAcceptIP6": (4001, 1),
    "NetworkListenIP4": (4001, 7),
    "NetworkListenIP6": (4001, 7),
    "NetworkCloseIP4": (4001, 2),
    "NetworkCloseIP6": (4001, 2),
    "DnsRequest": (4003, 1),
    "ProcessRollup2": (1007, 1),
    "SyntheticProcessRollup2": (1007, 1),
    "EndOfProcess": (1007, 2),
    "EventLogCleared": (1008, 1),
}
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}
_PLATFORMS = {"Win": "Windows", "Mac": "macOS", "Lin": "Linux"}
_LOGONS = {
    2: "Interactive",
    3: "Network",
    4: "Batch",
    5: "OS Service",
    7: "Unlock",
    8: "Network Cleartext",
    9: "New Credentials",
    10: "Remote Interactive",
    11: "Cached Interactive",
}


def _int(value: Number) -> int | None:
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else None
    return None if value is None else int(value)


def _time(value: Number) -> datetime | None:
    """Epoch seconds (with fraction) or milliseconds, as number or text."""
    if value is None or value == "":
        return None
    try:
        number = float(value)
        return datetime.fromtimestamp(number / 1000 if number > 1e11 else number, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Unmappable("wrong-shape", f"{str(value)[:40]!r} is no epoch time") from error


def _base(path: str | None) -> str | None:
    return path.replace("\\", "/").rpartition("/")[2] if path else None


def to_event(record: Record, hints: Hints) -> Event:
    if record.metadata is not None:
        return _stream(record.metadata, record.event or StreamEvent())
    name = record.event_simpleName
    if name is None:
        raise Unmappable("wrong-shape", "has neither event_simpleName nor metadata.eventType")
    class_uid, activity_id = _KINDS.get(name, (0, 99))
    event: Event = {
        "time": _time(record.ContextTimeStamp) or _time(record.timestamp),
        "class_uid": class_uid,
        "activity_id": activity_id,
        "activity_name": name if activity_id == 99 else None,
        "severity_id": 1,
        "metadata_uid": record.id,
        "metadata_event_code": name,
        "device_uid": record.aid,
        "device_ip": record.aip,
        "device_hostname": record.ComputerName,
        "device_os_name": _PLATFORMS.get(record.event_platform or "", record.event_platform),
    }
    if class_uid == 4001:
        _connection(event, record)
    elif class_uid == 3002:
        _logon(event, record, failed=name.startswith("UserLogonFailed"))
    elif class_uid == 1007:
        _process(event, record)
    else:
        event["query_hostname"] = record.DomainName
        event["actor_user_name"] = record.UserName
        event["actor_process_name"] = record.ContextBaseFileName
        event["device_ip"] = record.aip or record.LocalAddressIP4
    return event


def _connection(event: Event, record: Record) -> None:
    remote = record.RemoteAddressIP4 or record.RemoteAddressIP6
    local = record.LocalAddressIP4 or record.LocalAddressIP6
    protocol = _int(record.Protocol)
    inbound = _int(record.ConnectionDirection) == 1
    if not inbound:
        remote, local = local, remote
    ports = (_int(record.RemotePort), _int(record.LocalPort))
    source, target = ports if inbound else ports[::-1]
    event["src_endpoint_ip"], event["src_endpoint_port"] = remote, source
    event["dst_endpoint_ip"], event["dst_endpoint_port"] = local, target
    event["connection_info_direction_id"] = 1 if inbound else 2
    event["connection_info_protocol_name"] = _PROTOCOLS.get(protocol or -1, str(protocol or "") or None)
    event["actor_process_name"] = record.ContextBaseFileName
    event["actor_process_pid"] = _int(record.RawProcessId)
    event["actor_user_name"] = record.UserName
    event["status_id"] = 1


def _logon(event: Event, record: Record, *, failed: bool) -> None:
    kind = _int(record.LogonType)
    event["user_name"] = record.UserName
    event["user_uid"] = record.UserSid
    event["user_domain"] = record.LogonDomain
    event["user_email_addr"] = record.UserPrincipal
    event["logon_type_id"] = kind
    event["logon_type"] = _LOGONS.get(kind or -1)
    event["is_remote"] = None if kind is None else kind in (3, 8, 10)
    event["src_endpoint_ip"] = record.RemoteAddressIP4 or record.RemoteAddressIP6
    event["status_id"] = 2 if failed else 1
    event["status_code"] = None if record.SubStatus is None else str(record.SubStatus)


def _process(event: Event, record: Record) -> None:
    event["process_name"] = _base(record.ImageFileName)
    event["process_file_path"] = record.ImageFileName
    event["process_pid"] = _int(record.RawProcessId)
    event["process_cmd_line"] = record.CommandLine
    event["process_file_hash_sha256"] = record.SHA256HashData
    event["process_parent_process_name"] = record.ParentBaseFileName
    event["actor_user_name"] = record.UserName
    event["actor_user_uid"] = record.UserSid


def _stream(metadata: Metadata, told: StreamEvent) -> Event:
    kind = metadata.eventType
    event: Event = {
        "time": _time(metadata.eventCreationTime),
        "class_uid": 0,
        "activity_id": 99,
        "activity_name": kind,
        "severity_id": 1,
        "metadata_event_code": kind,
        "metadata_sequence": metadata.offset,
        "actor_user_domain": metadata.customerIDString,
        "device_uid": told.SensorId or told.AgentId,
        "device_hostname": told.ComputerName or told.Hostname,
        "device_ip": told.LocalIP,
    }
    if kind in ("DetectionSummaryEvent", "EppDetectionSummaryEvent"):
        severity = _int(told.Severity) or 0
        event["class_uid"], event["activity_id"], event["activity_name"] = 2004, 1, None
        event["severity_id"] = severity if severity <= 5 else min(5, 1 + severity // 20)
        event["finding_info_title"] = told.DetectName or told.Name
        event["finding_info_uid"] = told.DetectId or told.CompositeId
        event["message"] = told.DetectDescription or told.Description
        event["actor_user_name"] = told.UserName
        event["process_name"] = told.FileName
        event["process_file_path"] = told.FilePath
        event["process_cmd_line"] = told.CommandLine
        event["process_file_hash_sha256"] = told.SHA256String
    elif kind == "AuthActivityAuditEvent":
        event["class_uid"], event["activity_id"], event["activity_name"] = 3002, 1, None
        event["user_name"] = event["user_email_addr"] = told.UserId
        event["src_endpoint_ip"] = told.UserIp
        event["service_name"] = told.ServiceName
        event["status_id"] = {True: 1, False: 2, None: 0}[told.Success]
        event["status_detail"] = told.OperationName
    else:
        event["actor_user_name"] = told.UserId or told.UserName
        event["src_endpoint_ip"] = told.UserIp
        event["api_operation"] = told.OperationName
        event["service_name"] = told.ServiceName
    return event


SOURCE = Source(
    id="edr_crowdstrike",
    title=Text(ja="CrowdStrike Falcon（FDR・Event Streams）", en="CrowdStrike Falcon (FDR, Event Streams)"),
    vendor="CrowdStrike",
    product="Falcon",
    decode=Json(Record),
    map=to_event,
    recognise=Recognise(
        pattern=re.compile(rb'"event_simpleName"\s*:|"customerIDString"\s*:'),
        sourcetypes=("crowdstrike:events:sensor", "CrowdStrike:Event:Streams:JSON"),
    ),
    reference="https://github.com/CrowdStrike/FDR",
    switch_on=Text(
        ja="Falcon Data Replicator を契約・有効化し、S3 のレコードを 1 行ずつ送る（Event Streams API も可）",
        en="Enable Falcon Data Replicator and send its S3 records line by line (or use the Event Streams API)",
    ),
    advisory=("A5", "A6", "A7", "A10"),
    lag=1800,
    systems=("windows", "crowdstrike"),
)
