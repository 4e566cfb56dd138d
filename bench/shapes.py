"""Log records at the size and shape of the real ones, unique, in bulk: what the benchmarks send.

Documentation addresses and domains only. Each shape is a template with places for the number and the
time; 2,000 users, 1,500 addresses, so that tables and caches meet a realistic variety.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

_OKTA = (
    b'{"actor":{"id":"00u%(user)08d","type":"User","alternateId":"emp%(user)04d@reiji.example","displayName":'
    b'"Employee %(user)d","detailEntry":null},"client":{"userAgent":{"rawUserAgent":"Mozilla/5.0 (Windows NT 10.0; '
    b'Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/153.0.0.0 Safari/537.36","os":"Windows 10",'
    b'"browser":"CHROME"},"zone":"null","device":"Computer","id":null,"ipAddress":"203.0.113.%(ip)d",'
    b'"geographicalContext":{"city":"Chiyoda","state":"Tokyo","country":"Japan","postalCode":"100-0001","geolocation":'
    b'{"lat":35.69,"lon":139.75}}},"device":null,"authenticationContext":{"authenticationProvider":null,'
    b'"credentialProvider":null,"credentialType":null,"issuer":null,"interface":null,"authenticationStep":0,'
    b'"externalSessionId":"102%(number)022d"},"displayMessage":"User login to Okta","eventType":"user.session.start",'
    b'"outcome":{"result":"SUCCESS","reason":null},"published":"%(time)s","securityContext":{"asNumber":64500,'
    b'"asOrg":"example net","isp":"example","domain":"isp.example","isProxy":false},"severity":"INFO","debugContext":'
    b'{"debugData":{"requestId":"r%(number)020d","dtHash":"5d1c%(user)060d","requestUri":"/api/v1/authn",'
    b'"threatSuspected":"false","url":"/api/v1/authn?"}},"legacyEventType":"core.user_auth.login_success",'
    b'"transaction":{"type":"WEB","id":"t%(number)020d","detail":{}},"uuid":"dc9fd3c0-598c-11ef-8478-%(number)012d",'
    b'"version":"0","request":{"ipChain":[{"ip":"203.0.113.%(ip)d","geographicalContext":null,"version":"V4",'
    b'"source":null}]},"target":[{"id":"0oa1","type":"AppInstance","alternateId":"Wallet Console","displayName":'
    b'"Wallet Console","detailEntry":null}]}'
)
_CLOUDTRAIL = (
    b'{"eventVersion":"1.08","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE:emp%(user)04d","arn":'
    b'"arn:aws:sts::111122223333:assumed-role/Developer/emp%(user)04d","accountId":"111122223333","accessKeyId":'
    b'"ASIAEXAMPLE%(user)09d","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLE","arn":'
    b'"arn:aws:iam::111122223333:role/Developer","accountId":"111122223333","userName":"Developer"},'
    b'"webIdFederationData":{},"attributes":{"creationDate":"%(time)s","mfaAuthenticated":"true"}}},"eventTime":'
    b'"%(time)s","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"ap-northeast-1",'
    b'"sourceIPAddress":"198.51.100.%(ip)d","userAgent":"[aws-cli/2.15.0 Python/3.11 Linux]","requestParameters":'
    b'{"bucketName":"reiji-reports","Host":"reiji-reports.s3.example","key":"daily/%(number)012d.csv"},'
    b'"responseElements":null,"additionalEventData":{"SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256",'
    b'"bytesTransferredIn":0,"bytesTransferredOut":%(number)d,"AuthenticationMethod":"AuthHeader"},"requestID":'
    b'"R%(number)015d","eventID":"8f5a1c2e-0000-4000-8000-%(number)012d","readOnly":true,"resources":[{"type":'
    b'"AWS::S3::Object","ARN":"arn:aws:s3:::reiji-reports/daily/%(number)012d.csv"}],"eventType":"AwsApiCall",'
    b'"managementEvent":false,"recipientAccountId":"111122223333","eventCategory":"Data"}'
)
_WINDOWS = (
    b'{"@timestamp":"%(time)s","host":{"name":"tyo-pc-%(user)04d.reiji.example"},"event":{"code":"4624","kind":"event",'
    b'"provider":"Microsoft-Windows-Security-Auditing","outcome":"success","action":"logged-in"},"log":{"level":'
    b'"information"},"winlog":{"record_id":%(number)d,"event_id":"4624","channel":"Security","provider_name":'
    b'"Microsoft-Windows-Security-Auditing","provider_guid":"{54849625-5478-4994-A5BA-3E3B0328C30D}","computer_name":'
    b'"tyo-pc-%(user)04d.reiji.example","opcode":"Info","task":"Logon","keywords":["Audit Success"],"version":2,'
    b'"api":"wineventlog","process":{"pid":712,"thread":{"id":4180}},"activity_id":'
    b'"{1f0e2a34-0000-0000-0000-%(number)012d}","event_data":{"SubjectUserSid":"S-1-5-18","SubjectUserName":'
    b'"TYO-PC-%(user)04d$","SubjectDomainName":"REIJI","SubjectLogonId":"0x3e7","TargetUserSid":'
    b'"S-1-5-21-1004336348-1177238915-682003330-%(user)d","TargetUserName":"emp%(user)04d","TargetDomainName":"REIJI",'
    b'"TargetLogonId":"0x%(number)x","LogonType":"7","LogonProcessName":"User32 ","AuthenticationPackageName":'
    b'"Negotiate","WorkstationName":"TYO-PC-%(user)04d","LogonGuid":"{00000000-0000-0000-0000-000000000000}",'
    b'"TransmittedServices":"-","LmPackageName":"-","KeyLength":"0","ProcessId":"0x2c8","ProcessName":'
    b'"C:\\\\Windows\\\\System32\\\\lsass.exe","IpAddress":"192.0.2.%(ip)d","IpPort":"0","ImpersonationLevel":"%%1833",'
    b'"ElevatedToken":"%%1843"}},"message":"An account was successfully logged on.","agent":{"type":"winlogbeat",'
    b'"version":"8.17.0"},"ecs":{"version":"8.0.0"}}'
)
_SSHD = (
    b"<86>1 %(time)s bastion-1 sshd %(port)d - - Accepted publickey for emp%(user)04d from 203.0.113.%(ip)d port %(port)d"
    b" ssh2: ED25519 SHA256:%(number)043d"
)

#: by source id
SHAPES: dict[str, bytes] = {
    "okta": _OKTA,
    "cloudtrail": _CLOUDTRAIL,
    "windows": _WINDOWS,
    "openssh": _SSHD,
}


def record(source: str, number: int, at: datetime) -> bytes:
    """Record ``number`` of this source at this time (UTC)."""
    return SHAPES[source] % {
        b"number": number,
        b"user": number * 7919 % 2000,
        b"ip": number * 104729 % 254 + 1,
        b"port": number % 60000 + 1024,
        b"time": at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3].encode() + b"Z",
    }


def records(
    source: str, count: int, *, start: int = 0, at: datetime | None = None, per_second: float = 20_000
) -> list[bytes]:
    """``count`` records, their times advancing at ``per_second`` from ``at`` (default: now)."""
    begin = at or datetime.now(tz=UTC)
    return [record(source, start + i, begin + timedelta(seconds=i / per_second)) for i in range(count)]


def mixed(
    batch: int, clock: Callable[[], datetime], sources: tuple[str, ...] = ("okta", "cloudtrail", "windows")
) -> Iterator[tuple[str, bytes]]:
    """Endless (source, NDJSON body of ``batch`` records), sources in turn."""
    number = 0
    while True:
        for source in sources:
            yield source, b"\n".join(records(source, batch, start=number, at=clock()))
            number += batch
