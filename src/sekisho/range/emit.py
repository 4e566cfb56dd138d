"""What comes out of the range: vendor records in named streams."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

#: How a stream reaches the platform. ``hec`` Splunk HEC event, ``bulk`` Elasticsearch ``_bulk``,
#: ``otlp`` OTLP/HTTP logs, ``ndjson`` NDJSON POST, ``syslog`` syslog over TCP.
Transport = Literal["hec", "bulk", "otlp", "ndjson", "syslog"]


class Stream(NamedTuple):
    """``product`` names what writes it; ``label`` the source type or index that a shipper would give."""

    transport: Transport
    product: str
    label: str


STREAMS: dict[str, Stream] = {
    "okta": Stream("hec", "Okta System Log", "OktaIM2:log"),
    "okta-api": Stream("ndjson", "Okta System Log", "okta"),
    "entra-signin": Stream("bulk", "Microsoft Entra ID sign-in logs", "logs-azure.signinlogs"),
    "entra-audit": Stream("bulk", "Microsoft Entra ID audit logs", "logs-azure.auditlogs"),
    "google-login": Stream("ndjson", "Google Workspace login", "google_login"),
    "google-admin": Stream("ndjson", "Google Workspace admin", "google_admin"),
    "cloudtrail": Stream("otlp", "AWS CloudTrail", "cloudtrail"),
    "github": Stream("hec", "GitHub audit log", "github:enterprise:audit"),
    "windows": Stream("bulk", "Windows Security and System (Winlogbeat)", "winlogbeat"),
    "sysmon": Stream("bulk", "Sysmon (Winlogbeat)", "winlogbeat-sysmon"),
    "windows-xml": Stream("hec", "Windows Security (event XML)", "XmlWinEventLog"),
    "crowdstrike": Stream("hec", "EDR, CrowdStrike-shaped", "CrowdStrike:Event:Streams:JSON"),
    "defender": Stream("otlp", "EDR, Defender-shaped", "defender"),
    "squid": Stream("syslog", "Squid proxy", "squid"),
    "bind": Stream("syslog", "BIND query log", "named"),
    "unbound": Stream("syslog", "Unbound query log", "unbound"),
    "linux": Stream("syslog", "OpenSSH and sudo", "auth"),
    "wallet": Stream("otlp", "Wallet console (OCSF)", "ocsf"),
}


class Emitted(NamedTuple):
    """One record as its product writes it. ``act`` is ground truth and is never sent."""

    time: datetime
    stream: str
    body: bytes
    act: str = ""

    @property
    def transport(self) -> Transport:
        return STREAMS[self.stream].transport


_encode = msgspec.json.Encoder().encode


def record(time: datetime, stream: str, tree: dict[str, Any]) -> Emitted:
    """A JSON record."""
    return Emitted(time, stream, _encode(tree))


def line(time: datetime, stream: str, text: str) -> Emitted:
    """A line of text."""
    return Emitted(time, stream, text.encode())
