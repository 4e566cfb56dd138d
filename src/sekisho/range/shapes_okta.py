"""Okta System Log records (LogEvent, Okta's System Log API reference)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sekisho.range.agents import COUNTRY_NAMES, zulu
from sekisho.range.dice import Dice
from sekisho.range.emit import Emitted, record

DISPLAY = {
    "user.session.start": "User login to Okta",
    "user.session.end": "User logout from Okta",
    "user.authentication.auth_via_mfa": "Authentication of user via MFA",
    "user.authentication.sso": "User single sign on to app",
    "policy.evaluate_sign_on": "Evaluation of sign-on policy",
    "user.mfa.factor.deactivate": "Reset factor for user",
    "user.mfa.factor.activate": "Activate factor or authenticator enrollment method for user",
    "system.api_token.create": "Create API token",
    "user.account.lock": "Max sign in attempts exceeded",
    "system.import.start": "Start import of users",
    "app.oauth2.token.grant.access_token": "OIDC access token is granted",
}


class Who(NamedTuple):
    """The actor as Okta names it, and where he seems to be."""

    uid: str
    mail: str
    display: str
    address: str
    agent: str
    os: str
    country: str = "JP"
    place: str = "Tokyo"
    kind: str = "User"


def _client(who: Who, country: str) -> dict[str, Any]:
    phone = "iPhone" in who.agent
    return {
        "userAgent": {
            "rawUserAgent": who.agent,
            "os": "iOS" if phone else who.os,
            "browser": "SAFARI" if phone else "CHROME",
        },
        "zone": "null",
        "device": "Mobile" if phone else "Computer",
        "id": None,
        "ipAddress": who.address,
        "geographicalContext": {
            "city": who.place,
            "state": None,
            "country": country,
            "postalCode": None,
            "geolocation": None,
        },
    }


def okta(
    dice: Dice,
    time: datetime,
    who: Who,
    event: str,
    *,
    session: str = "",
    result: str = "SUCCESS",
    reason: str | None = None,
    debug: dict[str, str] | None = None,
    targets: tuple[tuple[str, str, str, str], ...] = (),
    credential: str | None = None,
    step: int = 0,
    stream: str = "okta",
) -> Emitted:
    """One LogEvent. ``targets``: (id, type, alternateId, displayName)."""
    country = COUNTRY_NAMES.get(who.country, who.country)
    tree = {
        "actor": {
            "id": who.uid,
            "type": who.kind,
            "alternateId": who.mail,
            "displayName": who.display,
            "detailEntry": None,
        },
        "client": _client(who, country),
        "device": None,
        "authenticationContext": {
            "authenticationProvider": None,
            "credentialProvider": "OKTA_CREDENTIAL_PROVIDER" if credential else None,
            "credentialType": credential,
            "issuer": None,
            "interface": None,
            "authenticationStep": step,
            "rootSessionId": session or "unknown",
            "externalSessionId": session or "unknown",
        },
        "displayMessage": DISPLAY[event],
        "eventType": event,
        "outcome": {"result": result, "reason": reason},
        "published": zulu(time),
        "securityContext": {"asNumber": None, "asOrg": None, "isp": None, "domain": None, "isProxy": False},
        "severity": "INFO" if result in ("SUCCESS", "ALLOW") else "WARN",
        "debugContext": {
            "debugData": {"requestId": dice.token(27), "requestUri": "/idp/idx/identify", **(debug or {})}
        },
        "legacyEventType": None,
        "transaction": {"type": "WEB", "id": dice.token(27), "detail": {}},
        "uuid": dice.uid(),
        "version": "0",
        "request": {
            "ipChain": [
                {
                    "ip": who.address,
                    "geographicalContext": {"city": who.place, "country": country},
                    "version": "V6" if ":" in who.address else "V4",
                    "source": None,
                }
            ]
        },
        "target": [
            {"id": uid, "type": kind, "alternateId": alternate, "displayName": name, "detailEntry": None}
            for uid, kind, alternate, name in targets
        ],
    }
    return record(time, stream, tree)
