"""Linux authentication and accounts in syslog: su, sudo, login, systemd-logind, useradd and relatives, passwd, cron."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from sekisho.contract import Hints, Lines, Recognise, Source
from sekisho.model import Text
from sekisho.ocsf import Event


@dataclass
class Line:
    text: str
    rest: dict[str, str] = field(default_factory=dict)


Found = re.Match[str]
Fill = Callable[[Found, Event, dict[str, str]], None]


def parse(text: str, hints: Hints) -> Line:
    return Line(text)


def _logon(event: Event, status: int, user: str | None, actor: str | None = None) -> None:
    event.update({"class_uid": 3002, "activity_id": 1, "status_id": status, "is_remote": False})
    event["user_name"] = user or None
    event["actor_user_name"] = actor or None


def sudo(found: Found, event: Event, rest: dict[str, str]) -> None:
    """``alice : [reason ;] TTY=... ; PWD=... ; USER=... ; COMMAND=...``"""
    why = found["why"]
    event["actor_user_name"] = found["actor"]
    event["user_name"] = found["user"]
    event["process_cmd_line"] = found["command"]
    for name in ("tty", "pwd"):
        if found[name]:
            rest[name] = found[name]
    if why and "incorrect password" in why:
        _logon(event, 2, found["actor"], found["actor"])
        event["count"] = int(why.split(" ", 1)[0]) if why[:1].isdigit() else None
    else:
        event.update({"class_uid": 1007, "activity_id": 1, "status_id": 2 if why else 1})
    event["status_detail"] = why or None


def pam_session(found: Found, event: Event, rest: dict[str, str]) -> None:
    _logon(event, 1, found["user"], found["actor"])
    event["activity_id"] = 1 if found["done"] == "opened" else 2
    event["status"] = f"session {found['done']}"
    event["user_uid"] = found["uid"]
    event["actor_user_uid"] = found["by"]
    event["service_name"] = found["service"]
    if found["service"].startswith("cron"):
        event["logon_type"] = "Batch"


def pam_failure(found: Found, event: Event, rest: dict[str, str]) -> None:
    _logon(event, 2, (found["user"] or "").strip(), found["ruser"] or found["logname"])
    event["service_name"] = found["service"]
    event["status_detail"] = "authentication failure"
    if found["rhost"]:
        event["is_remote"] = True
        event["src_endpoint_ip"] = found["rhost"]


def pam_unknown(found: Found, event: Event, rest: dict[str, str]) -> None:
    _logon(event, 2, None)
    event["service_name"] = found["service"]
    event["status_detail"] = "unknown user"


def pam_password(found: Found, event: Event, rest: dict[str, str]) -> None:
    event.update({"class_uid": 3001, "activity_id": 3, "status_id": 1, "user_name": found["user"]})


def su(found: Found, event: Event, rest: dict[str, str]) -> None:
    _logon(event, 2 if found["failed"] else 1, found["user"], found["actor"])
    event["service_name"] = "su"


def su_classic(found: Found, event: Event, rest: dict[str, str]) -> None:
    _logon(event, 1 if found["sign"] == "+" else 2, found["user"], found["actor"])
    event["service_name"] = "su"


def login(found: Found, event: Event, rest: dict[str, str]) -> None:
    _logon(event, 1, found["user"] or "root")
    rest["tty"] = found["tty"]
    event["service_name"] = "login"
    if found["host"]:
        event["is_remote"], event["src_endpoint_hostname"] = True, found["host"]


def login_failed(found: Found, event: Event, rest: dict[str, str]) -> None:
    _logon(event, 2, found["user"])
    event["service_name"] = "login"
    event["status_detail"] = found["why"]


def seat(found: Found, event: Event, rest: dict[str, str]) -> None:
    _logon(event, 1, found["user"])
    event["activity_id"], event["is_remote"] = 1, None
    event["session_uid"] = found["session"]


def seat_left(found: Found, event: Event, rest: dict[str, str]) -> None:
    """The line does not say whose session it was, so it is no Authentication event."""
    event.update({"class_uid": 0, "activity_id": 99, "activity_name": "Session End"})
    event["session_uid"] = found["session"] or found["gone"]


def power(name: str) -> Fill:
    def fill(found: Found, event: Event, rest: dict[str, str]) -> None:
        event.update({"class_uid": 0, "activity_id": 99, "activity_name": name})

    return fill


def account(activity: int) -> Fill:
    def fill(found: Found, event: Event, rest: dict[str, str]) -> None:
        values = found.groupdict()
        event.update(
            {"class_uid": 3001, "activity_id": activity, "status_id": 1, "user_name": values["user"]}
        )
        event["user_uid"] = values.get("uid")
        event["actor_user_name"] = values.get("actor")
        if values.get("actor") and values["actor"] == values["user"] and activity == 4:
            event["activity_id"] = 3
        if activity == 99:
            event["activity_name"] = "Update"

    return fill


def group(activity: int) -> Fill:
    def fill(found: Found, event: Event, rest: dict[str, str]) -> None:
        values = found.groupdict()
        event.update(
            {"class_uid": 3006, "activity_id": activity, "status_id": 1, "group_name": values["group"]}
        )
        event["group_uid"] = values.get("gid")
        event["user_name"] = values.get("user")
        event["actor_user_name"] = values.get("actor")

    return fill


def refused(found: Found, event: Event, rest: dict[str, str]) -> None:
    event.update({"class_uid": 3001, "activity_id": 1, "status_id": 2, "user_name": found["user"]})
    event["status_detail"] = found["why"]


def cron(found: Found, event: Event, rest: dict[str, str]) -> None:
    event.update({"class_uid": 1006, "activity_id": 6, "status_id": 1, "actor_user_name": found["user"]})
    event["process_cmd_line"] = event["job_name"] = found["command"]


def crontab(found: Found, event: Event, rest: dict[str, str]) -> None:
    done = found["done"]
    event.update({"class_uid": 1006, "activity_id": 3 if done == "DELETE" else 2, "status_id": 1})
    event["actor_user_name"], event["user_name"] = found["actor"], found["user"]
    event["job_name"] = f"crontab of {found['user']}"


PATTERNS: tuple[tuple[str, Fill], ...] = (
    (
        (
            r" *(?P<actor>\S{1,256}) : (?:(?P<why>[^;=]{1,200}?) ; )?TTY=(?P<tty>[^;]{0,100}) ; PWD=(?P<pwd>.{0,1000}?)"
            r" ; USER=(?P<user>\S{1,256})(?: ; [^;]{0,500}){0,4} ; COMMAND=(?P<command>.*)$"
        ),
        sudo,
    ),
    (
        (
            r"pam_unix\((?P<service>[^:)]+):session\): session (?P<done>opened|closed) for user (?P<user>[^\s(]+)"
            r"(?:\(uid=(?P<uid>\d+)\))?(?: by (?P<actor>[^\s(]*)\(uid=(?P<by>\d+)\))?"
        ),
        pam_session,
    ),
    (
        (
            r"pam_\w+\((?P<service>[^:)]+):auth\): authentication failure; logname=(?P<logname>\S*) .*"
            r"ruser=(?P<ruser>\S*) rhost=(?P<rhost>\S*)(?:\s+user=(?P<user>.*))?$"
        ),
        pam_failure,
    ),
    (r"pam_unix\((?P<service>[^:)]+):auth\): check pass; user unknown", pam_unknown),
    (r"pam_unix\([^:)]+:chauthtok\): password changed for (?P<user>.+)$", pam_password),
    (r"(?P<failed>FAILED SU )?\(to (?P<user>\S+)\) (?P<actor>\S+) on \S+", su),
    (r"(?:Successful|(?P<failed>FAILED)) su for (?P<user>\S+) by (?P<actor>\S+)", su),
    (r"(?P<sign>[+-]) \S+ (?P<actor>[^\s:]+)[:-](?P<user>\S+)$", su_classic),
    (
        r"(?:ROOT LOGIN|LOGIN) ON (?P<tty>\S+?)(?: BY (?P<user>\S+?))?(?: FROM (?P<host>\S+))?$",
        login,
    ),
    (
        r"FAILED LOGIN (?:SESSION )?(?:\(\d+\) )?(?:ON|on|FROM) \S+ FOR '?(?P<user>[^',]*)'?, (?P<why>.*)$",
        login_failed,
    ),
    (r"New session '?(?P<session>[^\s']+)'? of user '?(?P<user>[^\s'.]+(?:\.[^\s'.]+)*)'?", seat),
    (r"(?:Session (?P<session>\S+) logged out|Removed session (?P<gone>\S+?)\.)", seat_left),
    (r"System is powering down|System is halting|Power key pressed", power("Shutdown")),
    (r"(?:System is rebooting|The system will reboot)", power("Shutdown")),
    (r"(?:Suspending|Hibernating|The system will (?:suspend|hibernate))", power("Sleep")),
    (r"Operation '(?:suspend|hibernate|sleep)' finished|System returned from sleep", power("Resume")),
    (r"new user: name=(?P<user>[^,]+), UID=(?P<uid>\d+)", account(1)),
    (r"failed adding user '(?P<user>[^']*)', (?P<why>.*)$", refused),
    (r"delete user '(?P<user>[^']+)'", account(6)),
    (r"lock user '(?P<user>[^']+)' password", account(9)),
    (r"unlock user '(?P<user>[^']+)' password", account(12)),
    (r"change user '(?P<user>[^']+)' password", account(3)),
    (r"change user '(?P<user>[^']+)' ", account(99)),
    (r"password for '?(?P<user>[^\s']+)'? changed by '?(?P<actor>[^\s']+)'?", account(4)),
    (r"new group: name=(?P<group>[^,]+), GID=(?P<gid>\d+)", group(6)),
    (r"(?:removed )?group '(?P<group>[^']+)' (?:removed|owned by)", group(5)),
    (r"add '(?P<user>[^']+)' to (?:shadow )?group '(?P<group>[^']+)'", group(3)),
    (r"delete '(?P<user>[^']+)' from (?:shadow )?group '(?P<group>[^']+)'", group(4)),
    (r"user (?P<user>\S+) added by (?P<actor>\S+) to group (?P<group>\S+)", group(3)),
    (r"user (?P<user>\S+) removed by (?P<actor>\S+) from group (?P<group>\S+)", group(4)),
    (r"\((?P<user>[^)]+)\) CMD \((?P<command>.*)\)$", cron),
    (r"\((?P<actor>[^)]+)\) (?P<done>REPLACE|DELETE|END EDIT) \((?P<user>[^)]+)\)$", crontab),
)
COMPILED = tuple((re.compile(pattern), fill) for pattern, fill in PATTERNS)


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
    for pattern, fill in COMPILED:
        if found := pattern.match(line.text):
            fill(found, event, line.rest)
            break
    return event


SOURCE = Source(
    id="linux_auth",
    title=Text(ja="Linux の認証とアカウント", en="Linux authentication and accounts"),
    vendor="Linux",
    product="Linux",
    decode=Lines(parse),
    map=to_event,
    recognise=Recognise(
        programs=(
            "su", "sudo", "login", "systemd-logind", "useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel",
            "gpasswd", "passwd", "chpasswd", "chage", "chfn", "chsh", "CRON", "cron", "crond", "crontab", "gdm-password",
            "gdm-session-worker", "lightdm", "polkitd", "runuser",
        ),
        rank=10,
    ),
    reference="https://man7.org/linux/man-pages/man8/pam_unix.8.html",
    switch_on=Text(
        ja="rsyslog で auth・authpriv・cron を Sekisho へ TCP（TLS）転送します。",
        en="Forward auth, authpriv and cron to Sekisho with rsyslog over TCP (TLS).",
    ),
    advisory=("A3", "A5", "A8", "A9", "A10"),
    systems=("linux",),
)  # fmt: skip
