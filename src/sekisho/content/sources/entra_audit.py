"""Microsoft Entra ID audit log: Graph ``directoryAudit`` JSON, or in the Azure diagnostic envelope."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct, field

from sekisho.contract import Hints, Json, Recognise, Source, Unmappable
from sekisho.model import Text
from sekisho.ocsf import Event


class User(Struct, gc=False):
    id: str | None = None
    displayName: str | None = None
    userPrincipalName: str | None = None
    ipAddress: str | None = None


class App(Struct, gc=False):
    appId: str | None = None
    displayName: str | None = None
    servicePrincipalId: str | None = None


class Initiator(Struct, gc=False):
    user: User | None = None
    app: App | None = None


class Change(Struct, gc=False):
    displayName: str | None = None
    newValue: str | None = None


class Target(Struct, gc=False):
    id: str | None = None
    displayName: str | None = None
    type: str | None = None
    userPrincipalName: str | None = None
    modifiedProperties: list[Change] | None = None


class Pair(Struct, gc=False):
    key: str | None = None
    value: str | None = None


class Audit(Struct, gc=False):
    activityDateTime: datetime | None = None
    activityDisplayName: str | None = None
    id: str | None = None
    category: str | None = None
    correlationId: str | None = None
    result: str | None = None
    resultReason: str | None = None
    operationType: str | None = None
    loggedByService: str | None = None
    initiatedBy: Initiator | None = None
    targetResources: list[Target] | None = None
    additionalDetails: list[Pair] | None = None


class Record(Audit, gc=False):
    """Graph's object, or the envelope ``{"category": "AuditLogs", "properties": {...}}`` around it."""

    time: datetime | None = None
    tenant: str | None = field(default=None, name="tenantId")
    properties: Audit | None = None


_KINDS: dict[str, tuple[int, int]] = {
    "User registered security info": (3001, 10),
    "User registered all required security info": (3001, 10),
    "Admin registered security info": (3001, 10),
    "Enable Strong Authentication": (3001, 10),
    "User deleted security info": (3001, 11),
    "Admin deleted security info": (3001, 11),
    "Disable Strong Authentication": (3001, 11),
    "User changed default security info": (3001, 99),
    "Admin updated security info": (3001, 99),
    "Change user password": (3001, 3),
    "Change password (self-service)": (3001, 3),
    "Reset user password": (3001, 4),
    "Reset password (by admin)": (3001, 4),
    "Reset password (self-service)": (3001, 4),
    "Unlock user account (self-service)": (3001, 12),
    "Add user": (3001, 1),
    "Enable account": (3001, 2),
    "Disable account": (3001, 5),
    "Delete user": (3001, 6),
    "Hard Delete user": (3001, 6),
    "Update user": (3001, 99),
    "Update StsRefreshTokenValidFrom Timestamp": (3001, 99),
    "Add member to role": (3005, 1),
    "Add eligible member to role": (3005, 1),
    "Add member to role completed (PIM activation)": (3005, 1),
    "Remove member from role": (3005, 2),
    "Remove eligible member from role": (3005, 2),
    "Remove member from role (PIM activation expired)": (3005, 2),
    "Add app role assignment grant to user": (3005, 1),
    "Add delegated permission grant": (3005, 1),
    "Consent to application": (3005, 1),
    "Remove app role assignment from user": (3005, 2),
    "Add member to group": (3006, 3),
    "Remove member from group": (3006, 4),
    "Add group": (3006, 6),
    "Delete group": (3006, 5),
    "Register device": (3004, 6),
    "Unregister device": (3004, 7),
}
_OPERATIONS = {
    "Add": (3004, 1),
    "Create": (3004, 1),
    "Update": (3004, 3),
    "Delete": (3004, 4),
    "Assign": (3005, 1),
    "Unassign": (3005, 2),
}
_OTHER = (3004, 99)
_STATUS = {"success": 1, "failure": 2, "timeout": 2}
_PRIVILEGES = frozenset(["Role.DisplayName", "AppRole.DisplayName"])
_INITIATOR, _USER, _APP = Initiator(), User(), App()


