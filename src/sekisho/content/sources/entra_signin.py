"""Microsoft Entra ID sign-ins: Graph ``signIn`` JSON, or the same in the Azure diagnostic envelope."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct, field

from sekisho.contract import Hints, Json, Recognise, Source, Unmappable
from sekisho.model import Text
from sekisho.ocsf import Event


class Status(Struct, gc=False):
    errorCode: int | str | None = None
    failureReason: str | None = None
    additionalDetails: str | None = None


class Device(Struct, gc=False):
    deviceId: str | None = None
    displayName: str | None = None
    operatingSystem: str | None = None
    isManaged: bool | None = None


class Location(Struct, gc=False):
    city: str | None = None
    countryOrRegion: str | None = None


class Step(Struct, gc=False):
    authenticationMethod: str | None = None
    succeeded: bool | None = None
    authenticationStepResultDetail: str | None = None


class Policy(Struct, gc=False):
    displayName: str | None = None
    result: str | None = None


class SignIn(Struct, gc=False):
    createdDateTime: datetime | None = None
    id: str | None = None
    userDisplayName: str | None = None
    userPrincipalName: str | None = None
    userId: str | None = None
    userType: str | None = None
    appDisplayName: str | None = None
    appId: str | None = None
    ipAddress: str | None = None
    clientAppUsed: str | None = None
    userAgent: str | None = None
    correlationId: str | None = None
    sessionId: str | None = None
    conditionalAccessStatus: int | str | None = None
    appliedConditionalAccessPolicies: list[Policy] | None = None
    isInteractive: bool | None = None
    signInEventTypes: list[str] | None = None
    authenticationRequirement: str | None = None
    authenticationDetails: list[Step] | None = None
    authenticationProtocol: str | None = None
    status: Status | None = None
    deviceDetail: Device | None = None
    #: the diagnostic envelope has a country code of the same name beside its properties
    location: Location | str | None = None
    autonomousSystemNumber: int | None = None
    riskLevelDuringSignIn: str | None = None
    servicePrincipalId: str | None = None
    servicePrincipalName: str | None = None
    servicePrincipalCredentialKeyId: str | None = None
    resourceDisplayName: str | None = None
    resourceId: str | None = None


class Record(SignIn, gc=False):
    """Graph's object, or the envelope ``{"category": ..., "properties": {...}}`` around it."""

    time: datetime | None = None
    category: str | None = None
    tenant: str | None = field(default=None, name="tenantId")
    properties: SignIn | None = None


#: Not a refusal: the user is sent to the next step (password or cookie was right).
_INTERRUPTED = frozenset([50055, 50072, 50074, 50076, 50079, 50125, 50129, 50140, 50158, 50203, 65001])

_KINDS = {
    "NonInteractiveUserSignInLogs": "NonInteractive",
    "nonInteractiveUser": "NonInteractive",
    "ServicePrincipalSignInLogs": "ServicePrincipal",
    "servicePrincipal": "ServicePrincipal",
    "ManagedIdentitySignInLogs": "ManagedIdentity",
    "managedIdentity": "ManagedIdentity",
    "SignInLogs": "Interactive",
    "interactiveUser": "Interactive",
}

#: One step that is two factors in itself (possession and PIN or biometry).
_STRONG = frozenset(
    [
        "FIDO2 security key",
        "Passkey",
        "Passkey (device-bound)",
        "Passkey (Microsoft Authenticator)",
        "Passkey (synced)",
        "Windows Hello for Business",
        "X.509 Certificate (multifactor)",
        "Passwordless phone sign-in",
    ]
)
_CLAIM = "MFA requirement satisfied by claim in the token"

_RISK = {"none": None, "hidden": None}
_PROTOCOL: dict[str, str | None] = {"none": None}
_STATUS, _DEVICE, _LOCATION = Status(), Device(), Location()


def _logon_type(record: Record, sign_in: SignIn) -> str | None:
    kind = _KINDS.get(record.category or "")
    if kind is None and sign_in.signInEventTypes:
        kind = _KINDS.get(sign_in.signInEventTypes[0])
    if kind is None and sign_in.isInteractive is not None:
        kind = "Interactive" if sign_in.isInteractive else "NonInteractive"
    if kind is None and sign_in.servicePrincipalId and not sign_in.userId:
        kind = "ServicePrincipal"
    return kind


def _is_mfa(sign_in: SignIn, succeeded: bool, interactive: bool) -> bool | None:
    """True or False only where the record says so.

    The requirement alone is what policy asked for; a demanded factor was given if the sign-in
    succeeded. "Single factor" says that none was *asked for*: the steps tell whether one was given.
    """
    steps = sign_in.authenticationDetails or ()
    passed = {step.authenticationMethod for step in steps if step.succeeded}
    passed.discard("Previously satisfied")
    if passed & _STRONG or len(passed) >= 2:
        return True
    if any(step.authenticationStepResultDetail == _CLAIM for step in steps):
        return True
    if not succeeded:
        return None
    if sign_in.authenticationRequirement == "multiFactorAuthentication":
        return True
    if sign_in.authenticationRequirement == "singleFactorAuthentication" and interactive:
        return False if passed or not steps else None
    return None


