"""Google Workspace login audit (Reports API, application ``login``): one activity per record.

Google puts one event into nearly every activity; the first one is mapped, all stay in the record.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from sekisho.contract import Hints, Json, Recognise, Source, Unmappable
from sekisho.model import Text
from sekisho.ocsf import Event


class Id(Struct, gc=False):
    time: datetime
    uniqueQualifier: str | None = None
    applicationName: str | None = None


class Actor(Struct, gc=False):
    email: str | None = None
    profileId: str | None = None


class Parameter(Struct, gc=False):
    name: str
    value: str | None = None
    boolValue: bool | None = None
    multiValue: list[str] | None = None


class LoginEvent(Struct, gc=False):
    name: str
    type: str | None = None
    parameters: list[Parameter] | None = None


class NetworkInfo(Struct, gc=False):
    ipAsn: list[int] | None = None
    regionCode: str | None = None


class Activity(Struct, gc=False):
    id: Id
    events: list[LoginEvent]
    actor: Actor | None = None
    ipAddress: str | None = None
    networkInfo: NetworkInfo | None = None


_KINDS: dict[str, tuple[int, int, int]] = {  # name: class, activity, status
    "login_success": (3002, 1, 1),
    "login_failure": (3002, 1, 2),
    "login_challenge": (3002, 99, 99),
    "login_verification": (3002, 99, 99),
    "logout": (3002, 2, 1),
    "risky_sensitive_action_allowed": (3002, 99, 1),
    "risky_sensitive_action_blocked": (3002, 99, 2),
    "2sv_enroll": (3001, 10, 1),
    "2sv_disable": (3001, 11, 1),
    "passkey_enrolled": (3001, 10, 1),
    "passkey_removed": (3001, 11, 1),
    "titanium_enroll": (3001, 99, 1),
    "titanium_unenroll": (3001, 99, 1),
    "password_edit": (3001, 3, 1),
    "recovery_email_edit": (3001, 99, 1),
    "recovery_phone_edit": (3001, 99, 1),
    "recovery_secret_qa_edit": (3001, 99, 1),
    "email_forwarding_out_of_domain": (3001, 99, 1),
    "account_disabled_generic": (3001, 5, 1),
    "account_disabled_hijacked": (3001, 5, 1),
    "account_disabled_password_leak": (3001, 5, 1),
    "account_disabled_spamming": (3001, 5, 1),
    "account_disabled_spamming_through_relay": (3001, 5, 1),
    "suspicious_login": (2004, 1, 0),
    "suspicious_login_less_secure_app": (2004, 1, 0),
    "suspicious_programmatic_login": (2004, 1, 0),
    "user_signed_out_due_to_suspicious_session_cookie": (2004, 1, 0),
    "gov_attack_warning": (2004, 1, 0),
}
_OTHER = (3002, 99, 0)

_SECOND_FACTORS = frozenset(
    [
        "backup_code",
        "google_authenticator",
        "google_prompt",
        "idv_any_phone",
        "idv_preregistered_phone",
        "internal_two_factor",
        "offline_otp",
        "passkey",
        "security_key",
        "security_key_otp",
    ]
)
_STEP_STATUS = {"passed": 1, "Challenge Passed.": 1, "failed": 2, "Challenge Failed.": 2}
_ACTOR, _NETWORK = Actor(), NetworkInfo()


def _parameters(event: LoginEvent) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for parameter in event.parameters or ():
        values[parameter.name] = parameter.value or parameter.multiValue or parameter.boolValue
    return values


def _is_mfa(facts: dict[str, Any], methods: list[str]) -> bool | None:
    """What the record states: ``is_second_factor``, else the challenges that were passed."""
    if facts.get("is_second_factor") is True or not _SECOND_FACTORS.isdisjoint(methods):
        return True
    if methods == ["password"]:
        return False
    return None


def to_event(record: Activity, hints: Hints) -> Event:
    if not record.events:
        raise Unmappable("wrong-shape", "the activity holds no event")
    first = record.events[0]
    class_uid, activity_id, status_id = _KINDS.get(first.name, _OTHER)
    facts = _parameters(first)
    actor = record.actor or _ACTOR
    network = record.networkInfo or _NETWORK
    email = facts.get("affected_email_address") or actor.email
    event: Event = {
        "time": record.id.time,
        "class_uid": class_uid,
        "activity_id": activity_id,
        "activity_name": first.name if activity_id == 99 else None,
        "severity_id": 4 if class_uid == 2004 else 1,
        "status_id": status_id,
        "status_detail": facts.get("login_failure_type"),
        "metadata_uid": record.id.uniqueQualifier,
        "metadata_event_code": first.name,
        "metadata_log_name": record.id.applicationName,
        "user_name": email,
        "user_email_addr": email,
        "user_uid": actor.profileId,
        "user_domain": email.rpartition("@")[2] if email else None,
        "src_endpoint_ip": record.ipAddress,
        "src_endpoint_location_country": network.regionCode,
        "src_endpoint_autonomous_system_number": network.ipAsn[0] if network.ipAsn else None,
    }
    if class_uid == 3002:
        methods = facts.get("login_challenge_method") or []
        methods = [methods] if isinstance(methods, str) else methods
        event["auth_protocol"] = facts.get("login_type")
        event["auth_factors"] = " ".join(methods) or None
        event["service_name"] = "Google Workspace"
        event["is_remote"] = True
        if status_id == 99:
            event["status_id"] = _STEP_STATUS.get(facts.get("login_challenge_status") or "", 99)
            event["status"] = facts.get("login_challenge_status")
        event["is_mfa"] = _is_mfa(facts, methods) if event["status_id"] != 2 or status_id == 99 else None
    elif class_uid == 3001:
        event["actor_user_name"] = event["actor_user_email_addr"] = actor.email
        event["actor_user_uid"] = actor.profileId
    else:
        event["finding_info_title"] = first.name
        event["finding_info_uid"] = record.id.uniqueQualifier
    return event


SOURCE = Source(
    id="google_login",
    title=Text(ja="Google Workspace ログイン監査", en="Google Workspace login audit"),
    vendor="Google",
    product="Google Workspace",
    decode=Json(Activity),
    map=to_event,
    recognise=Recognise(
        marks=(b'"uniqueQualifier"', b'"events"', b'"applicationName"', b'"login"'),
        sourcetypes=("gws:reports:login", "gsuite:reports:login"),
    ),
    reference="https://developers.google.com/workspace/admin/reports/v1/appendix/activity/login",
    switch_on=Text(
        ja="Reports API（activities.list、applicationName=login）で取り出すか、BigQuery エクスポートを使う",
        en="Read it with the Reports API (activities.list, applicationName=login)",
    ),
    advisory=("A2", "A4", "A6", "A8", "A9"),
    lag=7200,
    systems=("google",),
)
