"""Microsoft Entra ID sign-in and audit records, as Azure Monitor's diagnostic settings deliver them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sekisho.range.agents import zulu
from sekisho.range.dice import Dice
from sekisho.range.emit import Emitted, record
from sekisho.range.shapes_okta import Who
from sekisho.range.world import TENANT

REASONS = {
    0: "",
    50126: "Error validating credentials due to invalid username or password.",
    50034: "The user account does not exist in the directory.",
    50057: "User account is disabled. The account has been disabled by an administrator.",
    53003: "Access has been blocked by Conditional Access policies. "
    "The access policy does not allow token issuance.",
    50074: "Strong Authentication is required.",
}

_RESOURCE = f"/tenants/{TENANT}/providers/Microsoft.aadiam"


def _methods(time: datetime, right_secret: bool, mfa: bool) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [
        {
            "authenticationStepDateTime": zulu(time, 0),
            "authenticationMethod": "Password",
            "authenticationMethodDetail": "Password in the cloud",
            "succeeded": right_secret,
            "authenticationStepResultDetail": "Correct password" if right_secret else "Incorrect password",
            "authenticationStepRequirement": "Primary authentication",
        }
    ]
    if mfa:
        steps.append(
            {
                "authenticationStepDateTime": zulu(time, 0),
                "authenticationMethod": "Passkey (device-bound)",
                "authenticationMethodDetail": "",
                "succeeded": True,
                "authenticationStepResultDetail": "MFA completed in Azure AD",
                "authenticationStepRequirement": "Secondary authentication",
            }
        )
    return steps


def signin(
    dice: Dice,
    time: datetime,
    who: Who,
    app: str,
    *,
    error: int = 0,
    mfa: bool = True,
    interactive: bool = True,
    device: tuple[str, str] | None = None,
    session: str = "",
) -> Emitted:
    """A sign-in. ``device``: (id, name) of a managed PC."""
    correlation = dice.uid()
    failure = REASONS[error]
    device_id, device_name = device or ("", "")
    right_secret = error in (0, 53003, 50074)
    category = "SignInLogs" if interactive else "NonInteractiveUserSignInLogs"
    tree = {
        "time": zulu(time, 7),
        "resourceId": _RESOURCE,
        "operationName": "Sign-in activity",
        "operationVersion": "1.0",
        "category": category,
        "tenantId": TENANT,
        "resultType": str(error),
        "resultSignature": "SUCCESS" if not error else "FAILURE",
        "resultDescription": failure,
        "durationMs": 0,
        "callerIpAddress": who.address,
        "correlationId": correlation,
        "identity": who.display,
        "Level": 4,
        "location": who.country,
        "properties": {
            "id": dice.uid(),
            "createdDateTime": zulu(time, 7),
            "userDisplayName": who.display,
            "userPrincipalName": who.mail,
            "userId": who.uid,
            "appId": dice.uid(),
            "appDisplayName": app,
            "ipAddress": who.address,
            "status": {"errorCode": error, "failureReason": failure or "Other.", "additionalDetails": ""},
            "clientAppUsed": "Browser",
            "userAgent": who.agent,
            "deviceDetail": {
                "deviceId": device_id,
                "displayName": device_name,
                "operatingSystem": who.os,
                "browser": "Chrome 149.0.0",
                "isCompliant": bool(device),
                "isManaged": bool(device),
                "trustType": "Azure AD joined" if device else "",
            },
            "location": {
                "city": who.place,
                "state": "",
                "countryOrRegion": who.country,
                "geoCoordinates": {},
            },
            "correlationId": correlation,
            "conditionalAccessStatus": {0: "success", 53003: "failure"}.get(error, "notApplied"),
            "appliedConditionalAccessPolicies": [],
            "isInteractive": interactive,
            "tokenIssuerType": "AzureAD",
            "riskLevelDuringSignIn": "none",
            "riskState": "none",
            "authenticationDetails": _methods(time, right_secret, mfa and not error),
            "authenticationRequirement": "multiFactorAuthentication" if mfa else "singleFactorAuthentication",
            "resourceDisplayName": app,
            "resourceId": dice.uid(),
            "uniqueTokenIdentifier": dice.token(22),
            "sessionId": session or dice.uid(),
            "userType": "Member",
        },
    }
    return record(time, "entra-signin", tree)


def audit(
    dice: Dice,
    time: datetime,
    who: Who,
    activity: str,
    category: str,
    target: tuple[str, str, str],
    changed: tuple[tuple[str, str, str], ...] = (),
    reason: str = "",
) -> Emitted:
    """A directory change. ``target``: (type, id, name); ``changed``: (property, old, new)."""
    correlation = dice.uid()
    kind, uid, name = target
    tree = {
        "time": zulu(time, 7),
        "resourceId": _RESOURCE,
        "operationName": activity,
        "operationVersion": "1.0",
        "category": "AuditLogs",
        "tenantId": TENANT,
        "resultSignature": "None",
        "durationMs": 0,
        "callerIpAddress": who.address,
        "correlationId": correlation,
        "Level": 4,
        "properties": {
            "id": f"Directory_{correlation}_{dice.token(5)}",
            "category": category,
            "correlationId": correlation,
            "result": "success",
            "resultReason": reason,
            "activityDisplayName": activity,
            "activityDateTime": zulu(time, 7),
            "loggedByService": "Authentication Methods" if "security info" in activity else "Core Directory",
            "operationType": "Update",
            "userAgent": who.agent,
            "initiatedBy": {
                "user": {
                    "id": who.uid,
                    "displayName": who.display,
                    "userPrincipalName": who.mail,
                    "ipAddress": who.address,
                    "roles": [],
                }
            },
            "targetResources": [
                {
                    "id": uid,
                    "displayName": None if kind == "User" else name,
                    "type": kind,
                    "userPrincipalName": name if kind == "User" else None,
                    "modifiedProperties": [
                        {"displayName": prop, "oldValue": old, "newValue": new} for prop, old, new in changed
                    ],
                }
            ],
            "additionalDetails": [{"key": "User-Agent", "value": who.agent}],
        },
    }
    return record(time, "entra-audit", tree)
