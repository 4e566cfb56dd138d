"""The event as a mapping gives it: OCSF 1.8 attributes, flattened, each in its own typed column.

The column ``src_endpoint_ip`` is OCSF's ``src_endpoint.ip``; where OCSF has an array, the first
element stands (``answers[0].rdata``) or the elements joined by a blank (``auth_factors``). The path
is written beside each column. This table is the only place where columns are declared: the Arrow
schema, the search fields and the reference page are computed from it.

``None``, or a key that is left out, means *not recorded*, never *false*.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypedDict

_Str = str | None
_Int = int | None
_Bool = bool | None
_Time = datetime | None


class Event(TypedDict, total=False):
    """What ``Source.map`` returns. ``time`` must carry a UTC offset."""

    # -- when and what -------------------------------------------------------------------------
    time: Annotated[_Time, "time", "when it happened (UTC)"]
    class_uid: Annotated[int, "class_uid", "OCSF class, e.g. 3002 Authentication"]
    activity_id: Annotated[int, "activity_id", "what was done, per class"]
    activity_name: Annotated[_Str, "activity_name", "the activity's name where it is 99 Other"]
    severity_id: Annotated[_Int, "severity_id", "1 informational … 6 fatal, as the source says"]
    status_id: Annotated[_Int, "status_id", "1 success, 2 failure, 0 unknown, 99 other"]
    status: Annotated[_Str, "status", "outcome in the source's own word"]
    status_code: Annotated[_Str, "status_code", "the source's result code"]
    status_detail: Annotated[_Str, "status_detail", "reason of the outcome"]
    message: Annotated[_Str, "message", "what the source says in words"]
    count: Annotated[_Int, "count", "how many happenings the event stands for"]
    duration: Annotated[_Int, "duration", "milliseconds"]
    start_time: Annotated[_Time, "start_time", "start of an activity that lasted (UTC)"]
    end_time: Annotated[_Time, "end_time", "end of an activity that lasted (UTC)"]
    # -- where the record is from --------------------------------------------------------------
    metadata_uid: Annotated[_Str, "metadata.uid", "the vendor's own id of the record"]
    metadata_event_code: Annotated[_Str, "metadata.event_code", "the vendor's event type or number"]
    metadata_log_name: Annotated[_Str, "metadata.log_name", "log or channel"]
    metadata_log_provider: Annotated[_Str, "metadata.log_provider", "provider inside the log"]
    metadata_sequence: Annotated[_Int, "metadata.sequence", "record number given by the source"]
    metadata_correlation_uid: Annotated[_Str, "metadata.correlation_uid", "joins records of one action"]
    metadata_product_name: Annotated[_Str, "metadata.product.name", "product that logged"]
    metadata_product_vendor_name: Annotated[_Str, "metadata.product.vendor_name", "its vendor"]
    # -- who did it ----------------------------------------------------------------------------
    actor_user_name: Annotated[_Str, "actor.user.name", "user who acted"]
    actor_user_uid: Annotated[_Str, "actor.user.uid", "its id"]
    actor_user_email_addr: Annotated[_Str, "actor.user.email_addr", "its mail address"]
    actor_user_domain: Annotated[_Str, "actor.user.domain", "its domain or tenant"]
    actor_user_type: Annotated[_Str, "actor.user.type", "User, Admin, Service, System, ..."]
    actor_user_credential_uid: Annotated[_Str, "actor.user.credential_uid", "access key, token id"]
    actor_session_uid: Annotated[_Str, "actor.session.uid", "session of the actor"]
    actor_session_is_mfa: Annotated[_Bool, "actor.session.is_mfa", "session had a second factor"]
    actor_app_name: Annotated[_Str, "actor.app_name", "client program or OAuth client"]
    actor_app_uid: Annotated[_Str, "actor.app_uid", "its id"]
    actor_process_name: Annotated[_Str, "actor.process.name", "process that acted"]
    actor_process_pid: Annotated[_Int, "actor.process.pid", "its number"]
    actor_process_file_path: Annotated[_Str, "actor.process.file.path", "its image"]
    actor_process_cmd_line: Annotated[_Str, "actor.process.cmd_line", "its command line"]
    # -- on whom or what -----------------------------------------------------------------------
    user_name: Annotated[_Str, "user.name", "user who logs in, or is changed"]
    user_uid: Annotated[_Str, "user.uid", "its id"]
    user_email_addr: Annotated[_Str, "user.email_addr", "its mail address"]
    user_domain: Annotated[_Str, "user.domain", "its domain or tenant"]
    user_full_name: Annotated[_Str, "user.full_name", "display name"]
    user_type: Annotated[_Str, "user.type", "User, Admin, Service, System, ..."]
    group_name: Annotated[_Str, "group.name", "group or role"]
    group_uid: Annotated[_Str, "group.uid", "its id"]
    resource_name: Annotated[_Str, "resources[0].name", "what was accessed or changed"]
    resource_uid: Annotated[_Str, "resources[0].uid", "its id (ARN, object id)"]
    resource_type: Annotated[_Str, "resources[0].type", "kind of resource"]
    entity_name: Annotated[_Str, "entity.name", "entity managed (class 3004)"]
    entity_type: Annotated[_Str, "entity.type", "kind of entity"]
    # -- session and authentication ------------------------------------------------------------
    session_uid: Annotated[_Str, "session.uid", "session id, root session where known"]
    session_is_remote: Annotated[_Bool, "session.is_remote", "session comes over a network"]
    is_mfa: Annotated[_Bool, "is_mfa", "second factor used: true, false, null = not recorded"]
    is_remote: Annotated[_Bool, "is_remote", "logon over a network"]
    auth_protocol: Annotated[_Str, "auth_protocol", "SAML, Kerberos, publickey, ..."]
    auth_factors: Annotated[_Str, "auth_factors[].factor_type", "factors used, joined by a blank"]
    logon_type_id: Annotated[_Int, "logon_type_id", "Windows logon type"]
    logon_type: Annotated[_Str, "logon_type", "its name"]
    service_name: Annotated[_Str, "service.name", "application or service signed in to"]
    service_uid: Annotated[_Str, "service.uid", "its id"]
    # -- from where, to where ------------------------------------------------------------------
    src_endpoint_ip: Annotated[_Str, "src_endpoint.ip", "address it came from"]
    src_endpoint_port: Annotated[_Int, "src_endpoint.port", "port it came from"]
    src_endpoint_hostname: Annotated[_Str, "src_endpoint.hostname", "host it came from"]
    src_endpoint_uid: Annotated[_Str, "src_endpoint.uid", "device id the source states"]
    src_endpoint_os_name: Annotated[_Str, "src_endpoint.os.name", "operating system stated"]
    src_endpoint_location_country: Annotated[
        _Str, "src_endpoint.location.country", "country as the source says (ISO code)"
    ]
    src_endpoint_location_city: Annotated[_Str, "src_endpoint.location.city", "city as the source says"]
    src_endpoint_autonomous_system_number: Annotated[
        _Int, "src_endpoint.autonomous_system.number", "AS number as the source says"
    ]
    dst_endpoint_ip: Annotated[_Str, "dst_endpoint.ip", "address it went to"]
    dst_endpoint_port: Annotated[_Int, "dst_endpoint.port", "port it went to"]
    dst_endpoint_hostname: Annotated[_Str, "dst_endpoint.hostname", "host it went to"]
    dst_endpoint_svc_name: Annotated[_Str, "dst_endpoint.svc_name", "service it went to"]
    connection_info_protocol_name: Annotated[_Str, "connection_info.protocol_name", "tcp, udp, ..."]
    connection_info_direction_id: Annotated[_Int, "connection_info.direction_id", "1 in, 2 out"]
    traffic_bytes_in: Annotated[_Int, "traffic.bytes_in", "bytes received by the source endpoint"]
    traffic_bytes_out: Annotated[_Int, "traffic.bytes_out", "bytes sent by the source endpoint"]
    tls_sni: Annotated[_Str, "tls.sni", "server name in the TLS hello"]
    # -- HTTP and DNS --------------------------------------------------------------------------
    http_request_user_agent: Annotated[_Str, "http_request.user_agent", "user agent"]
    http_request_http_method: Annotated[_Str, "http_request.http_method", "GET, CONNECT, ..."]
    http_request_url_url_string: Annotated[_Str, "http_request.url.url_string", "URL"]
    http_request_url_hostname: Annotated[_Str, "http_request.url.hostname", "host of the URL"]
    http_response_code: Annotated[_Int, "http_response.code", "HTTP status"]
    query_hostname: Annotated[_Str, "query.hostname", "DNS name asked for"]
    query_type: Annotated[_Str, "query.type", "A, AAAA, MX, ..."]
    answers_rdata: Annotated[_Str, "answers[].rdata", "DNS answers, joined by a blank"]
    rcode: Annotated[_Str, "rcode", "DNS answer code"]
    # -- the device that logged ----------------------------------------------------------------
    device_hostname: Annotated[_Str, "device.hostname", "host that logged"]
    device_uid: Annotated[_Str, "device.uid", "its id (EDR agent, MDM)"]
    device_ip: Annotated[_Str, "device.ip", "its address; EDR: public address the agent saw"]
    device_os_name: Annotated[_Str, "device.os.name", "its operating system"]
    device_is_managed: Annotated[_Bool, "device.is_managed", "managed: true, false, null = unknown"]
    # -- processes, files, registry ------------------------------------------------------------
    process_name: Annotated[_Str, "process.name", "process started, seen or touched"]
    process_pid: Annotated[_Int, "process.pid", "its number"]
    process_file_path: Annotated[_Str, "process.file.path", "its image"]
    process_cmd_line: Annotated[_Str, "process.cmd_line", "its command line"]
    process_file_hash_sha256: Annotated[_Str, "process.file.hashes[SHA-256]", "hash of its image"]
    process_file_signature: Annotated[_Str, "process.file.signature", "signer, or its state"]
    process_parent_process_name: Annotated[_Str, "process.parent_process.name", "its parent"]
    process_parent_process_pid: Annotated[_Int, "process.parent_process.pid", "parent's number"]
    process_parent_process_file_path: Annotated[_Str, "process.parent_process.file.path", "parent's image"]
    process_parent_process_cmd_line: Annotated[
        _Str, "process.parent_process.cmd_line", "parent's command line"
    ]
    file_name: Annotated[_Str, "file.name", "file touched"]
    file_path: Annotated[_Str, "file.path", "its path"]
    file_hash_sha256: Annotated[_Str, "file.hashes[SHA-256]", "its hash"]
    reg_key_path: Annotated[_Str, "reg_key.path", "Windows registry key"]
    reg_value_name: Annotated[_Str, "reg_value.name", "Windows registry value"]
    reg_value_data: Annotated[_Str, "reg_value.data", "its data"]
    job_name: Annotated[_Str, "job.name", "scheduled job"]
    win_service_name: Annotated[_Str, "win_service.name", "Windows service"]
    # -- interfaces, clouds, findings ----------------------------------------------------------
    api_operation: Annotated[_Str, "api.operation", "operation called"]
    api_service_name: Annotated[_Str, "api.service.name", "service called"]
    api_request_uid: Annotated[_Str, "api.request.uid", "id of the call"]
    api_response_error: Annotated[_Str, "api.response.error", "error returned"]
    cloud_provider: Annotated[_Str, "cloud.provider", "AWS, Azure, GCP"]
    cloud_account_uid: Annotated[_Str, "cloud.account.uid", "account, subscription, project"]
    cloud_region: Annotated[_Str, "cloud.region", "region"]
    finding_info_title: Annotated[_Str, "finding_info.title", "title of another product's finding"]
    finding_info_uid: Annotated[_Str, "finding_info.uid", "its id"]
    risk_level: Annotated[_Str, "risk_level", "risk as the source says"]
    policy_name: Annotated[_Str, "policy.name", "policy that decided"]
    disposition_id: Annotated[_Int, "disposition_id", "1 allowed, 2 blocked, ..."]
