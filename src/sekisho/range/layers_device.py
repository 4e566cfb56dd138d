"""What PCs tell: Windows logons and power, Sysmon, EDR heartbeats and connections."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sekisho.range.agents import zulu
from sekisho.range.dice import Dice
from sekisho.range.emit import Emitted
from sekisho.range.plan import Day
from sekisho.range.shapes_endpoint import defender_connection, defender_info, falcon, falcon_connection
from sekisho.range.shapes_lines import address_of, site
from sekisho.range.shapes_windows import (
    KERNEL_GENERAL,
    SECURITY,
    SYSMON,
    SYSTEM,
    USER32,
    event_xml,
    winlogbeat,
)
from sekisho.range.world import Person, World

WINDOWS = "C:\\Windows\\System32\\"
PROGRAMS = (
    ("C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe", "--type=renderer --lang=ja"),
    (
        "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
        "--type=utility --utility-sub-type=network",
    ),
    ("C:\\Program Files\\Microsoft Office\\root\\Office16\\EXCEL.EXE", "/dde"),
    ("C:\\Program Files\\Microsoft Office\\root\\Office16\\OUTLOOK.EXE", "/recycle"),
    (WINDOWS + "notepad.exe", "memo.txt"),
    (WINDOWS + "svchost.exe", "-k netsvcs -p"),
    (WINDOWS + "RuntimeBroker.exe", "-Embedding"),
    (WINDOWS + "SearchProtocolHost.exe", "Global\\UsGthrFltPipe"),
)
DEVELOPMENT = (
    ("C:\\Program Files\\Git\\cmd\\git.exe", "fetch --all --prune"),
    ("C:\\Program Files\\nodejs\\node.exe", "node_modules\\eslint\\bin\\eslint.js src"),
    ("C:\\Program Files\\Microsoft VS Code\\Code.exe", "--type=renderer"),
    ("C:\\Program Files\\Python313\\python.exe", "-m pytest -q"),
)
EXPLORER = "C:\\Windows\\explorer.exe"


def logon(person: Person, kind: str, address: str) -> dict[str, str]:
    """EventData of 4624."""
    return {
        "SubjectUserSid": "S-1-5-18",
        "SubjectUserName": f"{person.host}$",
        "SubjectDomainName": "REIJI",
        "SubjectLogonId": "0x3e7",
        "TargetUserSid": person.sid,
        "TargetUserName": person.login,
        "TargetDomainName": "REIJI",
        "TargetLogonId": f"0x{Dice(1, 'logon', person.number, kind).digits(6)}",
        "LogonType": kind,
        "LogonProcessName": "User32 ",
        "AuthenticationPackageName": "Negotiate",
        "WorkstationName": person.host,
        "ProcessName": WINDOWS + "svchost.exe",
        "IpAddress": address,
        "IpPort": "0",
    }


def process(
    dice: Dice, at: datetime, person: Person, image: str, command: str, parent: tuple[str, str]
) -> dict[str, str]:
    """EventData of Sysmon 1. ``parent``: image and command line."""
    return {
        "RuleName": "-",
        "UtcTime": zulu(at).replace("T", " ").rstrip("Z"),
        "ProcessGuid": "{" + dice.uid() + "}",
        "ProcessId": str(dice.randrange(1000, 30000)),
        "Image": image,
        "FileVersion": "-",
        "OriginalFileName": image.rpartition("\\")[2],
        "CommandLine": command,
        "CurrentDirectory": f"C:\\Users\\{person.login}\\",
        "User": f"REIJI\\{person.login}",
        "LogonGuid": "{" + dice.uid() + "}",
        "LogonId": "0x" + dice.digits(6),
        "TerminalSessionId": "1",
        "IntegrityLevel": "Medium",
        "Hashes": f"SHA256={Dice(1, 'image', image).digits(64).upper()}",
        "ParentProcessGuid": "{" + dice.uid() + "}",
        "ParentProcessId": str(dice.randrange(1000, 30000)),
        "ParentImage": parent[0],
        "ParentCommandLine": parent[1],
        "ParentUser": f"REIJI\\{person.login}",
    }


def connection(dice: Dice, at: datetime, person: Person, image: str, ip: str, host: str) -> dict[str, str]:
    """EventData of Sysmon 3."""
    return {
        "RuleName": "-",
        "UtcTime": zulu(at).replace("T", " ").rstrip("Z"),
        "ProcessGuid": "{" + dice.uid() + "}",
        "ProcessId": str(dice.randrange(1000, 30000)),
        "Image": image,
        "User": f"REIJI\\{person.login}",
        "Protocol": "tcp",
        "Initiated": "true",
        "SourceIsIpv6": "false",
        "SourceIp": person.lan,
        "SourceHostname": f"{person.host}.corp.reiji.example",
        "SourcePort": str(49152 + dice.randrange(16000)),
        "DestinationIsIpv6": "false",
        "DestinationIp": ip,
        "DestinationHostname": host,
        "DestinationPort": "443",
    }


def query(dice: Dice, at: datetime, person: Person, image: str, host: str, ip: str) -> dict[str, str]:
    """EventData of Sysmon 22."""
    return {
        "RuleName": "-",
        "UtcTime": zulu(at).replace("T", " ").rstrip("Z"),
        "ProcessGuid": "{" + dice.uid() + "}",
        "ProcessId": str(dice.randrange(1000, 30000)),
        "QueryName": host,
        "QueryStatus": "0",
        "QueryResults": f"::ffff:{ip};",
        "Image": image,
        "User": f"REIJI\\{person.login}",
    }


def windows_day(world: World, day: Day, volume: float) -> Iterator[Emitted]:
    """Boot, logons, locks, shutdown. Odd PCs are shipped by Winlogbeat, some as event XML."""
    person = day.person
    if person.os != "windows":
        return
    dice = Dice(world.seed, "windows", person.number, day.date)
    render = event_xml if person.number % 6 == 5 else winlogbeat
    boot = day.start - timedelta(minutes=3)
    yield winlogbeat(dice, boot, person.host, KERNEL_GENERAL, 12, {"StartTime": zulu(boot, 7)})
    yield winlogbeat(dice, boot, person.host, SYSTEM, 6005, {}, message="The Event log service was started.")
    yield render(
        dice, day.start - timedelta(seconds=70), person.host, SECURITY, 4624, logon(person, "2", "127.0.0.1")
    )
    for moment in day.moments(dice, 30 * volume):
        event_id = dice.one((4624, 4634, 4672, 4624, 4634))
        yield render(dice, moment, person.host, SECURITY, event_id, _security(person, event_id))
    if dice.random() < 0.2:
        failed = {**logon(person, "7", "127.0.0.1"), "Status": "0xc000006d", "SubStatus": "0xc000006a"}
        yield render(dice, day.spans[0][1] + timedelta(minutes=50), person.host, SECURITY, 4625, failed)
    reason = {
        "param1": "winlogon.exe",
        "param3": "Other (Unplanned)",
        "param5": "power off",
        "param7": f"REIJI\\{person.login}",
    }
    yield winlogbeat(dice, day.end + timedelta(minutes=2), person.host, USER32, 1074, reason)
    yield winlogbeat(
        dice,
        day.end + timedelta(minutes=3),
        person.host,
        SYSTEM,
        6006,
        {},
        message="The Event log service was stopped.",
    )


def _security(person: Person, event_id: int) -> dict[str, str]:
    if event_id == 4624:
        return logon(person, "7", "127.0.0.1")
    target = {
        "TargetUserSid": person.sid,
        "TargetUserName": person.login,
        "TargetDomainName": "REIJI",
        "TargetLogonId": "0x5a1f2c",
        "LogonType": "7",
    }
    if event_id == 4634:
        return target
    return {
        "SubjectUserSid": "S-1-5-18",
        "SubjectUserName": "SYSTEM",
        "SubjectDomainName": "NT AUTHORITY",
        "SubjectLogonId": "0x3e7",
        "PrivilegeList": "SeSecurityPrivilege SeBackupPrivilege",
    }


def sysmon_day(world: World, day: Day, volume: float) -> Iterator[Emitted]:
    person = day.person
    if person.os != "windows":
        return
    dice = Dice(world.seed, "sysmon", person.number, day.date)
    programs = PROGRAMS + (DEVELOPMENT if person.role in ("developer", "privileged") else ())
    for moment in day.moments(dice, 80 * volume):
        image, arguments = dice.one(programs)
        kind = dice.random()
        if kind < 0.5:
            data = process(dice, moment, person, image, f'"{image}" {arguments}', (EXPLORER, EXPLORER))
            yield winlogbeat(dice, moment, person.host, SYSMON, 1, data)
            continue
        host = site(dice)
        chrome = PROGRAMS[0][0]
        if kind < 0.8:
            data = connection(dice, moment, person, chrome, address_of(host), host)
            yield winlogbeat(dice, moment, person.host, SYSMON, 3, data)
        else:
            data = query(dice, moment, person, chrome, host, address_of(host))
            yield winlogbeat(dice, moment, person.host, SYSMON, 22, data)


def edr_day(world: World, day: Day, volume: float) -> Iterator[Emitted]:
    """Heartbeats while the PC is on and the connections of its programs. Two products share the PCs."""
    person = day.person
    dice = Dice(world.seed, "edr", person.number, day.date)
    falcon_pc = person.number % 3 != 0
    beat = day.start - timedelta(minutes=2)
    while beat < day.end:
        if falcon_pc:
            yield falcon(
                dice, beat, person, day.address, "SensorHeartbeat", SensorStateBitMap="0", ConfigStateHash="0"
            )
        else:
            yield defender_info(dice, beat, person, day.address)
        beat += timedelta(minutes=10, seconds=dice.random() * 5)
    for moment in day.moments(dice, 70 * volume):
        host = site(dice)
        program = dice.one(("chrome.exe", "chrome.exe", "OUTLOOK.EXE", "Teams.exe", "Code.exe"))
        if falcon_pc:
            yield falcon_connection(dice, moment, person, day.address, program, address_of(host), 443)
        else:
            yield defender_connection(dice, moment, person, program, host, address_of(host), 443)
