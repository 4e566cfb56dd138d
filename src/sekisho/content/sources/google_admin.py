"""Google Workspace admin audit (Reports API, application ``admin``): one activity per record.

Only the first event of an activity is mapped (one record is one event); all stay in the record.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from sekisho.contract import Hints, Json, Recognise, Source, Unmappable
from sekisho.model import Text
from sekisho.ocsf import Event


class Id(Struct, gc=False):
    time: datetime
    uniqueQualifier: str | None = None
    applicationName: str | None = None


class Actor(Struct, gc=False):
    callerType: str | None = None
    email: str | None = None
    profileId: str | None = None
    key: str | None = None


class Parameter(Struct, gc=False):
    name: str
    value: str | None = None


class AdminEvent(Struct, gc=False):
    name: str
    type: str | None = None
    parameters: list[Parameter] | None = None


class NetworkInfo(Struct, gc=False):
    ipAsn: list[int] | None = None
    regionCode: str | None = None


class Activity(Struct, gc=False):
    id: Id
    events: list[AdminEvent]
    actor: Actor | None = None
    ipAddress: str | None = None
    networkInfo: NetworkInfo | None = None


_KINDS: dict[str, tuple[int, int]] = {
    "CREATE_USER": (3001, 1),
    "UNSUSPEND_USER": (3001, 2),
    "CHANGE_PASSWORD": (3001, 4),
    "CHANGE_PASSWORD_ON_NEXT_LOGIN": (3001, 99),
    "SUSPEND_USER": (3001, 5),
    "DELETE_USER": (3001, 6),
    "TURN_OFF_2_STEP_VERIFICATION": (3001, 11),
    "UNENROLL_USER_FROM_STRONG_AUTH": (3001, 11),
    "REVOKE_SECURITY_KEY": (3001, 11),
    "UNENROLL_USER_FROM_TITANIUM": (3001, 99),
    "ADD_RECOVERY_EMAIL": (3001, 99),
    "GENERATE_2SV_SCRATCH_CODES": (3001, 99),
    "DELETE_2SV_SCRATCH_CODES": (3001, 99),
    "REVOKE_3LO_TOKEN": (3001, 99),
    "REVOKE_3LO_DEVICE_TOKENS": (3001, 99),
    "REVOKE_ASP": (3001, 99),
    "RESET_SIGNIN_COOKIES": (3001, 99),
    "GRANT_ADMIN_PRIVILEGE": (3005, 1),
    "ASSIGN_ROLE": (3005, 1),
    "GRANT_DELEGATED_ADMIN_PRIVILEGES": (3005, 1),
    "REVOKE_ADMIN_PRIVILEGE": (3005, 2),
    "UNASSIGN_ROLE": (3005, 2),
    "ADD_GROUP_MEMBER": (3006, 3),
    "REMOVE_GROUP_MEMBER": (3006, 4),
    "CREATE_GROUP": (3006, 6),
    "DELETE_GROUP": (3006, 5),
    "CREATE_ROLE": (3004, 1),
    "DELETE_ROLE": (3004, 4),
    "ENFORCE_STRONG_AUTHENTICATION": (3004, 3),
    "ALLOW_STRONG_AUTHENTICATION": (3004, 3),
    "CHANGE_APPLICATION_SETTING": (3004, 3),
    "CREATE_APPLICATION_SETTING": (3004, 1),
    "DELETE_APPLICATION_SETTING": (3004, 4),
    "TOGGLE_SERVICE_ENABLED": (3004, 3),
    "AUTHORIZE_API_CLIENT_ACCESS": (3004, 1),
    "REMOVE_API_CLIENT_ACCESS": (3004, 4),
    "ADD_TO_TRUSTED_OAUTH2_APPS": (3004, 1),
    "REMOVE_FROM_TRUSTED_OAUTH2_APPS": (3004, 4),
}
_VERBS = {"CREATE": 1, "ADD": 1, "CHANGE": 3, "UPDATE": 3, "TOGGLE": 3, "DELETE": 4, "REMOVE": 4}
_CALLERS = {"USER": "Admin", "KEY": "Service"}
_ACTOR, _NETWORK = Actor(), NetworkInfo()


def to_event(record: Activity, hints: Hints) -> Event:
    if not record.events:
        raise Unmappable("wrong-shape", "the activity holds no event")
    first = record.events[0]
    kind = _KINDS.get(first.name)
    class_uid, activity_id = kind or (3004, _VERBS.get(first.name.partition("_")[0], 99))
    facts = {p.name: p.value for p in first.parameters or ()}
    actor = record.actor or _ACTOR
    network = record.networkInfo or _NETWORK
    email = facts.get("USER_EMAIL")
    setting = facts.get("SETTING_NAME") or facts.get("APPLICATION_NAME") or facts.get("SERVICE_NAME")
    event: Event = {
        "time": record.id.time,
        "class_uid": class_uid,
        "activity_id": activity_id,
        "activity_name": first.name if activity_id == 99 else None,
        "severity_id": 1,
        "status_id": 1,  # Google records what was done; refused changes are not logged
        "metadata_uid": record.id.uniqueQualifier,
        "metadata_event_code": first.name,
        "metadata_log_name": record.id.applicationName,
        "metadata_log_provider": first.type,
        "actor_user_name": actor.email or actor.key,
        "actor_user_email_addr": actor.email,
        "actor_user_uid": actor.profileId,
        "actor_user_domain": actor.email.rpartition("@")[2] if actor.email else None,
        "actor_user_type": _CALLERS.get(actor.callerType or "", actor.callerType),
        "user_name": email,
        "user_email_addr": email,
        "group_name": facts.get("GROUP_EMAIL") or facts.get("ROLE_NAME"),
        "resource_name": setting,
        "src_endpoint_ip": record.ipAddress,
        "src_endpoint_location_country": network.regionCode,
        "src_endpoint_autonomous_system_number": network.ipAsn[0] if network.ipAsn else None,
    }
    if class_uid == 3004:
        event["entity_name"] = setting or facts.get("ROLE_NAME") or facts.get("API_CLIENT_NAME")
        event["entity_type"] = first.type
        event["status_detail"] = facts.get("NEW_VALUE")
    return event


SOURCE = Source(
    id="google_admin",
    title=Text(ja="Google Workspace 管理監査", en="Google Workspace admin audit"),
    vendor="Google",
    product="Google Workspace",
    decode=Json(Activity),
    map=to_event,
    recognise=Recognise(
        marks=(b'"uniqueQualifier"', b'"events"', b'"applicationName"', b'"admin"'),
        sourcetypes=("gws:reports:admin", "gsuite:reports:admin"),
    ),
    reference="https://developers.google.com/workspace/admin/reports/v1/appendix/activity/admin-event-names",
    switch_on=Text(
        ja="Reports API（activities.list、applicationName=admin）で取り出す",
        en="Read it with the Reports API (activities.list, applicationName=admin)",
    ),
    advisory=("A2", "A3", "A8"),
    lag=7200,
    systems=("google",),
)
