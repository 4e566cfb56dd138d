# ruff: noqa: E501 - tables
"""Where a Sigma rule's log source and fields are found among the columns of an event.

Names on the left are Sigma's (those of the products' own logs); on the right is DuckDB SQL over the
columns of ``sekisho.ocsf``. What a source does not map is still in ``unmapped``, by its own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class LogSource(NamedTuple):
    """``scope``: SQL that selects the events. ``fields``: Sigma field -> SQL. ``rest``: fields that stay in
    ``unmapped`` under their own name; ``any_rest``: any other name is looked for there too."""

    scope: str
    fields: Mapping[str, str]
    rest: frozenset[str] = frozenset()
    any_rest: bool = False


_WINDOWS = (
    "(source IN ('windows', 'sysmon') OR contains(lower(device_os_name), 'windows'))"
    " AND metadata_log_provider IS DISTINCT FROM 'Linux-Sysmon'"
)
_LINUX = "(metadata_log_provider = 'Linux-Sysmon' OR contains(lower(device_os_name), 'linux'))"
_MAC = "(contains(lower(device_os_name), 'mac') OR contains(lower(device_os_name), 'darwin'))"

_ACTOR = "concat_ws('\\', actor_user_domain, actor_user_name)"
_SYSTEM = {
    "EventID": "metadata_event_code",
    "Provider_Name": "metadata_log_provider",
    "Channel": "metadata_log_name",
    "Computer": "device_hostname",
    "ComputerName": "device_hostname",
    "Hostname": "device_hostname",
    "Level": "severity_id",
}
_PROCESS = {
    **_SYSTEM,
    "Image": "process_file_path",
    "NewProcessName": "process_file_path",
    "CommandLine": "process_cmd_line",
    "ParentImage": "process_parent_process_file_path",
    "ParentProcessName": "process_parent_process_file_path",
    "ParentCommandLine": "process_parent_process_cmd_line",
    "ProcessId": "process_pid",
    "ParentProcessId": "process_parent_process_pid",
    "User": f"nullif({_ACTOR}, '')",
    "LogonId": "actor_session_uid",
    "SubjectLogonId": "actor_session_uid",
    "sha256": "process_file_hash_sha256",
}
_PROCESS_REST = frozenset(
    [
        "OriginalFileName", "Hashes", "IntegrityLevel", "Company", "Product", "Description", "FileVersion",
        "CurrentDirectory", "ParentUser", "ProcessGuid", "ParentProcessGuid", "LogonGuid", "TerminalSessionId",
        "MandatoryLabel", "TokenElevationType", "GrandParentImage", "Provenance", "Imphash", "md5", "sha1",
    ]
)  # fmt: skip
_ACTIVITY = {
    **_SYSTEM,
    "Image": "actor_process_file_path",
    "SourceImage": "actor_process_file_path",
    "TargetImage": "process_file_path",
    "ProcessId": "actor_process_pid",
    "SourceProcessId": "actor_process_pid",
    "TargetProcessId": "process_pid",
    "User": f"nullif({_ACTOR}, '')",
    "SourceUser": f"nullif({_ACTOR}, '')",
    "TargetFilename": "file_path",
    "ImageLoaded": "file_path",
    "Signature": "process_file_signature",
    "TargetObject": "nullif(concat_ws('\\', reg_key_path, reg_value_name), '')",
    "Details": "reg_value_data",
    "NewName": "reg_value_data",
    "EventType": "status",
    "PipeName": "CASE WHEN metadata_event_code IN ('17', '18') THEN file_path ELSE resource_name END",
    "DestinationIp": "dst_endpoint_ip",
    "DestinationHostname": "dst_endpoint_hostname",
    "DestinationPort": "dst_endpoint_port",
    "DestinationPortName": "dst_endpoint_svc_name",
    "SourceIp": "src_endpoint_ip",
    "SourcePort": "src_endpoint_port",
    "SourceHostname": "src_endpoint_hostname",
    "Protocol": "connection_info_protocol_name",
    "Initiated": "CASE connection_info_direction_id WHEN 2 THEN 'true' WHEN 1 THEN 'false' END",
    "QueryName": "query_hostname",
    "QueryResults": "answers_rdata",
    "QueryStatus": "rcode",
    "Destination": "process_cmd_line",
    "Operation": "status",
    "sha256": "file_hash_sha256",
}
_ACTIVITY_REST = frozenset(
    [
        "Hashes", "Hash", "Contents", "Signed", "SignatureStatus", "OriginalFileName", "Product", "Company", "Description",
        "FileVersion", "GrantedAccess", "CallTrace", "StartModule", "StartFunction", "StartAddress", "NewThreadId",
        "TargetUser", "CreationUtcTime", "PreviousCreationUtcTime", "IsExecutable", "Archived", "RuleName", "Device",
        "DestinationIsIpv6", "SourceIsIpv6", "Name", "Query", "Consumer", "Filter", "Type", "Imphash", "md5", "sha1",
    ]
)  # fmt: skip
#: Fields of the Windows event logs themselves; which column holds one depends on the event.
_EVENTS = {
    **_SYSTEM,
    "SubjectUserName": "actor_user_name",
    "SubjectDomainName": "actor_user_domain",
    "SubjectUserSid": "actor_user_uid",
    "SubjectLogonId": "actor_session_uid",
    "TargetUserName": "CASE WHEN class_uid = 3006 THEN group_name ELSE user_name END",
    "TargetDomainName": "user_domain",
    "TargetUserSid": "user_uid",
    "TargetSid": "CASE WHEN class_uid = 3006 THEN group_uid ELSE user_uid END",
    "TargetLogonId": "session_uid",
    "MemberName": "user_name",
    "MemberSid": "user_uid",
    "NewTargetUserName": "user_name",
    "LogonType": "logon_type_id",
    "IpAddress": "src_endpoint_ip",
    "IpPort": "src_endpoint_port",
    "SourceAddress": "src_endpoint_ip",
    "DestAddress": "dst_endpoint_ip",
    "SourcePort": "src_endpoint_port",
    "DestPort": "dst_endpoint_port",
    "Application": "actor_process_file_path",
    "WorkstationName": "src_endpoint_hostname",
    "Workstation": "src_endpoint_hostname",
    "AuthenticationPackageName": "auth_protocol",
    "Status": "status_code",
    "SubStatus": "status_code",
    "ServiceName": "CASE WHEN class_uid = 3002 THEN service_name ELSE win_service_name END",
    "ServiceSid": "service_uid",
    "ServiceFileName": "file_path",
    "ImagePath": "file_path",
    "AccountName": "user_name",
    "param1": "win_service_name",
    "param2": "status",
    "ProcessName": "CASE WHEN class_uid = 1007 THEN process_file_path ELSE actor_process_file_path END",
    "NewProcessName": "process_file_path",
    "ParentProcessName": "process_parent_process_file_path",
    "CommandLine": "process_cmd_line",
    "ShareName": "resource_name",
    "RelativeTargetName": "file_path",
    "ShareLocalPath": "file_path",
    "TaskName": "job_name",
    "ScriptBlockText": "message",
    "Payload": "message",
    "Path": "coalesce(file_path, process_file_path)",
    "UserContext": "actor_user_name",
}

#: Defender's own names have spaces; Sigma writes them without.
_DEFENDER = {
    **_EVENTS,
    **{
        name.replace(" ", ""): f"json_extract_string(unmapped, '$.\"{name}\"')"
        for name in (
            "Action Name", "Category Name", "Detection User", "Error Code", "Execution Name", "New Value", "Old Value",
            "Origin Name", "Process Name", "Severity Name", "Source Name", "Status Code", "Threat ID", "Threat Name",
            "Type Name",
        )
    },
}  # fmt: skip


def _sysmon(codes: str, provider: bool = True) -> str:
    scope = f"{_WINDOWS} AND metadata_event_code IN ({codes})"
    return f"{scope} AND metadata_log_provider = 'Microsoft-Windows-Sysmon'" if provider else scope


def _channel(*names: str) -> str:
    listed = ", ".join(f"'{name.lower()}'" for name in names)
    return f"source IN ('windows', 'sysmon') AND lower(metadata_log_name) IN ({listed})"


_CATEGORIES: dict[str, str] = {
    "file_event": "11, 2",
    "file_change": "2",
    "file_delete": "23, 26",
    "file_executable_detected": "29",
    "file_block": "27",
    "image_load": "7",
    "driver_load": "6",
    "network_connection": "3",
    "process_access": "10",
    "process_tampering": "25",
    "process_termination": "5",
    "pipe_created": "17, 18",
    "create_remote_thread": "8",
    "create_stream_hash": "15",
    "raw_access_thread": "9",
    "registry_set": "13",
    "registry_add": "12",
    "registry_delete": "12",
    "registry_rename": "14",
    "registry_event": "12, 13, 14",
    "dns_query": "22",
    "sysmon_status": "4, 16",
    "sysmon_error": "255",
    "wmi_event": "19, 20, 21",
}
_POWERSHELL = ("ps_script", "ps_module", "ps_classic_start", "ps_classic_provider_start")
_SERVICES: dict[str, tuple[str, ...]] = {
    "security": ("Security",),
    "system": ("System",),
    "application": ("Application",),
    "sysmon": ("Microsoft-Windows-Sysmon/Operational",),
    "taskscheduler": ("Microsoft-Windows-TaskScheduler/Operational",),
    "windefend": ("Microsoft-Windows-Windows Defender/Operational",),
    "powershell": ("Microsoft-Windows-PowerShell/Operational", "PowerShellCore/Operational"),
    "powershell-classic": ("Windows PowerShell",),
    "wmi": ("Microsoft-Windows-WMI-Activity/Operational",),
    "ntlm": ("Microsoft-Windows-NTLM/Operational",),
    "firewall-as": ("Microsoft-Windows-Windows Firewall With Advanced Security/Firewall",),
    "bits-client": ("Microsoft-Windows-Bits-Client/Operational",),
    "dns-client": ("Microsoft-Windows-DNS Client Events/Operational",),
    "dns-server": ("DNS Server",),
    "codeintegrity-operational": ("Microsoft-Windows-CodeIntegrity/Operational",),
    "appxdeployment-server": ("Microsoft-Windows-AppXDeploymentServer/Operational",),
    "appxpackaging-om": ("Microsoft-Windows-AppxPackaging/Operational",),
    "applocker": (
        "Microsoft-Windows-AppLocker/EXE and DLL",
        "Microsoft-Windows-AppLocker/MSI and Script",
        "Microsoft-Windows-AppLocker/Packaged app-Deployment",
        "Microsoft-Windows-AppLocker/Packaged app-Execution",
    ),
    "msexchange-management": ("MSExchange Management",),
    "security-mitigations": ("Microsoft-Windows-Security-Mitigations/KernelMode",),
    "terminalservices-localsessionmanager": (
        "Microsoft-Windows-TerminalServices-LocalSessionManager/Operational",
    ),
    "printservice-admin": ("Microsoft-Windows-PrintService/Admin",),
    "printservice-operational": ("Microsoft-Windows-PrintService/Operational",),
    "smbclient-security": ("Microsoft-Windows-SmbClient/Security",),
    "smbclient-connectivity": ("Microsoft-Windows-SmbClient/Connectivity",),
    "lsa-server": ("Microsoft-Windows-LSA/Operational",),
    "ldap": ("Microsoft-Windows-LDAP-Client/Debug",),
    "iis-configuration": ("Microsoft-IIS-Configuration/Operational",),
    "capi2": ("Microsoft-Windows-CAPI2/Operational",),
    "shell-core": ("Microsoft-Windows-Shell-Core/Operational",),
    "openssh": ("OpenSSH/Operational",),
    "driver-framework": ("Microsoft-Windows-DriverFrameworks-UserMode/Operational",),
    "diagnosis-scripted": ("Microsoft-Windows-Diagnosis-Scripted/Operational",),
    "certificateservicesclient-lifecycle-system": (
        "Microsoft-Windows-CertificateServicesClient-Lifecycle-System/Operational",
    ),
}
_CLOUDTRAIL = {
    "eventName": "metadata_event_code",
    "eventSource": "api_service_name",
    "errorCode": "status_code",
    "errorMessage": "status_detail",
    "userIdentity.arn": "actor_user_uid",
    "userIdentity.userName": "actor_user_name",
    "userIdentity.accountId": "actor_user_domain",
    "userIdentity.accessKeyId": "actor_user_credential_uid",
    "userIdentity.type": "CASE actor_user_type WHEN 'Admin' THEN 'Root' WHEN 'User' THEN 'IAMUser'"
    " WHEN 'Service' THEN 'AWSService' WHEN 'System' THEN 'AWSAccount' ELSE actor_user_type END",
    "userIdentity.sessionContext.attributes.mfaAuthenticated": "actor_session_is_mfa",
    "userAgent": "http_request_user_agent",
    "sourceIPAddress": "coalesce(src_endpoint_ip, src_endpoint_hostname)",
    "awsRegion": "cloud_region",
    "status": "status",
    "responseElements.ConsoleLogin": "CASE WHEN metadata_event_code = 'ConsoleLogin' THEN status END",
    "additionalEventData.MFAUsed": "CASE is_mfa WHEN true THEN 'Yes' WHEN false THEN 'No' END",
}
_OKTA = {
    "eventType": "metadata_event_code",
    "eventtype": "metadata_event_code",
    "displayMessage": "message",
    "displaymessage": "message",
    "outcome.result": "status",
    "outcome.reason": "status_detail",
    "actor.alternateId": "coalesce(actor_user_email_addr, actor_user_name)",
    "actor.alternateid": "coalesce(actor_user_email_addr, actor_user_name)",
    "client.ipAddress": "src_endpoint_ip",
    "target.user.display.name": "user_full_name",
}
_GITHUB = {
    "action": "metadata_event_code",
    "actor": "actor_user_name",
    "actor_ip": "src_endpoint_ip",
    "org": "actor_user_domain",
    "repo": "resource_name",
    "user": "user_name",
    "user_agent": "http_request_user_agent",
    "transport_protocol_name": "connection_info_protocol_name",
    "programmatic_access_type": "actor_app_name",
    "token_id": "actor_user_credential_uid",
}
_SIGN_IN = {
    "Status": "status",
    "ResultType": "status_code",
    "Resultdescription": "status_detail",
    "ResultDescription": "status_detail",
    "properties.message": "message",
    "Operation": "metadata_event_code",
    "OperationName": "metadata_event_code",
    "ActivityDisplayName": "metadata_event_code",
    "AppDisplayName": "service_name",
    "AppId": "service_uid",
    "ResourceDisplayName": "resource_name",
    "UserPrincipalName": "coalesce(user_email_addr, user_name)",
    "Username": "coalesce(user_email_addr, user_name)",
    "IpAddress": "src_endpoint_ip",
    "UserAgent": "http_request_user_agent",
    "Location": "src_endpoint_location_country",
    "NetworkLocationDetails": "src_endpoint_location_country",
}
_LINUX_LOGS = {
    "Image": "coalesce(process_file_path, actor_process_file_path)",
    "CommandLine": "process_cmd_line",
    "ParentImage": "process_parent_process_file_path",
    "User": "actor_user_name",
    "TargetFilename": "file_path",
    "program": "actor_process_name",
    "message": "message",
}
_PROXY = {
    "c-uri": "http_request_url_url_string",
    "cs-uri": "http_request_url_url_string",
    "r-dns": "http_request_url_hostname",
    "cs-host": "http_request_url_hostname",
    "c-useragent": "http_request_user_agent",
    "cs-user-agent": "http_request_user_agent",
    "cs-method": "http_request_http_method",
    "sc-status": "http_response_code",
    "dst_ip": "dst_endpoint_ip",
    "src_ip": "src_endpoint_ip",
    "cs-username": "actor_user_name",
}
_DNS = {
    "query": "query_hostname",
    "QueryName": "query_hostname",
    "record_type": "query_type",
    "answer": "answers_rdata",
    "src_ip": "src_endpoint_ip",
}


def find(product: str | None, category: str | None, service: str | None) -> LogSource | None:
    """The log source, or None if no source of this platform corresponds to it."""
    if category == "process_creation":
        scope = {"windows": _WINDOWS, "linux": _LINUX, "macos": _MAC, None: "true"}.get(product)
        if scope is None:
            return None
        return LogSource(f"class_uid = 1007 AND activity_id = 1 AND {scope}", _PROCESS, _PROCESS_REST)
    if product == "windows":
        return _windows(category, service)
    if product == "linux":
        return _linux(category, service)
    return _OTHERS.get((product, category, service))


def _windows(category: str | None, service: str | None) -> LogSource | None:
    if category == "ps_script":
        return LogSource(
            "source = 'windows' AND metadata_event_code = '4104'",
            {**_EVENTS, "Path": "file_path"},
            any_rest=True,
        )
    if category == "ps_module":
        return LogSource("source = 'windows' AND metadata_event_code = '4103'", _EVENTS, any_rest=True)
    if category in ("ps_classic_start", "ps_classic_provider_start"):
        code = "400" if category == "ps_classic_start" else "600"
        scope = f"{_channel('Windows PowerShell')} AND metadata_event_code = '{code}'"
        return LogSource(scope, _EVENTS, any_rest=True)
    if category is not None:
        codes = _CATEGORIES.get(category)
        if codes is None:
            return None
        listed = ", ".join(f"'{code}'" for code in codes.split(", "))
        return LogSource(_sysmon(listed), _ACTIVITY, _ACTIVITY_REST)
    if service is None:
        return LogSource("source IN ('windows', 'sysmon')", _EVENTS, any_rest=True)
    channels = _SERVICES.get(service)
    if channels is None:
        return None
    fields = {"sysmon": _ACTIVITY, "windefend": _DEFENDER}.get(service, _EVENTS)
    return LogSource(_channel(*channels), fields, any_rest=True)


def _linux(category: str | None, service: str | None) -> LogSource | None:
    codes = {"file_event": "11", "network_connection": "3"}
    if category in codes:
        scope = f"metadata_log_provider = 'Linux-Sysmon' AND metadata_event_code = '{codes[category]}'"
        return LogSource(scope, _ACTIVITY, _ACTIVITY_REST)
    programs = {
        "sshd": "source = 'sshd'",
        "sudo": "actor_process_name = 'sudo'",
        "auth": "source LIKE 'linux%' OR source = 'sshd'",
    }
    if category is None and (service is None or service in (*programs, "syslog", "cron")):
        wide = "source IN ('sshd', 'linux_auth', 'linux-auth', 'openssh', 'syslog', 'linux')"
        return LogSource(f"({programs.get(service or '', wide)})", _LINUX_LOGS)
    return None


_OTHERS: dict[tuple[str | None, str | None, str | None], LogSource] = {
    ("aws", None, "cloudtrail"): LogSource("source = 'cloudtrail'", _CLOUDTRAIL, any_rest=True),
    ("okta", None, "okta"): LogSource("source = 'okta'", _OKTA, any_rest=True),
    ("github", None, "audit"): LogSource("source = 'github'", _GITHUB, any_rest=True),
    ("azure", None, "signinlogs"): LogSource("source IN ('entra_signin', 'entra-signin')", _SIGN_IN, any_rest=True),
    ("azure", None, "auditlogs"): LogSource("source IN ('entra_audit', 'entra-audit')", _SIGN_IN, any_rest=True),
    (None, "proxy", None): LogSource("class_uid = 4002", _PROXY),
    (None, "dns", None): LogSource("class_uid = 4003", _DNS),
    (None, "dns_query", None): LogSource("class_uid = 4003", _DNS),
    (None, "firewall", None): LogSource(
        "class_uid = 4001",
        {"dst_port": "dst_endpoint_port", "src_port": "src_endpoint_port", "dst_ip": "dst_endpoint_ip",
         "src_ip": "src_endpoint_ip"},
    ),
}  # fmt: skip


def log_sources() -> dict[tuple[str | None, str | None, str | None], LogSource]:
    """Every log source that ``find`` knows, by product, category and service."""
    names: list[tuple[str | None, str | None, str | None]] = [
        *((product, "process_creation", None) for product in ("windows", "linux", "macos", None)),
        *(("windows", category, None) for category in (*_CATEGORIES, *_POWERSHELL)),
        *(("windows", None, service) for service in (*_SERVICES, None)),
        *(("linux", category, None) for category in ("file_event", "network_connection")),
        *(("linux", None, service) for service in ("sshd", "sudo", "auth", "syslog", "cron", None)),
        *_OTHERS,
    ]
    return {name: source for name in names if (source := find(*name)) is not None}
