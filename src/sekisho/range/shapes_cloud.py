"""Google Workspace reports, AWS CloudTrail, GitHub audit log and the wallet console's own OCSF log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sekisho.range.agents import millis, zulu
from sekisho.range.dice import Dice
from sekisho.range.emit import Emitted, record
from sekisho.range.world import AWS_ACCOUNT, Person

REGION = "ap-northeast-1"


def google(
    dice: Dice,
    time: datetime,
    application: str,
    mail: str,
    address: str,
    kind: str,
    name: str,
    parameters: tuple[dict[str, Any], ...],
) -> Emitted:
    """An activity of the Reports API; ``application`` is ``login`` or ``admin``."""
    tree = {
        "kind": "admin#reports#activity",
        "id": {
            "time": zulu(time),
            "uniqueQualifier": str(dice.getrandbits(62)),
            "applicationName": application,
            "customerId": "C00reiji0",
        },
        "etag": f'"{dice.token(20)}"',
        "actor": {"callerType": "USER", "email": mail, "profileId": str(dice.getrandbits(60))},
        "ipAddress": address,
        "events": [{"type": kind, "name": name, "parameters": list(parameters)}],
    }
    return record(time, f"google-{application}", tree)


def _aws_identity(who: str, key: str) -> dict[str, Any]:
    if who.startswith("role/"):
        role = who.removeprefix("role/")
        return {
            "type": "AssumedRole",
            "principalId": f"AROA{role.upper()[:8]:X<8}REIJI00:{role}",
            "arn": f"arn:aws:sts::{AWS_ACCOUNT}:assumed-role/{role}/{role}",
            "accountId": AWS_ACCOUNT,
            "accessKeyId": key,
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role",
                    "principalId": f"AROA{role.upper()[:8]:X<8}REIJI00",
                    "arn": f"arn:aws:iam::{AWS_ACCOUNT}:role/{role}",
                    "accountId": AWS_ACCOUNT,
                    "userName": role,
                },
                "attributes": {"mfaAuthenticated": "false"},
            },
        }
    return {
        "type": "IAMUser",
        "principalId": f"AIDA{who.upper()[:8]:X<8}REIJI000",
        "arn": f"arn:aws:iam::{AWS_ACCOUNT}:user/{who}",
        "accountId": AWS_ACCOUNT,
        "accessKeyId": key,
        "userName": who,
    }


def cloudtrail(
    dice: Dice,
    time: datetime,
    who: str,
    key: str,
    address: str,
    service: str,
    operation: str,
    *,
    agent: str = "aws-cli/2.27.0 md/awscrt#0.26.1 ua/2.1 os/linux lang/python#3.13.3",
    request: dict[str, Any] | None = None,
    response: dict[str, Any] | None = None,
    extra: dict[str, Any] | None = None,
) -> Emitted:
    """A management event. ``who``: an IAM user, or ``role/NAME``."""
    reading = operation.startswith(("Get", "List", "Describe", "Lookup", "Head"))
    tree = {
        "eventVersion": "1.11",
        "userIdentity": _aws_identity(who, key),
        "eventTime": zulu(time, 0),
        "eventSource": f"{service}.amazonaws.com",
        "eventName": operation,
        "awsRegion": REGION,
        "sourceIPAddress": address,
        "userAgent": agent,
        "requestParameters": request,
        "responseElements": response,
        "requestID": dice.uid(),
        "eventID": dice.uid(),
        "readOnly": reading,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": AWS_ACCOUNT,
        "eventCategory": "Management",
        **(extra or {}),
    }
    return record(time, "cloudtrail", tree)


def github(
    dice: Dice,
    time: datetime,
    action: str,
    actor: str,
    address: str,
    country: str,
    repo: str,
    **more: Any,
) -> Emitted:
    """An entry of the organisation's audit log (streamed form, times in milliseconds)."""
    tree = {
        "@timestamp": millis(time),
        "_document_id": dice.token(22),
        "action": action,
        "actor": actor,
        "actor_id": Dice(1, "github", actor).randrange(10_000_000, 99_999_999),
        "actor_ip": address,
        "actor_location": {"country_code": country},
        "business": "reiji-exchange",
        "created_at": millis(time),
        "operation_type": {"git.push": "modify", "git.clone": "access", "git.fetch": "access"}.get(
            action, "create"
        ),
        "org": "reiji-exchange",
        "org_id": 90000001,
        "repo": f"reiji-exchange/{repo}",
        "user_agent": "git/2.50.1",
        **more,
    }
    return record(time, "github", tree)


def wallet_login(
    dice: Dice, time: datetime, person: Person, address: str, agent: str, session: str, mfa: bool = True
) -> Emitted:
    """A login to the wallet console: OCSF 1.8 class 3002 Authentication."""
    tree = {
        "activity_id": 1,
        "category_uid": 3,
        "class_uid": 3002,
        "type_uid": 300201,
        "time": millis(time),
        "severity_id": 1,
        "status_id": 1,
        "status": "Success",
        "metadata": {
            "version": "1.8.0",
            "uid": dice.uid(),
            "log_name": "console-audit",
            "product": {"name": "Wallet Console", "vendor_name": "Reiji Exchange"},
        },
        "user": {
            "name": person.login,
            "uid": person.uid,
            "email_addr": person.mail,
            "type_id": 1,
            "type": "User",
        },
        "service": {"name": "Wallet Console"},
        "session": {"uid": session, "is_remote": True},
        "is_mfa": mfa,
        "is_remote": True,
        "auth_protocol_id": 5,
        "auth_protocol": "SAML",
        "auth_factors": [{"factor_type_id": 6, "factor_type": "WebAuthn"}] if mfa else [],
        "src_endpoint": {"ip": address},
        "dst_endpoint": {"hostname": "wallet.reiji.example", "svc_name": "Wallet Console"},
        "http_request": {"user_agent": agent},
    }
    return record(time, "wallet", tree)


def wallet_call(
    dice: Dice, time: datetime, person: Person, address: str, agent: str, session: str, operation: str
) -> Emitted:
    """A call inside the wallet console: OCSF 1.8 class 6003 API Activity."""
    activity = 2 if operation.startswith("wallet.list") or operation.endswith("view") else 1
    tree = {
        "activity_id": activity,
        "category_uid": 6,
        "class_uid": 6003,
        "type_uid": 600300 + activity,
        "time": millis(time),
        "severity_id": 1,
        "status_id": 1,
        "metadata": {
            "version": "1.8.0",
            "uid": dice.uid(),
            "log_name": "console-audit",
            "product": {"name": "Wallet Console", "vendor_name": "Reiji Exchange"},
        },
        "actor": {
            "user": {"name": person.login, "uid": person.uid, "email_addr": person.mail},
            "session": {"uid": session},
        },
        "api": {
            "operation": operation,
            "service": {"name": "Wallet Console"},
            "request": {"uid": dice.uid()},
        },
        "resources": [{"name": f"hot-wallet-{dice.randrange(1, 4)}", "type": "wallet"}],
        "src_endpoint": {"ip": address},
        "http_request": {"user_agent": agent},
    }
    return record(time, "wallet", tree)
