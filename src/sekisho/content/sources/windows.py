"""Windows event logs: Security, System, PowerShell, Task Scheduler, Defender, Remote Desktop.

Each event id is a ``Kind``: the OCSF class and activity, and which value of the event fills which column.
An id that is not in the table becomes a Base Event with provider, id and message, its values in ``unmapped``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
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
    status_id: int | None = 1
    name: str | None = None
    finish: Callable[[Event, dict[str, str]], None] | None = None


SUBJECT: Pairs = (
    ("actor_user_name", "SubjectUserName"),
    ("actor_user_domain", "SubjectDomainName"),
    ("actor_user_uid", "SubjectUserSid"),
    ("actor_session_uid", "SubjectLogonId"),
)
TARGET: Pairs = (
    ("user_name", "TargetUserName"),
    ("user_domain", "TargetDomainName"),
    ("user_uid", "TargetUserSid"),
    ("session_uid", "TargetLogonId"),
)
ACCOUNT: Pairs = (
    ("user_name", "TargetUserName"),
    ("user_domain", "TargetDomainName"),
    ("user_uid", "TargetSid"),
)
GROUP: Pairs = (
    ("group_name", "TargetUserName"),
    ("user_domain", "TargetDomainName"),
    ("group_uid", "TargetSid"),
)
MEMBER: Pairs = (("user_name", "MemberName"), ("user_uid", "MemberSid"))
ORIGIN: Pairs = (("src_endpoint_ip", "IpAddress"),)
PORT: Pairs = (("src_endpoint_port", "IpPort"),)
CALLER: Pairs = (("actor_process_file_path", "ProcessName"),)
CALLER_ID: Pairs = (("actor_process_pid", "ProcessId"),)

LOGON_TYPES = {
    0: "System", 2: "Interactive", 3: "Network", 4: "Batch", 5: "OS Service", 7: "Unlock", 8: "Network Cleartext",
    9: "New Credentials", 10: "Remote Interactive", 11: "Cached Interactive", 12: "Cached Remote Interactive",
    13: "Cached Unlock",
}  # fmt: skip
REASONS = {
    "0xc0000064": "user name does not exist",
    "0xc000006a": "wrong password",
    "0xc000006d": "bad user name or authentication information",
    "0xc000006e": "account restriction",
    "0xc000006f": "outside authorised hours",
    "0xc0000070": "unauthorised workstation",
    "0xc0000071": "expired password",
    "0xc0000072": "account disabled",
    "0xc000015b": "logon type not granted",
    "0xc0000193": "account expired",
    "0xc0000224": "password must be changed",
    "0xc0000234": "account locked",
    # Kerberos (RFC 4120, 7.5.9)
    "0x6": "client not found",
    "0x7": "server not found",
    "0x12": "account disabled, expired or locked",
    "0x17": "expired password",
    "0x18": "wrong password",
    "0x25": "clock skew too great",
}
PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "ipv6-icmp"}
COMMAND = re.compile(r"<Command>(.*?)</Command>(?:\s*<Arguments>(.*?)</Arguments>)?", re.DOTALL)


def base_name(path: str | None) -> str | None:
    return path.replace("/", "\\").rsplit("\\", 1)[-1] if path else None


def failed(event: Event, code: str | None) -> None:
    event["status_id"] = 2
    if code:
        event["status_code"] = code
        if reason := REASONS.get(code.lower()):
            event["status_detail"] = reason


def by_status(event: Event, rest: dict[str, str]) -> None:
    """``Status`` 0x0 is success, anything else the reason of the failure."""
    code = rest.pop("Status", None)
    if code and code.lower() not in ("0x0", "0"):
        failed(event, code)


def account_type(name: str | None, sid: str | None) -> str | None:
    if sid and (sid in ("S-1-5-18", "S-1-5-19", "S-1-5-20") or sid.startswith(("S-1-5-90-", "S-1-5-96-"))):
        return "System"
    return "Service" if name and name.endswith("$") else None


def logon(event: Event, rest: dict[str, str]) -> None:
    number = event.get("logon_type_id")
    if number is not None:
        event["logon_type"] = LOGON_TYPES.get(number)
        event["is_remote"] = number in (3, 8, 10, 12)
    event["user_type"] = account_type(event.get("user_name"), event.get("user_uid"))


def logon_failed(event: Event, rest: dict[str, str]) -> None:
    logon(event, rest)
    status, detail = rest.pop("Status", None), rest.pop("SubStatus", None)
    failed(event, detail if detail and detail.lower() not in ("0x0", "0") else status)


def preauth_failed(event: Event, rest: dict[str, str]) -> None:
    failed(event, rest.pop("Status", None))


def started(event: Event, rest: dict[str, str]) -> None:
    event["process_name"] = base_name(event.get("process_file_path"))
    event["process_parent_process_name"] = base_name(event.get("process_parent_process_file_path"))


def task(event: Event, rest: dict[str, str]) -> None:
    found = COMMAND.search(rest.get("TaskContent") or rest.get("TaskContentNew") or "")
    if found:
        event["process_cmd_line"] = " ".join(part for part in found.groups() if part)


def policy(event: Event, rest: dict[str, str]) -> None:
    """Auditing switched off (success or failure removed) or on; message codes of the Security log."""
    changes = rest.get("AuditPolicyChanges") or ""
    event["activity_id"] = 10 if "%%8448" in changes or "%%8450" in changes else 9
    event["policy_name"] = "audit"


def connection(event: Event, rest: dict[str, str]) -> None:
    event["connection_info_protocol_name"] = PROTOCOLS.get(rest.get("Protocol", ""))
    direction = rest.pop("Direction", None)
    event["connection_info_direction_id"] = {"%%14592": 1, "%%14593": 2}.get(direction or "")
    event["actor_process_name"] = base_name(event.get("actor_process_file_path"))


def cleared(event: Event, rest: dict[str, str]) -> None:
    event["resource_name"] = rest.pop("Channel", None) or event.get("metadata_log_name")
    event["resource_type"] = "log"


def service_state(event: Event, rest: dict[str, str]) -> None:
    """State in the language of the host: English and Japanese are known."""
    state = rest.pop("param2", None)
    event["status"] = state
    event["activity_id"] = {"running": 3, "実行中": 3, "stopped": 4, "停止": 4, "停止済み": 4}.get(
        state or "", 0
    )


def shutdown(event: Event, rest: dict[str, str]) -> None:
    split_user(event, rest.pop("param7", None), "actor_user_name", "actor_user_domain")


def split_user(event: Event, user: str | None, name: str, domain: str) -> None:
    if user:
        values = cast("dict[str, object]", event)
        head, slash, tail = user.partition("\\")
        values.update({name: tail, domain: head} if slash else {name: user})


def remote_session(event: Event, rest: dict[str, str]) -> None:
    """``Address`` is LOCAL for a session at the console."""
    split_user(event, rest.pop("User", None) or rest.pop("Param1", None), "user_name", "user_domain")
    if domain := rest.pop("Param2", None):
        event["user_domain"] = domain
    address = rest.pop("Address", None) or rest.pop("Param3", None)
    event["is_remote"] = address not in (None, "LOCAL", "ローカル")
    if event["is_remote"]:
        event["src_endpoint_ip"] = address


def woke(event: Event, rest: dict[str, str]) -> None:
    event["start_time"], event["end_time"] = moment(rest, "SleepTime"), moment(rest, "WakeTime")


def booted(event: Event, rest: dict[str, str]) -> None:
    event["start_time"] = moment(rest, "StartTime")


def moment(rest: dict[str, str], name: str) -> datetime | None:
    """A ``win:SYSTEMTIME`` or FILETIME value; event XML writes both in UTC."""
    try:
        time = datetime.fromisoformat(rest[name])
    except (KeyError, ValueError):
        return None
    del rest[name]
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def script(event: Event, rest: dict[str, str]) -> None:
    event["file_name"] = base_name(event.get("file_path"))


def threat(event: Event, rest: dict[str, str]) -> None:
    split_user(event, rest.pop("Detection User", None), "user_name", "user_domain")


def power(name: str, finish: Callable[[Event, dict[str, str]], None] | None = None) -> Kind:
    """State of the machine: OCSF has no class for it, so a Base Event with the activity named."""
    return Kind(0, 99, name=name, finish=finish)


def _changed(activity: int, pairs: Pairs = ACCOUNT) -> Kind:
    return Kind(3001, activity, SUBJECT + pairs)


def _member(activity: int) -> Kind:
    return Kind(3006, activity, SUBJECT + GROUP + MEMBER)


def _job(activity: int) -> Kind:
    return Kind(1006, activity, (*SUBJECT, ("job_name", "TaskName")), finish=task)


def _session(name: str) -> Kind:
    texts = (
        ("user_name", "AccountName"), ("user_domain", "AccountDomain"), ("session_uid", "LogonID"),
        ("src_endpoint_hostname", "ClientName"), ("src_endpoint_ip", "ClientAddress"), ("service_name", "SessionName"),
    )  # fmt: skip
    return Kind(3002, 99, texts + TARGET, name=name)


LOGON = Kind(
    3002, 1,
    (*SUBJECT, *TARGET, *ORIGIN, *CALLER, ("auth_protocol", "AuthenticationPackageName"),
     ("src_endpoint_hostname", "WorkstationName"), ("metadata_correlation_uid", "LogonGuid")),
    (*PORT, *CALLER_ID, ("logon_type_id", "LogonType")), finish=logon,
)  # fmt: skip
CONNECTION = Kind(
    4001, 1,
    (("src_endpoint_ip", "SourceAddress"), ("dst_endpoint_ip", "DestAddress"), ("actor_process_file_path", "Application")),
    (("src_endpoint_port", "SourcePort"), ("dst_endpoint_port", "DestPort"), ("actor_process_pid", "ProcessID"),
     ("actor_process_pid", "ProcessId")), finish=connection,
)  # fmt: skip
TICKET: Pairs = (*ACCOUNT, *ORIGIN, ("service_name", "ServiceName"), ("service_uid", "ServiceSid"))
SHARE: Pairs = (*SUBJECT, *ORIGIN, ("resource_name", "ShareName"), ("file_path", "ShareLocalPath"))

SECURITY = {
    4608: power("Boot"),
    4609: power("Shutdown"),
    4616: Kind(0, 99, SUBJECT + CALLER, CALLER_ID, name="Time Change"),
    4624: LOGON,
    4625: LOGON._replace(finish=logon_failed),
    4634: Kind(3002, 2, TARGET, (("logon_type_id", "LogonType"),), finish=logon),
    4647: Kind(3002, 2, TARGET, finish=logon),
    4648: Kind(
        3002, 1, (*SUBJECT, *TARGET, *ORIGIN, *CALLER, ("dst_endpoint_hostname", "TargetServerName")),
        PORT + CALLER_ID, status_id=0, finish=logon,
    ),
    4672: Kind(3003, 1, tuple((column.replace("actor_", ""), name) for column, name in SUBJECT)),
    4688: Kind(
        1007, 1,
        (*SUBJECT, *TARGET, ("process_file_path", "NewProcessName"), ("process_cmd_line", "CommandLine"),
         ("process_parent_process_file_path", "ParentProcessName")),
        (("process_pid", "NewProcessId"), ("process_parent_process_pid", "ProcessId")), finish=started,
    ),
    4689: Kind(
        1007, 2, (*SUBJECT, ("process_file_path", "ProcessName"), ("status_code", "Status")),
        (("process_pid", "ProcessId"),), finish=started,
    ),
    4697: Kind(
        201004, 1,
        (*SUBJECT, ("win_service_name", "ServiceName"), ("file_path", "ServiceFileName"), ("user_name", "ServiceAccount")),
    ),
    4698: _job(1), 4699: _job(3), 4700: _job(4), 4701: _job(5), 4702: _job(2),
    4719: Kind(1008, 9, SUBJECT, finish=policy),
    4720: _changed(1), 4722: _changed(2), 4723: _changed(3), 4724: _changed(4), 4725: _changed(5), 4726: _changed(6),
    4738: _changed(99)._replace(name="Update"), 4740: _changed(9), 4767: _changed(12),
    4781: _changed(99, (("user_name", "NewTargetUserName"), ("user_domain", "TargetDomainName"), ("user_uid", "TargetSid")))
    ._replace(name="Rename"),
    4727: _member(6), 4731: _member(6), 4754: _member(6), 4730: _member(5), 4734: _member(5), 4758: _member(5),
    4728: _member(3), 4732: _member(3), 4756: _member(3), 4729: _member(4), 4733: _member(4), 4757: _member(4),
    4768: Kind(3002, 3, TICKET + TARGET, PORT, finish=by_status),
    4769: Kind(3002, 4, (*TICKET, ("session_uid", "LogonGuid")), PORT, finish=by_status),
    4770: Kind(3002, 5, TICKET, PORT, finish=by_status),
    4771: Kind(3002, 6, TICKET, PORT, finish=preauth_failed),
    4776: Kind(
        3002, 99, (("user_name", "TargetUserName"), ("src_endpoint_hostname", "Workstation"), ("auth_protocol", "PackageName")),
        name="Credential Validation", finish=by_status,
    ),
    4778: _session("Session Reconnect"), 4779: _session("Session Disconnect"),
    4800: _session("Lock"), 4801: _session("Unlock"),
    5140: Kind(4006, 99, SHARE, PORT, name="Share Access"),
    5145: Kind(4006, 2, (*SHARE[:-1], ("file_path", "RelativeTargetName")), PORT),
    5156: CONNECTION,
    5157: CONNECTION._replace(activity_id=5, status_id=2),
}  # fmt: skip
EVENT_LOG = {
    104: Kind(1008, 1, SUBJECT, finish=cleared),
    1102: Kind(1008, 1, SUBJECT, finish=cleared),
    1100: Kind(1008, 7),
    1104: Kind(1008, 99, name="Log Full"),
    1105: Kind(1008, 4),
}
SCHEDULER: Pairs = (("job_name", "TaskName"),)
RUN_BY: Pairs = (*SCHEDULER, ("actor_user_name", "UserContext"), ("actor_user_name", "UserName"))
ACTION: Pairs = (*RUN_BY, ("process_cmd_line", "ActionName"), ("process_file_path", "Path"))
DEFENDER: Pairs = (
    ("finding_info_title", "Threat Name"), ("finding_info_uid", "Detection ID"), ("file_path", "Path"),
    ("process_name", "Process Name"), ("risk_level", "Severity Name"), ("status", "Action Name"),
)  # fmt: skip
#: provider → id → kind
KINDS: dict[str, dict[int, Kind]] = {
    "Microsoft-Windows-Security-Auditing": SECURITY,
    "Microsoft-Windows-Eventlog": EVENT_LOG,
    "EventLog": {
        6005: Kind(1008, 6), 6006: Kind(1008, 7), 6008: power("Unexpected Shutdown"), 6013: power("Uptime"),
    },
    "Service Control Manager": {
        7036: Kind(201004, 3, (("win_service_name", "param1"),), finish=service_state),
        7040: Kind(201004, 2, (("win_service_name", "param1"),)),
        7045: Kind(
            201004, 1, (("win_service_name", "ServiceName"), ("file_path", "ImagePath"), ("user_name", "AccountName"))
        ),
    },
    "User32": {1074: power("Shutdown Requested", shutdown)},
    "Microsoft-Windows-Kernel-General": {1: power("Time Change"), 12: power("Boot", booted), 13: power("Shutdown")},
    "Microsoft-Windows-Kernel-Power": {
        41: power("Unexpected Shutdown"), 42: power("Sleep"), 107: power("Resume"), 109: power("Shutdown"),
        506: power("Standby Enter"), 507: power("Standby Exit"),
    },
    "Microsoft-Windows-Power-Troubleshooter": {1: power("Resume", woke)},
    "Microsoft-Windows-Kernel-Boot": {27: power("Boot Type")},
    "Microsoft-Windows-PowerShell": {
        4103: Kind(1009, 1, (("message", "Payload"),)),
        4104: Kind(
            1009, 1, (("message", "ScriptBlockText"), ("file_path", "Path"), ("metadata_correlation_uid", "ScriptBlockId")),
            finish=script,
        ),
    },
    "Microsoft-Windows-TaskScheduler": {
        106: Kind(1006, 1, RUN_BY), 140: Kind(1006, 2, RUN_BY), 141: Kind(1006, 3, RUN_BY), 142: Kind(1006, 5, RUN_BY),
        129: Kind(1006, 6, ACTION, (("process_pid", "ProcessID"),)), 200: Kind(1006, 6, ACTION),
        201: Kind(1006, 99, ACTION, name="Complete"),
    },
    "Microsoft-Windows-Windows Defender": {
        1116: Kind(2004, 1, DEFENDER, finish=threat), 1117: Kind(2004, 2, DEFENDER, finish=threat),
        1013: Kind(1008, 1), 5001: Kind(6002, 7), 5007: Kind(6002, 8, (("resource_name", "New Value"),)),
        5010: Kind(6002, 7), 5012: Kind(6002, 7), 5000: Kind(6002, 6),
    },
    "Microsoft-Windows-TerminalServices-LocalSessionManager": {
        21: Kind(3002, 1, (("session_uid", "SessionID"),), finish=remote_session),
        23: Kind(3002, 2, (("session_uid", "SessionID"),), finish=remote_session),
        24: Kind(3002, 99, (("session_uid", "SessionID"),), name="Session Disconnect", finish=remote_session),
        25: Kind(3002, 99, (("session_uid", "SessionID"),), name="Session Reconnect", finish=remote_session),
    },
    "Microsoft-Windows-TerminalServices-RemoteConnectionManager": {
        1149: Kind(3002, 1, finish=remote_session),
    },
}  # fmt: skip
OTHER = Kind(0, 0, status_id=None)
NO_KINDS: dict[int, Kind] = {}
#: Windows level (1 critical … 5 verbose; 0 audit) → OCSF severity
SEVERITY = {0: 1, 1: 5, 2: 4, 3: 3, 4: 1, 5: 1}
NOTHING = frozenset(("", "-", "::", "NULL SID", "{00000000-0000-0000-0000-000000000000}"))


def convert(event: Event, rest: dict[str, str], kind: Kind) -> None:
    values = cast("dict[str, object]", event)  # columns are chosen by name
    for column, name in kind.texts:
        value = rest.pop(name, None)
        if value is not None and value not in NOTHING:
            values[column] = value
    for column, name in kind.numbers:
        value = rest.get(name)
        if value is None:
            continue
        try:
            number = int(value, 0)
        except ValueError:
            if value in NOTHING:
                del rest[name]
            continue  # anything else stays visible in unmapped
        if -0x8000_0000 <= number <= 0x7FFF_FFFF_FFFF_FFFF:
            del rest[name]
            values[column] = number


def to_event(record: WindowsEvent, hints: Hints) -> Event:
    kind = KINDS.get(record.provider, NO_KINDS).get(record.event_id, OTHER)
    rest = record.rest
    event: Event = {
        "time": record.time,
        "class_uid": kind.class_uid,
        "activity_id": kind.activity_id,
        "status_id": kind.status_id,
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
    convert(event, rest, kind)
    if kind.finish is not None:
        kind.finish(event, rest)
    address = event.get("src_endpoint_ip")
    if address and address.startswith("::ffff:"):
        event["src_endpoint_ip"] = address[7:]
    if "actor_user_name" not in event and record.user_sid:
        event.setdefault("actor_user_uid", record.user_sid)
    path = event.get("actor_process_file_path")
    if path:
        event["actor_process_name"] = base_name(path)
    return event


SOURCE = Source(
    id="windows",
    title=Text(ja="Windows イベントログ", en="Windows event logs"),
    vendor="Microsoft",
    product="Windows",
    decode=WindowsEvents(),
    map=to_event,
    recognise=Recognise(
        # one literal in front ("vent") keeps the search fast: flat JSON, evtx tools, event XML, Winlogbeat
        pattern=re.compile(
            rb'vent(?:I[Dd]"\s*:\s*"?\d{1,5}[\s",}]|(?<="Event)"\s*:\s*\{\s*"(?:[#@]attributes|System|xmlns)|(?<=<Event)[\s>]'
            rb'|(?<="winevent)log")|"winlog"\s*:\s*\{'
        ),
        sourcetypes=("WinEventLog", "XmlWinEventLog", "wineventlog", "xmlwineventlog"),
        rank=10,
    ),
    reference="https://learn.microsoft.com/windows/security/threat-protection/auditing/security-auditing-overview",
    switch_on=Text(
        ja="監査ポリシーで「ログオン」「アカウント管理」「プロセス作成（コマンドライン付き）」などを有効にし、"
        "Winlogbeat・NXLog・Windows イベント転送のいずれかで Sekisho へ送ります。",
        en="Enable auditing of logon, account management and process creation (with command line) by policy, and send "
        "with Winlogbeat, NXLog or Windows Event Forwarding.",
    ),
    advisory=("A4", "A5", "A8", "A9", "A10"),
    systems=("windows", "active-directory"),
)
