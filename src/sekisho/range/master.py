"""Master data of the organisation as CSV files, and a list of VPN networks.

The columns are those of the tables that ``sekisho people import`` and its siblings take; a test
compares them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sekisho.range.layers_server import HOSTS, SERVICE_MAIL, access_key
from sekisho.range.plan import workdays
from sekisho.range.world import (
    CONTRACTOR,
    DOMAIN,
    LEAVER,
    REHIRED,
    RENEWED,
    SECURITY,
    TOKYO,
    VICTIM,
    VPN_RANGES,
    WALLET,
    Person,
    World,
)

Row = dict[str, str]

DECOY_TAKEN = f"svc-treasury-bk@{DOMAIN}"
DECOY_GUESSED = f"ops-vault-ro@{DOMAIN}"
BREAK_GLASS = f"breakglass-01@{DOMAIN}"
RESOURCE = "Wallet Console"

#: the order in which the tables must be imported (a later one refers to an earlier one)
ORDER = ("people", "accounts", "devices", "assignments", "networks", "decoys")


def _at(time: datetime | None) -> str:
    return time.astimezone(TOKYO).isoformat(timespec="seconds") if time else ""


def _people(world: World) -> list[Row]:
    rows = []
    for person in world.people:
        row = {
            "person_id": person.uid,
            "name": person.name,
            "email": person.mail,
            "role_class": person.role,
            "country": person.country,
            "prefecture": person.place,
            "zone": person.zone.key,
            "employment_start": _at(person.start),
            "employment_end": _at(person.end),
        }
        if person.number == REHIRED:
            earlier = _at(person.start - timedelta(days=700)), _at(person.start - timedelta(days=240))
            rows.append(row | {"employment_start": earlier[0], "employment_end": earlier[1]})
        rows.append(row)
    return rows


def _account(system: str, account: str, person: Person, kind: str = "human") -> Row:
    return {
        "system": system,
        "account": account,
        "person_id": person.uid,
        "kind": kind,
        "privileged": "yes" if person.role == "privileged" else "no",
        "mfa_required": "yes" if kind == "human" else "no",
        "valid_from": _at(person.start),
        "valid_to": "",
    }


def _accounts(world: World) -> list[Row]:
    rows = []
    for person in world.people:
        rows.append(_account("*", person.mail, person))
        rows.append(_account("*", person.login, person))
        if person.role in ("developer", "privileged"):
            rows.append(_account("github", person.handle, person))
            rows.append(_account("aws", access_key(person), person, "token"))
    rows += [_service(world, SERVICE_MAIL, "no"), _service(world, BREAK_GLASS, "yes")]
    return rows


def _service(world: World, account: str, privileged: str) -> Row:
    """An account that belongs to nobody and is exempt from the second factor."""
    return {
        "system": "*",
        "account": account,
        "person_id": "",
        "kind": "service",
        "privileged": privileged,
        "mfa_required": "no",
        "valid_from": _at(world.start - timedelta(days=500)),
        "valid_to": "",
    }


def _devices(world: World) -> list[Row]:
    rows = [
        {
            "asset_tag": person.asset,
            "form": "pc",
            "hostname": person.host,
            "agent_id": person.agent,
            "os": "macOS 26" if person.os == "mac" else "Windows 11",
            "person_id": person.uid,
            "valid_from": _at(person.start),
            "valid_to": _at(person.end),
        }
        for person in world.people
    ]
    for number, host in enumerate(HOSTS, 1):
        rows.append(
            {
                "asset_tag": f"SV-{number:04d}",
                "form": "server",
                "hostname": host,
                "agent_id": "",
                "os": "Debian 13",
                "person_id": "",
                "valid_from": _at(world.start - timedelta(days=400)),
                "valid_to": "",
            }
        )
    return rows


def renewal(world: World) -> datetime:
    """When the renewed assignment begins: mid-period, a working day, 09:00 in Tokyo."""
    return datetime.combine(workdays(world)[4], datetime.min.time(), TOKYO) + timedelta(hours=9)


def _assignments(world: World) -> list[Row]:
    start, end = world.start, world.end
    renewed = renewal(world)
    spans: list[tuple[int, datetime, datetime]] = [
        (number, start - timedelta(days=100), end + timedelta(days=90))
        for number in WALLET
        if number != RENEWED
    ]
    spans += [
        (RENEWED, start - timedelta(days=90), renewed),
        (RENEWED, renewed, end + timedelta(days=60)),
        (CONTRACTOR, start - timedelta(days=60), start - timedelta(days=3)),
        (VICTIM, start - timedelta(days=90), start - timedelta(days=10)),
    ]
    return [
        {
            "assignment_id": f"ASG-{start.year}-{number:03d}",
            "person_id": world.person(who).uid,
            "resource": RESOURCE,
            "right": "viewer" if who == VICTIM else "operator",
            "approver": world.person(SECURITY).uid,
            "ticket": f"REQ-{1100 + number}",
            "valid_from": _at(begin),
            "valid_to": _at(finish),
        }
        for number, (who, begin, finish) in enumerate(spans, 1)
    ]


def _networks(world: World) -> list[Row]:
    since = _at(world.start - timedelta(days=700))
    rows = (
        ("203.0.113.0/28", "東京本社", "own-egress", "JP"),
        ("203.0.113.16/28", "データセンター", "own-egress", "JP"),
        ("203.0.113.40/32", "社内VPN", "own-vpn", "JP"),
        ("198.51.100.0/25", "従業員の自宅回線", "fixed", ""),
        ("198.51.100.128/26", "携帯回線", "mobile", "JP"),
        ("198.51.100.224/28", "出張先ホテル", "fixed", "SG"),
        ("2001:db8:40::/44", "従業員の自宅回線 (IPv6)", "fixed", ""),
    )
    return [
        {
            "cidr": cidr,
            "name": name,
            "net_class": kind,
            "country": country,
            "valid_from": since,
            "valid_to": "",
        }
        for cidr, name, kind, country in rows
    ]


def _decoys(world: World) -> list[Row]:
    since = _at(world.start - timedelta(days=30))
    taken: dict[int, str] = {VICTIM: DECOY_TAKEN, VICTIM + 1: DECOY_GUESSED}
    names = (
        "adm-reports",
        "svc-ledger-sync",
        "backup-console",
        "treasury-audit",
        "svc-signer-old",
        "ops-relay",
    )
    rows = []
    for person in world.people:
        if person.role not in ("developer", "privileged") or person.number == LEAVER:
            continue
        name = taken.get(person.number, f"{names[person.number % len(names)]}{person.number:02d}@{DOMAIN}")
        rows.append(
            {
                "decoy_id": f"DCY-{person.number:04d}",
                "kind": "password",
                "identifier": name,
                "asset_tag": person.asset,
                "place": "Chrome",
                "valid_from": since,
                "valid_to": "",
            }
        )
    return rows


def tables(world: World) -> dict[str, list[Row]]:
    """Rows of every table, by its name, in the order of import."""
    makers = {
        "people": _people,
        "accounts": _accounts,
        "devices": _devices,
        "assignments": _assignments,
        "networks": _networks,
        "decoys": _decoys,
    }
    return {name: makers[name](world) for name in ORDER}


def write(world: World, folder: Path) -> Mapping[str, Path]:
    """CSV files ``<table>.csv`` (UTF-8 with BOM, so that Excel shows Japanese) and ``vpn.txt``."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[str, Path] = {}
    for name, rows in tables(world).items():
        paths[name] = folder / f"{name}.csv"
        _csv(paths[name], rows)
    paths["vpn"] = folder / "vpn.txt"
    paths["vpn"].write_text("\n".join(("# fictional VPN provider", *VPN_RANGES)) + "\n", encoding="utf-8")
    return paths


def _csv(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
