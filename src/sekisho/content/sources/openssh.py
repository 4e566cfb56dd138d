"""OpenSSH server (sshd) in syslog: logins, failures, disconnects, PAM lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from sekisho.contract import Hints, Lines, Recognise, Source
from sekisho.model import Text
from sekisho.ocsf import Event


@dataclass
class Line:
    """A message of sshd and how often it stands (``message repeated n times``)."""

    text: str
    count: int | None = None
    rest: dict[str, str] = field(default_factory=dict)


Found = re.Match[str]
REPEATED = re.compile(r"message repeated (\d{1,9}) times: \[ ?(.*)\]$")


def parse(text: str, hints: Hints) -> Line:
    if repeated := REPEATED.match(text):
        return Line(repeated[2].strip(), int(repeated[1]))
    return Line(text)


def _end(event: Event, address: str | None, port: str | None) -> None:
    """PAM and sshd write an address, a host name, or UNKNOWN."""
    if address and address != "UNKNOWN":
        if ":" in address or address.replace(".", "").isdigit():
            event["src_endpoint_ip"] = address
        else:
            event["src_endpoint_hostname"] = address
    if port:
        event["src_endpoint_port"] = int(port)


def _logon(event: Event, status: int, user: str | None, detail: str | None = None) -> None:
    event.update(
        {"class_uid": 3002, "activity_id": 1, "status_id": status, "is_remote": True, "service_name": "sshd"}
    )
    if user:
        event["user_name"] = user
    if detail:
        event["status_detail"] = detail


def accepted(found: Found, event: Event, rest: dict[str, str]) -> None:
    _logon(event, 1, found["user"])
    event["status"] = "Accepted"
    event["auth_protocol"] = found["method"]
    if found["key"]:
        kind, _, print_ = found["key"].partition(" ")
        event["actor_user_credential_uid"] = print_.split(" ", 1)[0] or None
        rest["key_type"] = kind
        if " ID " in found["key"]:
            rest["certificate"] = found["key"].partition(" ID ")[2]
    _end(event, found["ip"], found["port"])


def failed(found: Found, event: Event, rest: dict[str, str]) -> None:
    _logon(event, 2, found["user"], "unknown user" if found["invalid"] else None)
    event["status"] = "Failed"
    event["auth_protocol"] = found["method"]
    _end(event, found["ip"], found["port"])


def invalid(found: Found, event: Event, rest: dict[str, str]) -> None:
    _logon(event, 2, found["user"], "unknown user")
    _end(event, found["ip"], found["port"])


def refused(found: Found, event: Event, rest: dict[str, str]) -> None:
    _logon(event, 2, found["user"], found["why"])
    _end(event, found["ip"], None)


def exceeded(found: Found, event: Event, rest: dict[str, str]) -> None:
    _logon(event, 2, found["user"], "maximum authentication attempts exceeded")
    _end(event, found["ip"], found["port"])


def pam_failure(found: Found, event: Event, rest: dict[str, str]) -> None:
    _logon(event, 2, (found["user"] or "").strip() or None, "authentication failure")
    event["auth_protocol"] = "PAM"
    _end(event, found["ip"] or None, None)


def session(found: Found, event: Event, rest: dict[str, str]) -> None:
    _logon(event, 1, found["user"])
    event["activity_id"] = 1 if found["done"] == "opened" else 2
    event["status"] = f"session {found['done']}"
    event["auth_protocol"] = "PAM"
    if found["uid"]:
        event["user_uid"] = found["uid"]


def disconnected(found: Found, event: Event, rest: dict[str, str]) -> None:
    """Before authentication it is the end of a connection, after it a logoff."""
    before = found["state"] in ("authenticating", "invalid") or (event["message"] or "").endswith("[preauth]")
    if before or not found["user"]:
        event.update({"class_uid": 4001, "activity_id": 2, "status_id": 1})
        if found["user"]:
            event["user_name"] = found["user"]
    else:
        _logon(event, 1, found["user"])
        event["activity_id"] = 2
    event["status"] = found["done"]
    _end(event, found["ip"], found["port"])


def connected(found: Found, event: Event, rest: dict[str, str]) -> None:
    event.update({"class_uid": 4001, "activity_id": 1, "status_id": 1})
    _end(event, found["ip"], found["port"])
    event["dst_endpoint_ip"], event["dst_endpoint_port"] = found["to"], int(found["at"])


def session_start(found: Found, event: Event, rest: dict[str, str]) -> None:
    event.update({"class_uid": 1007, "activity_id": 1, "status_id": 1, "actor_user_name": found["user"]})
    event["process_cmd_line"] = found["command"] or found["what"]
    _end(event, found["ip"], found["port"])


def server(found: Found, event: Event, rest: dict[str, str]) -> None:
    event.update({"class_uid": 6002, "activity_id": 3 if found["listen"] else 4, "status_id": 1})


FROM = r"(?P<ip>\S+) port (?P<port>\d{1,5})"
#: a user name is taken greedily up to the last "from", so that a name with "from" in it cannot forge the address
PATTERNS: tuple[tuple[re.Pattern[str], Callable[[Found, Event, dict[str, str]], None]], ...] = (
    (
        re.compile(rf"Accepted (?P<method>\S+) for (?P<user>.*) from {FROM}(?: ssh\d?)?(?:: (?P<key>.*))?$"),
        accepted,
    ),
    (
        re.compile(
            rf"Failed (?P<method>\S+) for (?P<invalid>(?:invalid|illegal) user )?(?P<user>.*) from {FROM}(?: ssh\d?)?(?:: .*)?$"
        ),
        failed,
    ),
    (
        re.compile(r"(?:Invalid|Illegal) user (?P<user>.*) from (?P<ip>\S+)(?: port (?P<port>\d{1,5}))?$"),
        invalid,
    ),
    (re.compile(r"User (?P<user>.*) from (?P<ip>\S+) not allowed because (?P<why>.*)$"), refused),
    (
        re.compile(
            rf"(?:error: )?maximum authentication attempts exceeded for (?:invalid user )?(?P<user>.*) from {FROM}(?: ssh\d?)?(?: \[preauth\])?$"
        ),
        exceeded,
    ),
    (
        re.compile(r"(?:error: PAM: .* for (?:illegal user |invalid user )?(?P<user>.*) from (?P<ip>\S+)$)"),
        pam_failure,
    ),
    (
        re.compile(
            r"pam_\w+\(\S+:auth\): authentication failure;.* rhost=(?P<ip>\S*)(?:\s+user=(?P<user>.*))?$"
        ),
        pam_failure,
    ),
    (
        re.compile(
            r"pam_unix\(\S+:session\): session (?P<done>opened|closed) for user (?P<user>[^\s(]+)(?:\(uid=(?P<uid>\d+)\))?"
        ),
        session,
    ),
    (
        re.compile(
            rf"(?P<done>Connection closed by|Connection reset by|Disconnected from|Received disconnect from) "
            rf"(?:(?P<state>authenticating|invalid)? ?user (?P<user>.*) )?{FROM}"
        ),
        disconnected,
    ),
    (re.compile(rf"Connection from {FROM} on (?P<to>\S+) port (?P<at>\d{{1,5}})"), connected),
    (
        re.compile(
            rf"Starting session: (?P<what>\S+)(?: '(?P<command>.*)')?(?: on \S+)? for (?P<user>.*) from {FROM}"
        ),
        session_start,
    ),
    (re.compile(r"(?P<listen>Server listening on )|Received signal \d+; terminating"), server),
)


def to_event(line: Line, hints: Hints) -> Event:
    event: Event = {
        "class_uid": 0,
        "activity_id": 0,
        "message": line.text,
        "device_hostname": hints.host,
        "dst_endpoint_hostname": hints.host,
        "metadata_sequence": hints.sequence,
        "metadata_log_provider": hints.program or "sshd",
        "actor_process_name": hints.program or "sshd",
        "actor_process_pid": hints.pid,
        "count": line.count,
    }
    for pattern, fill in PATTERNS:
        if found := pattern.match(line.text):
            fill(found, event, line.rest)
            break
    return event


SOURCE = Source(
    id="openssh",
    title=Text(ja="OpenSSH サーバー", en="OpenSSH server"),
    vendor="OpenBSD",
    product="OpenSSH",
    decode=Lines(parse),
    map=to_event,
    recognise=Recognise(
        programs=("sshd", "sshd-session", "sshd-auth"), sourcetypes=("sshd", "openssh"), rank=10
    ),
    reference="https://man.openbsd.org/sshd_config#LogLevel",
    switch_on=Text(
        ja="sshd_config の LogLevel を VERBOSE にし、rsyslog で auth/authpriv を Sekisho へ TCP（TLS）転送します。",
        en="Set LogLevel VERBOSE in sshd_config and forward auth/authpriv to Sekisho with rsyslog over TCP (TLS).",
    ),
    advisory=("A4", "A6", "A8", "A9", "A10"),
    systems=("linux",),
)
