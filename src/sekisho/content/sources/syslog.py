"""Any other syslog message: a Base Event, or Event Log Activity where logging itself starts, stops or is cut."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sekisho.contract import Hints, Lines, Recognise, Source
from sekisho.model import Text
from sekisho.ocsf import Event


@dataclass
class Line:
    text: str
    rest: dict[str, str] = field(default_factory=dict)


def parse(text: str, hints: Hints) -> Line:
    return Line(text)


#: (programs, message, activity of class 1008)
LOGGING: tuple[tuple[tuple[str, ...], re.Pattern[str], int], ...] = (
    (("rsyslogd", "syslogd", "syslog-ng", "journald", "systemd-journald"), re.compile(r".*\b(?:exiting on signal|terminating|shutting down|Journal stopped)", re.IGNORECASE), 7),
    (("rsyslogd", "syslogd", "syslog-ng", "systemd-journald"), re.compile(r".*(?:\] start$|\bstarting up\b|restart|Journal started)", re.IGNORECASE), 6),
    (("rsyslogd",), re.compile(r".*rsyslogd was HUPed"), 5),
    (("logrotate",), re.compile(r""), 5),
    (("systemd-journald",), re.compile(r".*(?:Vacuuming done|Deleted archived journal)"), 2),
    (("systemd-journald",), re.compile(r".*(?:Received client request to rotate journal|Rotating\.\.\.)"), 5),
    (("auditd", "audit", "audisp-syslog", "audispd", "kernel"), re.compile(r".*\btype=DAEMON_(?:END|ABORT)\b"), 7),
    (("auditd", "audit", "audisp-syslog", "audispd", "kernel"), re.compile(r".*\btype=DAEMON_(?:START|RESUME)\b"), 6),
    (("auditd", "audit", "audisp-syslog", "audispd", "kernel"), re.compile(r".*\btype=CONFIG_CHANGE\b.*\baudit_enabled=0\b"), 7),
    (("auditd",), re.compile(r".*(?:is exiting|suspending logging)", re.IGNORECASE), 7),
    (("auditd",), re.compile(r".*(?:Init complete|rotating)", re.IGNORECASE), 6),
    (("systemd",), re.compile(r"Stopp(?:ed|ing) .*(?:System Logging|Journal Service|Security Auditing|rsyslog|auditd)"), 7),
    (("systemd",), re.compile(r"Start(?:ed|ing) .*(?:System Logging|Journal Service|Security Auditing|rsyslog|auditd)"), 6),
)  # fmt: skip
#: A clock was set: what systemd, chronyd and ntpd say when they step it, or saw it stepped.
CLOCK = (
    (("systemd", "systemd-resolved", "systemd-timesyncd", "systemd-timedated"),
     re.compile(r"(?:Time has been changed|Clock change detected|Changed local time to |System time (?:jumped|changed))")),
    (("chronyd",), re.compile(r"(?:System clock was stepped by |(?:Forward|Backward) time jump detected)")),
    (("ntpd", "ntpdate"), re.compile(r"(?:time reset |step time server .* offset )")),
)  # fmt: skip
FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit",
    "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
)  # fmt: skip


def to_event(line: Line, hints: Hints) -> Event:
    event: Event = {
        "class_uid": 0,
        "activity_id": 0,
        "message": line.text,
        "device_hostname": hints.host,
        "metadata_sequence": hints.sequence,
        "metadata_log_provider": hints.program,
        "actor_process_name": hints.program,
        "actor_process_pid": hints.pid,
    }
    if hints.facility is not None and hints.facility < len(FACILITIES):
        event["metadata_log_name"] = FACILITIES[hints.facility]
    for programs, pattern, activity in LOGGING:
        if hints.program in programs and pattern.match(line.text):
            event.update({"class_uid": 1008, "activity_id": activity})
            return event
    if any(hints.program in programs and said.match(line.text) for programs, said in CLOCK):
        event.update({"activity_id": 99, "activity_name": "Time Change"})
    return event


SOURCE = Source(
    id="syslog",
    title=Text(ja="その他の syslog", en="Other syslog"),
    vendor="IETF",
    product="syslog",
    decode=Lines(parse),
    map=to_event,
    recognise=Recognise(fallback_for="syslog"),
    reference="https://www.rfc-editor.org/rfc/rfc5424",
    switch_on=Text(
        ja="機器やサーバーの syslog 転送先に Sekisho を指定します（TLS を推奨。UDP は到達を確認できません）。",
        en="Point the syslog of devices and servers at Sekisho (TLS is best; UDP cannot tell whether it arrived).",
    ),
    advisory=("A10",),
)
