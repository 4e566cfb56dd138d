"""Lines over syslog: Squid's native access log, BIND and Unbound query logs, OpenSSH and sudo.

Squid's line carries its own epoch time, so its frame may be RFC 3164; the others take the time from
an RFC 5424 header with its offset.
"""

from __future__ import annotations

from datetime import datetime

from sekisho.range.dice import Dice
from sekisho.range.emit import Emitted, line
from sekisho.range.world import TOKYO


def rfc5424(
    time: datetime, stream: str, facility: int, severity: int, host: str, tag: str, text: str
) -> Emitted:
    """``tag`` is ``program`` or ``program/pid``. Time in JST with offset, microseconds."""
    program, _, pid = tag.partition("/")
    stamp = time.astimezone(TOKYO).isoformat(timespec="microseconds")
    return line(
        time, stream, f"<{facility * 8 + severity}>1 {stamp} {host} {program} {pid or '-'} - - {text}"
    )


def squid(dice: Dice, time: datetime, client: str, user: str, host: str, method: str = "CONNECT") -> Emitted:
    """Squid native format inside RFC 3164 (local4.info)."""
    size, took = dice.randrange(900, 90_000), dice.randrange(20, 900)
    peer = address_of(host)
    if method == "CONNECT":
        what, hierarchy = f"TCP_TUNNEL/200 {size} CONNECT {host}:443", f"HIER_DIRECT/{peer} -"
    else:
        what, hierarchy = f"TCP_MISS/200 {size} {method} http://{host}/", f"HIER_DIRECT/{peer} text/html"
    local = time.astimezone(TOKYO)
    header = f"<166>{local:%b} {local.day:2d} {local:%H:%M:%S} proxy1 squid[2204]: "
    stamp = f"{int(time.timestamp())}.{time.microsecond // 1000:03d}"
    return line(time, "squid", f"{header}{stamp} {took:6d} {client} {what} {user} {hierarchy}")


def bind(dice: Dice, time: datetime, client: str, name: str, kind: str = "A") -> Emitted:
    text = (
        f"client @0x7f{dice.digits(10)} {client}#{dice.randrange(1024, 65535)} ({name}): "
        f"query: {name} IN {kind} +E(0)K (10.20.0.53)"
    )
    return rfc5424(time, "bind", 3, 6, "dns1", "named/811", text)


def unbound(dice: Dice, time: datetime, client: str, name: str, kind: str = "A") -> Emitted:
    return rfc5424(
        time,
        "unbound",
        3,
        6,
        "dns2",
        "unbound/702",
        f"[702:{dice.randrange(2)}] info: {client} {name}. {kind} IN",
    )


def sshd(dice: Dice, time: datetime, host: str, text: str) -> Emitted:
    return rfc5424(time, "linux", 10, 6, host, f"sshd/{dice.randrange(900, 32000)}", text)


def sudo(dice: Dice, time: datetime, host: str, user: str, command: str) -> Emitted:
    text = f"{user} : TTY=pts/{dice.randrange(4)} ; PWD=/home/{user} ; USER=root ; COMMAND={command}"
    return rfc5424(time, "linux", 10, 5, host, f"sudo/{dice.randrange(900, 32000)}", text)


def address_of(host: str) -> str:
    """A fixed documentation address for a site on the internet."""
    return f"192.0.2.{2 + Dice(1, 'site', host).randrange(56)}"


SITES: tuple[str, ...] = (
    "www.example.com", "news.example.org", "mail.example.com", "cdn.example.net", "api.example.com",
    "docs.example.org", "video.example.net", "weather.example.jp", "bank.example.jp", "trains.example.jp",
    "chat.reiji.example", "login.reiji.example", "wiki.reiji.example", "issues.reiji.example",
    "code.example.com", "registry.example.org", "pkg.example.net", "market-data.example.com",
    "calendar.example.com", "drive.example.com", "maps.example.jp", "lunch.example.jp", "shop.example.jp",
    "conference.example.com", "telemetry.example.net", "update.example.net", "fonts.example.org",
)  # fmt: skip


def site(dice: Dice) -> str:
    """A site, few of them often, many seldom; now and then one never seen before."""
    if dice.random() < 0.02:
        return f"{dice.token(6, 'abcdefghijklmnopqrstuvwxyz')}.example.{dice.one(('com', 'net', 'org'))}"
    return SITES[min(int(dice.paretovariate(0.7)) - 1, len(SITES) - 1)]
