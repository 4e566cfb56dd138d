"""AWS CloudTrail: one event per record (a delivery file's ``Records`` are split by the receiver)."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

from msgspec import Struct

from sekisho.contract import Hints, Json, Recognise, Source
from sekisho.model import Text
from sekisho.ocsf import Event


class Attributes(Struct, gc=False):
    mfaAuthenticated: str | bool | None = None


class SessionContext(Struct, gc=False):
    attributes: Attributes | None = None


class Identity(Struct, gc=False):
    type: str | None = None
    principalId: str | None = None
    arn: str | None = None
    accountId: str | None = None
    accessKeyId: str | None = None
    userName: str | None = None
    invokedBy: str | None = None
    sessionContext: SessionContext | None = None


class Resource(Struct, gc=False):
    ARN: str | None = None
    type: str | None = None


class Parameters(Struct, gc=False):
    """The few that name whom or what a call is about; each service has its own shapes, hence Any."""

    userName: Any = None
    groupName: Any = None
    roleArn: Any = None
    roleName: Any = None
    policyArn: Any = None
    bucketName: Any = None
    secretId: Any = None
    instanceId: Any = None
    functionName: Any = None
    logGroupName: Any = None
    trailName: Any = None
    configurationRecorderName: Any = None
    name: Any = None


class Response(Struct, gc=False):
    ConsoleLogin: Any = None
    SwitchRole: Any = None


class Additional(Struct, gc=False):
    MFAUsed: Any = None


class Record(Struct, gc=False):
    eventTime: datetime
    eventSource: str
    eventName: str
    eventID: str | None = None
    eventType: str | None = None
    eventCategory: str | None = None
    userIdentity: Identity | None = None
    awsRegion: str | None = None
    sourceIPAddress: str | None = None
    userAgent: str | None = None
    errorCode: str | None = None
    errorMessage: str | None = None
    requestID: str | None = None
    sharedEventID: str | None = None
    recipientAccountId: str | None = None
    readOnly: bool | str | None = None
    resources: list[Resource] | None = None
    requestParameters: Parameters | None = None
    responseElements: Response | None = None
    additionalEventData: Additional | None = None


#: Calls that are more than an API call. Everything else is 6003 with the verb's activity.
_KINDS: dict[tuple[str, str], tuple[int, int]] = {
    ("signin.amazonaws.com", "ConsoleLogin"): (3002, 1),
    ("signin.amazonaws.com", "SwitchRole"): (3002, 7),
    ("signin.amazonaws.com", "CheckMfa"): (3002, 99),
    ("signin.amazonaws.com", "ExitRole"): (3002, 2),
    ("signin.amazonaws.com", "PasswordRecoveryRequested"): (3001, 99),
    ("signin.amazonaws.com", "PasswordRecoveryCompleted"): (3001, 4),
    ("signin.amazonaws.com", "PasswordUpdated"): (3001, 3),
    ("signin.amazonaws.com", "EmailUpdated"): (3001, 99),
    ("sso.amazonaws.com", "Authenticate"): (3002, 1),
    ("signin.amazonaws.com", "UserAuthentication"): (3002, 1),
    ("signin.amazonaws.com", "CredentialVerification"): (3002, 99),
    ("signin.amazonaws.com", "CredentialChallenge"): (3002, 99),
    ("sts.amazonaws.com", "AssumeRole"): (3002, 3),
    ("sts.amazonaws.com", "AssumeRoleWithSAML"): (3002, 1),
    ("sts.amazonaws.com", "AssumeRoleWithWebIdentity"): (3002, 1),
    ("sts.amazonaws.com", "AssumeRoot"): (3002, 3),
    ("sts.amazonaws.com", "GetSessionToken"): (3002, 3),
    ("sts.amazonaws.com", "GetFederationToken"): (3002, 3),
    ("iam.amazonaws.com", "CreateUser"): (3001, 1),
    ("iam.amazonaws.com", "DeleteUser"): (3001, 6),
    ("iam.amazonaws.com", "CreateLoginProfile"): (3001, 2),
    ("iam.amazonaws.com", "UpdateLoginProfile"): (3001, 4),
    ("iam.amazonaws.com", "DeleteLoginProfile"): (3001, 5),
    ("iam.amazonaws.com", "ChangePassword"): (3001, 3),
    ("iam.amazonaws.com", "CreateAccessKey"): (3001, 99),
    ("iam.amazonaws.com", "UpdateAccessKey"): (3001, 99),
    ("iam.amazonaws.com", "DeleteAccessKey"): (3001, 99),
    ("iam.amazonaws.com", "UploadSSHPublicKey"): (3001, 99),
    ("iam.amazonaws.com", "AttachUserPolicy"): (3001, 7),
    ("iam.amazonaws.com", "PutUserPolicy"): (3001, 7),
    ("iam.amazonaws.com", "DetachUserPolicy"): (3001, 8),
    ("iam.amazonaws.com", "DeleteUserPolicy"): (3001, 8),
    ("iam.amazonaws.com", "EnableMFADevice"): (3001, 10),
    ("iam.amazonaws.com", "DeactivateMFADevice"): (3001, 11),
    ("iam.amazonaws.com", "DeleteVirtualMFADevice"): (3001, 11),
    ("iam.amazonaws.com", "AddUserToGroup"): (3006, 3),
    ("iam.amazonaws.com", "RemoveUserFromGroup"): (3006, 4),
    ("iam.amazonaws.com", "CreateGroup"): (3006, 6),
    ("iam.amazonaws.com", "DeleteGroup"): (3006, 5),
    ("iam.amazonaws.com", "AttachGroupPolicy"): (3006, 1),
    ("iam.amazonaws.com", "PutGroupPolicy"): (3006, 1),
    ("iam.amazonaws.com", "DetachGroupPolicy"): (3006, 2),
    ("cloudtrail.amazonaws.com", "StopLogging"): (1008, 7),
    ("cloudtrail.amazonaws.com", "StartLogging"): (1008, 6),
    ("cloudtrail.amazonaws.com", "DeleteTrail"): (1008, 2),
    ("cloudtrail.amazonaws.com", "DeleteEventDataStore"): (1008, 2),
    ("cloudtrail.amazonaws.com", "StopEventDataStoreIngestion"): (1008, 7),
    ("cloudtrail.amazonaws.com", "UpdateTrail"): (1008, 99),
    ("cloudtrail.amazonaws.com", "PutEventSelectors"): (1008, 99),
    ("cloudtrail.amazonaws.com", "PutInsightSelectors"): (1008, 99),
    ("ec2.amazonaws.com", "DeleteFlowLogs"): (1008, 2),
    ("logs.amazonaws.com", "DeleteLogGroup"): (1008, 2),
    ("logs.amazonaws.com", "DeleteLogStream"): (1008, 2),
    ("config.amazonaws.com", "StopConfigurationRecorder"): (1008, 7),
    ("config.amazonaws.com", "DeleteConfigurationRecorder"): (1008, 2),
}
_READ = (
    "Get",
    "List",
    "Describe",
    "Lookup",
    "Head",
    "Batch",
    "Search",
    "View",
    "Check",
    "Download",
    "Select",
)
_CREATE = (
    "Create",
    "Run",
    "Add",
    "Put",
    "Attach",
    "Import",
    "Upload",
    "Register",
    "Issue",
    "Allocate",
    "Share",
)
_DELETE = ("Delete", "Remove", "Terminate", "Detach", "Deregister", "Release", "Purge", "Revoke")
_UPDATE = (
    "Update",
    "Modify",
    "Set",
    "Change",
    "Enable",
    "Disable",
    "Replace",
    "Tag",
    "Untag",
    "Reset",
    "Associate",
)

_TYPES = {"Root": "Admin", "IAMUser": "User", "AWSService": "Service", "AWSAccount": "System"}
_NAMES = (
    "bucketName",
    "secretId",
    "functionName",
    "instanceId",
    "logGroupName",
    "trailName",
    "configurationRecorderName",
    "roleName",
    "name",
    "groupName",
    "userName",
)
_ARNS = ("policyArn", "roleArn")
_IDENTITY, _SESSION, _ATTRIBUTES, _PARAMETERS = Identity(), SessionContext(), Attributes(), Parameters()


@lru_cache(maxsize=4096)
def _kind(source: str, name: str, read_only: bool) -> tuple[int, int]:
    kind = _KINDS.get((source, name))
    if kind is not None:
        return kind
    if read_only or name.startswith(_READ):
        return 6003, 2
    for activity, verbs in ((1, _CREATE), (4, _DELETE), (3, _UPDATE)):
        if name.startswith(verbs):
            return 6003, activity
    return 6003, 99


def _flag(value: str | bool | None) -> bool | None:
    """CloudTrail writes truth as ``true``, ``"true"`` or ``"Yes"``."""
    if isinstance(value, str):
        return {"true": True, "yes": True, "false": False, "no": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def _name(identity: Identity) -> str | None:
    """User name; of a role session the session's name, which says who took the role."""
    if identity.userName is not None:
        return identity.userName
    if identity.type == "Root":
        return "root"
    if identity.type == "AssumedRole" and identity.principalId:
        return identity.principalId.rpartition(":")[2]
    return identity.invokedBy or identity.principalId


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def to_event(record: Record, hints: Hints) -> Event:
    identity = record.userIdentity or _IDENTITY
    session = identity.sessionContext or _SESSION
    parameters = record.requestParameters or _PARAMETERS
    class_uid, activity_id = _kind(record.eventSource, record.eventName, _flag(record.readOnly) is True)
    address = record.sourceIPAddress or ""
    is_address = address[:1].isdigit() or ":" in address
    resource = record.resources[0] if record.resources else None
    event: Event = {
        "time": record.eventTime,
        "class_uid": class_uid,
        "activity_id": activity_id,
        "activity_name": record.eventName if activity_id == 99 else None,
        "severity_id": 1,
        "status_id": 2 if record.errorCode or record.errorMessage else 1,
        "status_code": record.errorCode,
        "status_detail": record.errorMessage,
        "metadata_uid": record.eventID,
        "metadata_event_code": record.eventName,
        "metadata_log_name": record.eventCategory,
        "metadata_log_provider": record.eventType,
        "metadata_correlation_uid": record.sharedEventID,
        "actor_user_name": _name(identity),
        "actor_user_uid": identity.arn or identity.principalId or None,
        "actor_user_domain": identity.accountId,
        "actor_user_type": _TYPES.get(identity.type or "", identity.type),
        "actor_user_credential_uid": identity.accessKeyId or None,
        "actor_session_is_mfa": _flag((session.attributes or _ATTRIBUTES).mfaAuthenticated),
        "src_endpoint_ip": address if is_address else None,
        "src_endpoint_hostname": None if is_address else address or None,
        "http_request_user_agent": record.userAgent,
        "api_operation": record.eventName,
        "api_service_name": record.eventSource,
        "api_request_uid": record.requestID,
        "api_response_error": record.errorCode,
        "cloud_provider": "AWS",
        "cloud_account_uid": record.recipientAccountId or identity.accountId,
        "cloud_region": record.awsRegion,
        "resource_uid": (resource.ARN if resource else None) or _first(parameters, _ARNS),
        "resource_type": resource.type if resource else None,
        "resource_name": _first(parameters, _NAMES),
    }
    if class_uid == 3002:
        _sign_in(event, record, identity)
    elif class_uid in (3001, 3006):
        event["user_name"] = _text(parameters.userName) or (
            _name(identity) if record.eventName in ("ChangePassword", "PasswordUpdated") else None
        )
        event["group_name"] = _text(parameters.groupName)
    return event