def to_event(record: Record, hints: Hints) -> Event:
    audit = record.properties or record
    activity = audit.activityDisplayName
    if activity is None:
        raise Unmappable("wrong-shape", "has no activityDisplayName")
    class_uid, activity_id = _KINDS.get(activity) or _OPERATIONS.get(audit.operationType or "", _OTHER)
    initiator = audit.initiatedBy or _INITIATOR
    user = initiator.user or _USER
    app = initiator.app or _APP
    result = (audit.result or "").lower()
    event: Event = {
        "time": audit.activityDateTime or record.time,
        "class_uid": class_uid,
        "activity_id": activity_id,
        "activity_name": activity if activity_id == 99 else None,
        "severity_id": 1,
        "status_id": _STATUS.get(result, 0),
        "status": audit.result,
        "status_detail": audit.resultReason or None,
        "message": activity,
        "metadata_uid": audit.id,
        "metadata_event_code": activity,
        "metadata_log_name": audit.category,
        "metadata_log_provider": audit.loggedByService,
        "metadata_correlation_uid": audit.correlationId,
        "actor_user_name": user.userPrincipalName,
        "actor_user_uid": user.id,
        "actor_user_email_addr": user.userPrincipalName if "@" in (user.userPrincipalName or "") else None,
        "actor_user_domain": record.tenant,
        "actor_user_type": "User" if initiator.user else None,
        "src_endpoint_ip": user.ipAddress or None,
    }
    if initiator.user is None and initiator.app is not None:
        event["actor_user_name"] = app.displayName
        event["actor_user_uid"] = app.servicePrincipalId
        event["actor_user_type"] = "Service"
        event["actor_app_name"] = app.displayName
        event["actor_app_uid"] = app.appId
    for pair in audit.additionalDetails or ():
        if pair.key == "User-Agent":
            event["http_request_user_agent"] = pair.value
    _targets(event, audit.targetResources or ())
    return event


def _targets(event: Event, targets: list[Target] | tuple[Target, ...]) -> None:
    for target in targets:
        kind = (target.type or "").lower()
        if kind == "user" and "user_uid" not in event:
            event["user_uid"] = target.id
            event["user_name"] = target.userPrincipalName or target.displayName
            event["user_email_addr"] = (
                target.userPrincipalName if "@" in (target.userPrincipalName or "") else None
            )
            event["user_full_name"] = target.displayName
        elif kind in ("group", "role") and "group_uid" not in event:
            event["group_uid"] = target.id
            event["group_name"] = target.displayName
        elif "resource_uid" not in event and kind != "user":
            event["resource_uid"] = target.id
            event["resource_name"] = target.displayName
            event["resource_type"] = target.type
        for change in target.modifiedProperties or ():
            if change.displayName in _PRIVILEGES and not event.get("group_name"):
                event["group_name"] = (change.newValue or "").strip('"') or None
    if event["class_uid"] == 3004:
        event["entity_name"] = event.get("resource_name") or event.get("group_name") or event.get("user_name")
        event["entity_type"] = event.get("resource_type")


SOURCE = Source(
    id="entra_audit",
    title=Text(ja="Microsoft Entra ID 監査ログ", en="Microsoft Entra ID audit logs"),
    vendor="Microsoft",
    product="Entra ID",
    decode=Json(Record),
    map=to_event,
    recognise=Recognise(
        marks=(b'"activityDisplayName"', b'"initiatedBy"', b'"targetResources"'),
        sourcetypes=("azure:aad:audit",),
    ),
    reference="https://learn.microsoft.com/en-us/graph/api/resources/directoryaudit",
    switch_on=Text(
        ja="Entra 管理センター［監視と正常性］→［診断設定］で AuditLogs を Event Hubs に送る",
        en="Entra admin center, Monitoring & health > Diagnostic settings: send AuditLogs to Event Hubs",
    ),
    advisory=("A2", "A3", "A8"),
    lag=1800,
    systems=("entra", "microsoft365"),
)
