"""EDR telemetry: CrowdStrike-shaped (Falcon Data Replicator) and Defender-shaped (advanced hunting)."""

from __future__ import annotations

from datetime import datetime

from sekisho.range.agents import millis, zulu
from sekisho.range.dice import Dice
from sekisho.range.emit import Emitted, record
from sekisho.range.world import TENANT, Person

CID = "5e7c0f0a4b1d4d0f9a6e000000000000"


def falcon(dice: Dice, time: datetime, person: Person, address: str, name: str, **more: str) -> Emitted:
    """An event of the sensor; ``address`` is the public address that the cloud saw (``aip``)."""
    tree = {
        "event_simpleName": name,
        "name": f"{name}V5",
        "aid": person.agent,
        "aip": address,
        "cid": CID,
        "ComputerName": person.host,
        "event_platform": "Mac" if person.os == "mac" else "Win",
        "id": dice.uid(),
        "timestamp": str(millis(time)),
        "ContextTimeStamp": f"{millis(time) // 1000}.{millis(time) % 1000:03d}",
        "ConfigBuild": "1007.3.0019906.1",
        "EffectiveTransmissionClass": "3",
        **more,
    }
    return record(time, "crowdstrike", tree)


def falcon_connection(
    dice: Dice, time: datetime, person: Person, address: str, process: str, ip: str, port: int
) -> Emitted:
    return falcon(
        dice,
        time,
        person,
        address,
        "NetworkConnectIP4",
        RemoteAddressIP4=ip,
        RemotePort=str(port),
        LocalAddressIP4=person.lan,
        LocalPort=str(49152 + dice.randrange(16000)),
        Protocol="6",
        ConnectionDirection="0",
        ContextBaseFileName=process,
        ContextProcessId=str(dice.getrandbits(40)),
    )


def defender(dice: Dice, time: datetime, person: Person, table: str, **more: object) -> Emitted:
    """A row of an advanced-hunting table, as Defender's streaming API publishes it."""
    tree = {
        "time": zulu(time, 7),
        "tenantId": TENANT,
        "operationName": "Publish",
        "category": f"AdvancedHunting-{table}",
        "properties": {
            "Timestamp": zulu(time, 7),
            "DeviceId": person.agent,
            "DeviceName": f"{person.host.lower()}.corp.reiji.example",
            "ReportId": dice.randrange(1, 10**9),
            **more,
        },
    }
    return record(time, "defender", tree)


def defender_info(dice: Dice, time: datetime, person: Person, address: str) -> Emitted:
    return defender(
        dice,
        time,
        person,
        "DeviceInfo",
        PublicIP=address,
        OSPlatform="macOS" if person.os == "mac" else "Windows11",
        OnboardingStatus="Onboarded",
        SensorHealthState="Active",
        LoggedOnUsers=f'[{{"UserName":"{person.login}"}}]',
    )


def defender_connection(
    dice: Dice, time: datetime, person: Person, process: str, host: str, ip: str, port: int
) -> Emitted:
    return defender(
        dice,
        time,
        person,
        "DeviceNetworkEvents",
        ActionType="ConnectionSuccess",
        RemoteIP=ip,
        RemotePort=port,
        RemoteUrl=host,
        LocalIP=person.lan,
        LocalPort=49152 + dice.randrange(16000),
        Protocol="Tcp",
        InitiatingProcessFileName=process,
        InitiatingProcessAccountName=person.login,
        InitiatingProcessId=dice.randrange(1000, 30000),
    )
