"""GitHub audit log of an organisation or enterprise (API, export, streaming): one entry per record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct, field

from sekisho.contract import Hints, Json, Recognise, Source, Unmappable
from sekisho.model import Text
from sekisho.ocsf import Event

#: milliseconds since 1970-01-01 UTC, up to the year 9999
Millis = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]


class Location(Struct, gc=False):
    country_code: str | None = None


class Entry(Struct, gc=False):
    action: str
    timestamp: Millis | None = field(default=None, name="@timestamp")
    created_at: Millis | None = None
    document_id: str | None = field(default=None, name="_document_id")
    actor: str | None = None
    actor_id: int | str | None = None
    actor_ip: str | None = None
    actor_is_bot: bool | None = None
    actor_location: Location | None = None
    external_identity_nameid: str | None = None
    user: str | None = None
    user_id: int | str | None = None
    user_agent: str | None = None
    org: str | list[str] | None = None
    business: str | None = None
    repo: str | None = None
    team: str | None = None
    operation_type: str | None = None
    request_id: str | None = None
    token_id: int | str | None = None
    hashed_token: str | None = None
    fingerprint: str | None = None
    public_key_id: int | str | None = None
    programmatic_access_type: str | None = None
    transport_protocol_name: str | None = None
    permission: str | None = None
    name: str | None = None


_KINDS: dict[str, tuple[int, int]] = {
    "user.login": (3002, 1),
    "user.failed_login": (3002, 1),
    "user.logout": (3002, 2),
    "org.sso_response": (3002, 1),
    "business.sso_response": (3002, 1),
    "two_factor_authentication.enabled": (3001, 10),
    "two_factor_authentication.add_factor": (3001, 10),
    "two_factor_authentication.disabled": (3001, 11),
    "two_factor_authentication.remove_factor": (3001, 11),
    "two_factor_authentication.recovery_codes_regenerated": (3001, 99),
    "user.two_factor_requirement_removed": (3001, 99),
    "user.create": (3001, 1),
    "user.delete": (3001, 6),
    "user.suspend": (3001, 5),
    "user.unsuspend": (3001, 2),
    "user.change_password": (3001, 3),
    "user.forgot_password": (3001, 4),
    "public_key.create": (3001, 99),
    "public_key.delete": (3001, 99),
    "personal_access_token.access_granted": (3005, 1),
    "personal_access_token.access_revoked": (3005, 2),
    "org_credential_authorization.grant": (3005, 1),
    "org_credential_authorization.revoke": (3005, 2),
    "org.add_member": (3006, 3),
    "org.remove_member": (3006, 4),
    "org.update_member": (3005, 1),
    "team.add_member": (3006, 3),
    "team.remove_member": (3006, 4),
    "repo.add_member": (3005, 1),
    "repo.update_member": (3005, 1),
    "repo.remove_member": (3005, 2),
    "org.enable_two_factor_requirement": (3004, 8),
    "org.disable_two_factor_requirement": (3004, 9),
    "business.disable_two_factor_requirement": (3004, 9),
    "org.disable_saml": (3004, 9),
    "org.enable_saml": (3004, 8),
    "org.audit_log_export": (1008, 3),
    "audit_log_streaming.create": (1008, 6),
    "audit_log_streaming.update": (1008, 99),
    "audit_log_streaming.destroy": (1008, 7),
    "git.clone": (6003, 2),
    "git.fetch": (6003, 2),
    "git.push": (6003, 3),
    "repo.download_zip": (6003, 2),
    "api.request": (6003, 2),
}
_OPERATIONS = {"create": 1, "access": 2, "modify": 3, "remove": 4, "transfer": 5, "restore": 13}
_FAILED = frozenset(["user.failed_login", "user.failed_two_factor"])


def to_event(record: Entry, hints: Hints) -> Event:
    millis = record.timestamp if record.timestamp is not None else record.created_at
    if millis is None:
        raise Unmappable("no-time", "has neither @timestamp nor created_at")
    action = record.action
    kind = _KINDS.get(action)
    class_uid, activity_id = kind or (3004, _OPERATIONS.get(record.operation_type or "", 99))
    org = record.org[0] if isinstance(record.org, list) and record.org else record.org
    failed = action in _FAILED
    credential = record.token_id or record.hashed_token or record.public_key_id or record.fingerprint
    event: Event = {
        "time": datetime.fromtimestamp(millis / 1000, UTC),
        "class_uid": class_uid,
        "activity_id": activity_id,
        "activity_name": action if activity_id == 99 else None,
        "severity_id": 1,
        "status_id": 2 if failed else 1,  # the audit log records what was done
        "metadata_uid": record.document_id,
        "metadata_event_code": action,
        "metadata_correlation_uid": record.request_id,
        "src_endpoint_ip": record.actor_ip,
        "src_endpoint_location_country": record.actor_location.country_code
        if record.actor_location
        else None,
        "http_request_user_agent": record.user_agent,
        "actor_user_name": record.actor,
        "actor_user_uid": _text(record.actor_id),
        "actor_user_email_addr": record.external_identity_nameid,
        "actor_user_domain": _text(org) or record.business,
        "actor_user_type": None
        if record.actor_is_bot is None
        else "Service"
        if record.actor_is_bot
        else "User",
        "actor_user_credential_uid": _text(credential),
        "actor_app_name": record.programmatic_access_type,
        "group_name": record.team or (_text(org) if class_uid == 3006 else None),
        "resource_name": record.repo or record.name,
        "resource_type": "repository" if record.repo else None,
        "user_name": record.user,
        "user_uid": _text(record.user_id),
    }
    if class_uid == 3002:
        event["user_name"] = record.user or record.actor
        event["user_uid"] = _text(record.user_id or record.actor_id)
        event["user_email_addr"] = record.external_identity_nameid
        event["service_name"] = "GitHub"
        event["is_remote"] = True
        event["auth_protocol"] = "SAML" if action.endswith(".sso_response") else None
    elif class_uid == 6003:
        event["api_operation"] = action
        event["api_service_name"] = "git" if action.startswith("git.") else "github"
        event["connection_info_protocol_name"] = record.transport_protocol_name
    elif class_uid == 3004:
        event["entity_name"] = event["resource_name"] or _text(org)
        event["entity_type"] = action.partition(".")[0]
    elif class_uid == 3001 and record.user is None:
        event["user_name"], event["user_uid"] = record.actor, _text(record.actor_id)
    return event


def _text(value: object) -> str | None:
    return None if value is None else str(value)


SOURCE = Source(
    id="github",
    title=Text(ja="GitHub 監査ログ", en="GitHub audit log"),
    vendor="GitHub",
    product="GitHub Enterprise Cloud",
    decode=Json(Entry),
    map=to_event,
    recognise=Recognise(
        marks=(b'"action"', b'"@timestamp"', b'"actor"', b'"created_at"'),
        sourcetypes=("github:cloud:audit", "github:enterprise:audit"),
    ),
    reference="https://docs.github.com/en/organizations/keeping-your-organization-secure/managing-security-settings-for-your-organization/audit-log-events-for-your-organization",
    switch_on=Text(
        ja="Enterprise の［Settings］→［Audit log］→［Log streaming］で流す。IP アドレスの開示を有効にする",
        en="Enterprise Settings > Audit log > Log streaming; enable disclosure of IP addresses",
    ),
    advisory=("A2", "A3", "A4", "A6", "A8", "A9", "T2.2"),
    lag=900,
    systems=("github",),
)
