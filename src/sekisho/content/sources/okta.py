"""Okta System Log, one LogEvent per record (System Log API, event hooks, log streaming)."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

from sekisho.contract import Hints, Json, Recognise, Source
from sekisho.model import Text
from sekisho.ocsf import Event


class Party(Struct, gc=False):
    id: str | None = None
    type: str | None = None
    alternateId: str | None = None
    displayName: str | None = None


class UserAgent(Struct, gc=False):
    rawUserAgent: str | None = None
    os: str | None = None


class Place(Struct, gc=False):
    city: str | None = None


class Client(Struct, gc=False):
    userAgent: UserAgent | None = None
    ipAddress: str | None = None
    geographicalContext: Place | None = None


class Device(Struct, gc=False):
    id: str | None = None
    name: str | None = None
    managed: bool | None = None


class Authentication(Struct, gc=False):
    externalSessionId: str | None = None
    rootSessionId: str | None = None
    credentialProvider: str | None = None


class Outcome(Struct, gc=False):
    result: str | None = None
    reason: str | None = None


class Security(Struct, gc=False):
    asNumber: int | None = None


class DebugData(Struct, gc=False):
    factor: str | None = None


class Debug(Struct, gc=False):
    debugData: DebugData | None = None


class Detail(Struct, gc=False):
    requestApiTokenId: str | None = None


class Transaction(Struct, gc=False):
    id: str | None = None
    detail: Detail | None = None


class LogEvent(Struct, gc=False):
    uuid: str
    published: datetime
    eventType: str
    actor: Party | None = None
    client: Client | None = None
    device: Device | None = None
    authenticationContext: Authentication | None = None
    displayMessage: str | None = None
    outcome: Outcome | None = None
    securityContext: Security | None = None
    severity: str | None = None
    debugContext: Debug | None = None
    transaction: Transaction | None = None
    target: list[Party] | None = None


class Kind(NamedTuple):
    """OCSF class and activity; ``about`` says whether ``user`` is the actor or the target."""

    class_uid: int
    activity_id: int
    activity_name: str | None = None
    about: str = "target"


def _login(activity_id: int, name: str | None = None) -> Kind:
    return Kind(3002, activity_id, name, "actor")


_KINDS: dict[str, Kind] = {
    "user.session.start": _login(1),
    "user.session.end": _login(2),
    "user.session.expire": _login(2),
    "user.session.clear": _login(2),
    "user.session.access_admin_app": _login(1),
    "user.session.impersonation.initiate": _login(7),
    "user.session.impersonation.end": _login(2),
    "user.authentication.sso": _login(1),
    "user.authentication.auth_via_mfa": _login(1),
    "user.authentication.verify": _login(1),
    "user.authentication.slo": _login(2),
    "user.mfa.factor.activate": Kind(3001, 10),
    "user.mfa.factor.unsuspend": Kind(3001, 10),
    "user.mfa.factor.deactivate": Kind(3001, 11),
    "user.mfa.factor.reset_all": Kind(3001, 11),
    "user.mfa.factor.suspend": Kind(3001, 11),
    "user.mfa.factor.update": Kind(3001, 99, "MFA Factor Update"),
    "user.account.update_password": Kind(3001, 3),
    "user.account.reset_password": Kind(3001, 4),
    "user.account.expire_password": Kind(3001, 99, "Password Expire"),
    "user.account.lock": Kind(3001, 9),
    "user.account.unlock": Kind(3001, 12),
    "user.account.unlock_by_admin": Kind(3001, 12),
    "user.account.privilege.grant": Kind(3005, 1),
    "user.account.privilege.revoke": Kind(3005, 2),
    "user.lifecycle.create": Kind(3001, 1),
    "user.lifecycle.activate": Kind(3001, 2),
    "user.lifecycle.reactivate": Kind(3001, 2),
    "user.lifecycle.unsuspend": Kind(3001, 2),
    "user.lifecycle.deactivate": Kind(3001, 5),
    "user.lifecycle.suspend": Kind(3001, 5),
    "user.lifecycle.delete.initiated": Kind(3001, 6),
    "user.lifecycle.delete.completed": Kind(3001, 6),
    "group.user_membership.add": Kind(3006, 3),
    "group.user_membership.remove": Kind(3006, 4),
    "group.privilege.grant": Kind(3006, 1),
    "group.privilege.revoke": Kind(3006, 2),
    "group.lifecycle.create": Kind(3006, 6),
    "group.lifecycle.delete": Kind(3006, 5),
    "application.user_membership.add": Kind(3005, 1),
    "application.user_membership.remove": Kind(3005, 2),
    "system.api_token.create": Kind(3004, 1),
    "system.api_token.update": Kind(3004, 3),
    "system.api_token.enable": Kind(3004, 8),
    "system.api_token.disable": Kind(3004, 9),
    "system.api_token.revoke": Kind(3004, 4),
    "security.threat.detected": Kind(2004, 1),
    "security.session.detect_client_roaming": Kind(2004, 1),
    "security.attack.start": Kind(2004, 1),
    "security.attack.end": Kind(2004, 3),
    "user.risk.detect": Kind(2004, 1),
}

#: Types that have no line above: what they are about by their beginning, what was done by their end.
_BEGINNINGS = (
    ("user.authentication.", _login(1)),
    ("user.session.", _login(99, "Session")),
    ("user.mfa.", Kind(3001, 99, "MFA")),
    ("user.", Kind(3001, 99)),
    ("group.", Kind(3006, 99)),
)
_ENDINGS = {
    "create": 1,
    "add": 1,
    "update": 3,
    "delete": 4,
    "remove": 4,
    "revoke": 4,
    "activate": 10,
    "deactivate": 11,
    "enable": 8,
    "disable": 9,
}
_STATUS = {"SUCCESS": 1, "ALLOW": 1, "FAILURE": 2, "DENY": 2, "ABANDONED": 2, "UNKNOWN": 0}
_SEVERITY = {"DEBUG": 1, "INFO": 1, "WARN": 3, "ERROR": 4}
_ACTORS = {"User": "User", "SystemPrincipal": "System", "PublicClientApp": "Service"}

_PARTY, _CLIENT, _AGENT, _DEVICE = Party(), Client(), UserAgent(), Device()
_AUTHENTICATION, _OUTCOME, _PLACE, _SECURITY = Authentication(), Outcome(), Place(), Security()
_TRANSACTION, _DETAIL = Transaction(), Detail()


def _kind(event_type: str) -> Kind:
    kind = _KINDS.get(event_type)
    if kind is not None:
        return kind
    kind = next((kind for start, kind in _BEGINNINGS if event_type.startswith(start)), None)
    if kind is None:
        activity = _ENDINGS.get(event_type.rpartition(".")[2], 99)
        kind = Kind(3004, activity)
    if kind.activity_id == 99:
        kind = kind._replace(activity_name=event_type)
    if len(_KINDS) < 5000:  # a forged stream of types must not grow the table without end
        _KINDS[event_type] = kind
    return kind


def _known(value: str | None) -> str | None:
    return None if value == "unknown" else value


def to_event(record: LogEvent, hints: Hints) -> Event:
    kind = _kind(record.eventType)
    actor = record.actor or _PARTY
    client = record.client or _CLIENT
    agent = client.userAgent or _AGENT
    device = record.device or _DEVICE
    context = record.authenticationContext or _AUTHENTICATION
    outcome = record.outcome or _OUTCOME
    event: Event = {
        "time": record.published,
        "class_uid": kind.class_uid,
        "activity_id": kind.activity_id,
        "activity_name": kind.activity_name,
        "severity_id": _SEVERITY.get(record.severity or "INFO", 99),
        "status_id": _STATUS.get(outcome.result or "UNKNOWN", 99),
        "status": outcome.result,
        "status_detail": outcome.reason,
        "message": record.displayMessage,
        "metadata_uid": record.uuid,
        "metadata_event_code": record.eventType,
        "metadata_correlation_uid": (record.transaction or _TRANSACTION).id,
        "session_uid": _known(context.rootSessionId or context.externalSessionId),
        "src_endpoint_ip": client.ipAddress,
        "src_endpoint_uid": device.id,
        "src_endpoint_hostname": device.name,
        "src_endpoint_os_name": _known(agent.os),
        "src_endpoint_location_city": (client.geographicalContext or _PLACE).city,
        "src_endpoint_autonomous_system_number": (record.securityContext or _SECURITY).asNumber,
        "device_is_managed": device.managed,
        "http_request_user_agent": agent.rawUserAgent,
    }
    if kind.about == "actor":
        _sign_in(event, record, actor, context)
    else:
        _change(event, record, actor)
    return event


def _sign_in(event: Event, record: LogEvent, actor: Party, context: Authentication) -> None:
    event["user_name"] = event["user_email_addr"] = _known(actor.alternateId)
    event["user_uid"] = _known(actor.id)
    event["user_full_name"] = actor.displayName
    event["user_type"] = _ACTORS.get(actor.type or "", actor.type)
    if "@" not in (event["user_name"] or ""):
        event["user_email_addr"] = None
    event["service_name"] = "Okta"
    for target in record.target or ():
        if target.type == "AppInstance":
            event["service_name"] = target.displayName
            event["service_uid"] = target.id
    if record.eventType == "user.authentication.auth_via_mfa":
        # Okta writes one such record per answer to a second factor, refused or not
        event["is_mfa"] = True
        debug = record.debugContext.debugData if record.debugContext else None
        event["auth_factors"] = (debug.factor if debug else None) or context.credentialProvider


def _change(event: Event, record: LogEvent, actor: Party) -> None:
    event["actor_user_name"] = _known(actor.alternateId)
    event["actor_user_uid"] = _known(actor.id)
    event["actor_user_email_addr"] = actor.alternateId if "@" in (actor.alternateId or "") else None
    event["actor_user_type"] = _ACTORS.get(actor.type or "", actor.type)
    event["actor_session_uid"] = event.pop("session_uid", None)
    detail = (record.transaction or _TRANSACTION).detail or _DETAIL
    event["actor_user_credential_uid"] = detail.requestApiTokenId
    event["resource_name"] = None
    for target in record.target or ():
        if target.type in ("User", "AppUser"):
            if "user_uid" not in event:
                event["user_name"] = target.alternateId
                event["user_uid"] = target.id
                event["user_email_addr"] = target.alternateId if "@" in (target.alternateId or "") else None
                event["user_full_name"] = target.displayName
        elif target.type == "UserGroup":
            event["group_name"] = target.displayName
            event["group_uid"] = target.id
        elif event["resource_name"] is None:
            event["resource_name"] = target.displayName
            event["resource_uid"] = target.id
            event["resource_type"] = target.type
    if event["class_uid"] == 3004:
        event["entity_name"] = event["resource_name"]
        event["entity_type"] = event.get("resource_type")
    elif event["class_uid"] == 2004:
        event["finding_info_title"] = record.displayMessage
        event["finding_info_uid"] = record.uuid


SOURCE = Source(
    id="okta",
    title=Text(ja="Okta システムログ", en="Okta System Log"),
    vendor="Okta",
    product="Okta",
    decode=Json(LogEvent),
    map=to_event,
    recognise=Recognise(
        marks=(b'"eventType"', b'"published"', b'"actor"', b'"alternateId"'),
        sourcetypes=("OktaIM2:log", "okta:system"),
    ),
    reference="https://developer.okta.com/docs/reference/api/system-log/",
    switch_on=Text(
        ja="管理画面の［レポート］→［ログストリーミング］、または System Log API（okta.logs.read）で取り出す",
        en="Admin console, Reports > Log Streaming, or read it with the System Log API (okta.logs.read)",
    ),
    advisory=("A2", "A3", "A4", "A6", "A7", "A8", "A9"),
    lag=600,
    systems=("okta",),
)