def _status(code: int | None) -> tuple[int, str | None]:
    if code is None:
        return 0, None
    if code == 0:
        return 1, "Success"
    return (99, "Interrupted") if code in _INTERRUPTED else (2, "Failure")


def _code(status: Status) -> int | None:
    code = status.errorCode
    if isinstance(code, str):
        return int(code) if code.isascii() and code.isdigit() else None
    return code


def to_event(record: Record, hints: Hints) -> Event:
    sign_in = record.properties or record
    if sign_in.userId is None and sign_in.servicePrincipalId is None and sign_in.userPrincipalName is None:
        raise Unmappable("wrong-shape", "names neither userId, userPrincipalName nor servicePrincipalId")
    status = sign_in.status or _STATUS
    code = _code(status)
    status_id, word = _status(code)
    device = sign_in.deviceDetail or _DEVICE
    location = sign_in.location if isinstance(sign_in.location, Location) else _LOCATION
    kind = _logon_type(record, sign_in)
    blocked = sign_in.conditionalAccessStatus in ("failure", 1)
    event: Event = {
        "time": sign_in.createdDateTime or record.time,
        "class_uid": 3002,
        "activity_id": 1,
        "severity_id": 1,
        "status_id": status_id,
        "status": word,
        "status_code": None if code is None else str(code),
        "status_detail": (status.failureReason if code else status.additionalDetails) or None,
        "metadata_uid": sign_in.id,
        "metadata_event_code": record.category,
        "metadata_correlation_uid": sign_in.correlationId,
        "session_uid": sign_in.sessionId or None,
        "is_remote": True,
        "is_mfa": _is_mfa(sign_in, status_id == 1, kind == "Interactive"),
        "auth_protocol": _PROTOCOL.get(
            sign_in.authenticationProtocol or "none", sign_in.authenticationProtocol
        ),
        "auth_factors": _factors(sign_in),
        "logon_type": kind,
        "service_name": sign_in.appDisplayName,
        "service_uid": sign_in.appId,
        "resource_name": sign_in.resourceDisplayName or None,
        "resource_uid": sign_in.resourceId or None,
        "src_endpoint_ip": sign_in.ipAddress or None,
        "src_endpoint_uid": device.deviceId or None,
        "src_endpoint_hostname": device.displayName or None,
        "src_endpoint_os_name": device.operatingSystem or None,
        "src_endpoint_location_country": location.countryOrRegion or None,
        "src_endpoint_location_city": location.city or None,
        "src_endpoint_autonomous_system_number": sign_in.autonomousSystemNumber,
        "device_is_managed": device.isManaged,
        "http_request_user_agent": sign_in.userAgent or None,
        "actor_app_name": sign_in.clientAppUsed or None,
        "risk_level": _RISK.get(sign_in.riskLevelDuringSignIn or "none", sign_in.riskLevelDuringSignIn),
        "user_domain": record.tenant,
    }
    if blocked:
        event["disposition_id"] = 2
        event["policy_name"] = next(
            (p.displayName for p in sign_in.appliedConditionalAccessPolicies or () if p.result == "failure"),
            None,
        )
    if kind in ("ServicePrincipal", "ManagedIdentity"):
        event["user_name"] = sign_in.servicePrincipalName
        event["user_uid"] = sign_in.servicePrincipalId
        event["user_type"] = "Service"
        event["actor_user_credential_uid"] = sign_in.servicePrincipalCredentialKeyId or None
    else:
        name = sign_in.userPrincipalName
        event["user_name"] = name
        event["user_email_addr"] = name if name and "@" in name else None
        event["user_uid"] = sign_in.userId
        event["user_full_name"] = sign_in.userDisplayName
        event["user_type"] = sign_in.userType or "User"
    return event


def _factors(sign_in: SignIn) -> str | None:
    names = [s.authenticationMethod for s in sign_in.authenticationDetails or () if s.authenticationMethod]
    return ", ".join(names) or None


SOURCE = Source(
    id="entra_signin",
    title=Text(ja="Microsoft Entra ID サインインログ", en="Microsoft Entra ID sign-in logs"),
    vendor="Microsoft",
    product="Entra ID",
    decode=Json(Record),
    map=to_event,
    recognise=Recognise(
        marks=(b'"appDisplayName"', b'"correlationId"', b'"errorCode"'),
        sourcetypes=("azure:aad:signin", "azure:monitor:aad"),
    ),
    reference="https://learn.microsoft.com/en-us/graph/api/resources/signin",
    switch_on=Text(
        ja="Entra 管理センター［監視と正常性］→［診断設定］で SignInLogs、NonInteractiveUserSignInLogs、"
        "ServicePrincipalSignInLogs、ManagedIdentitySignInLogs を Event Hubs に送る",
        en="Entra admin center, Monitoring & health > Diagnostic settings: send SignInLogs, "
        "NonInteractiveUserSignInLogs, ServicePrincipalSignInLogs and ManagedIdentitySignInLogs to Event Hubs",
    ),
    advisory=("A2", "A3", "A4", "A6", "A7", "A8", "A9"),
    lag=1800,
    systems=("entra", "microsoft365"),
)