def _first(parameters: Parameters, names: tuple[str, ...]) -> str | None:
    for name in names:
        value = getattr(parameters, name)
        if isinstance(value, str) and value:
            return value
    return None


def _sign_in(event: Event, record: Record, identity: Identity) -> None:
    """Sign-ins are about ``user``; what an unknown name typed into the console is, AWS withholds."""
    event["user_name"] = event["actor_user_name"]
    event["user_uid"] = event["actor_user_uid"]
    event["user_type"] = event["actor_user_type"]
    event["user_domain"] = identity.accountId
    event["is_remote"] = True
    if record.eventSource == "sts.amazonaws.com":
        event["service_name"] = "AWS STS"
        return
    event["service_name"] = "AWS Management Console"
    response = record.responseElements
    outcome = _text(response.ConsoleLogin or response.SwitchRole) if response else None
    if outcome is not None:
        event["status"] = outcome
        event["status_id"] = 1 if outcome == "Success" else 2
    if record.eventName == "ConsoleLogin" and record.additionalEventData:
        event["is_mfa"] = _flag(record.additionalEventData.MFAUsed)
        if identity.type == "AssumedRole" and event["is_mfa"] is False:
            # federated: the second factor is asked for by the identity provider, AWS cannot know
            event["is_mfa"] = None


SOURCE = Source(
    id="cloudtrail",
    title=Text(ja="AWS CloudTrail", en="AWS CloudTrail"),
    vendor="Amazon Web Services",
    product="CloudTrail",
    decode=Json(Record),
    map=to_event,
    recognise=Recognise(
        marks=(b'"eventVersion"', b'"eventSource"', b'"eventName"', b'"awsRegion"'),
        sourcetypes=("aws:cloudtrail",),
    ),
    reference="https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference.html",
    switch_on=Text(
        ja="CloudTrail で全リージョンの証跡を作り、S3（または CloudWatch Logs）から取り込む",
        en="Create a trail for all regions in CloudTrail and take it in from S3 (or CloudWatch Logs)",
    ),
    advisory=("A2", "A3", "A6", "A8", "A9", "A10"),
    lag=1200,
    systems=("aws",),
)
