"""What is added to a matching event before a rule tells of it: the person, the local time, the place."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from sekisho.contract import Context
from sekisho.model import moment
from sekisho.model.folding import fold

DEFAULT_ZONE = "Asia/Tokyo"


class _Employment(NamedTuple):
    start: datetime
    end: datetime | None
    name: str
    zone: str


class Facts:
    """Facts of one context version."""

    def __init__(self, context: Context) -> None:
        self.version = context.version
        self._people: dict[str, list[_Employment]] = defaultdict(list)
        for row in context.tables["people"].to_pylist():
            self._people[row["person_id"]].append(
                _Employment(
                    row["employment_start"], row["employment_end"], row["name"], row["zone"] or DEFAULT_ZONE
                )
            )
        for rows in self._people.values():
            rows.sort(key=lambda row: row.start)

    def add(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The event with ``zone``, ``local_day``, ``local_time``, ``jst``, ``when``, ``person_name``,
        ``who``, ``network``, ``where``, ``from_ja`` and ``from_en`` (see ``contract.Rule``). ``time`` is not
        null. A query may say by ``about_person`` whom the event is about, if not ``person_uid``."""
        time: datetime = event["time"]
        person = event.get("about_person") or event.get("person_uid") or ""
        row = self._employment(person, time)
        zone = row.zone if row else DEFAULT_ZONE
        local = time.astimezone(ZoneInfo(zone))
        name = f"{row.name} ({person})" if row else person
        where = _where(event)
        return {
            **event,
            "about_person": person,
            "zone": zone,
            "local_day": local.date().isoformat(),
            "local_time": f"{local:%Y-%m-%d %H:%M:%S} {zone}",
            "jst": moment(time, seconds=True),
            "when": moment(time, zone, seconds=True),
            "person_name": name,
            "who": name or event.get("account") or "?",
            "network": network(event.get("src_endpoint_ip")),
            "where": where or "?",
            "from_ja": where and f"、接続元 {where}",
            "from_en": where and f", from {where}",
        }

    def _employment(self, person: str, time: datetime) -> _Employment | None:
        """Valid at that time, else the last that had begun, else the first."""
        rows = self._people.get(person)
        if not rows:
            return None
        begun = [row for row in rows if row.start <= time]
        valid = [row for row in begun if row.end is None or time < row.end]
        return (valid or begun or rows[:1])[-1]


def network(address: str | None) -> str:
    """/24 (IPv4) or /64 (IPv6) of an address; the text itself if it is none; ``-`` if absent."""
    if not address:
        return "-"
    try:
        parsed = ipaddress.ip_address(address.strip().partition("%")[0])
    except ValueError:
        return address.strip().casefold()
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 64), strict=False))


def _where(event: Mapping[str, Any]) -> str:
    parts = [
        event.get("src_country") or event.get("src_endpoint_location_country"),
        event.get("src_net_name") or event.get("src_net_class"),
        event.get("src_as_org"),
    ]
    address = str(event.get("src_endpoint_ip") or event.get("src_endpoint_hostname") or "")
    known = ", ".join(str(part) for part in parts if part)
    return f"{address} ({known})" if known and address else address or known


def account_keys(accounts: pa.Table, systems: Mapping[str, tuple[str, ...]]) -> pa.Table:
    """The table ``accounts`` by ``source`` (``*``: every one) and ``key``, which is what enrichment puts into
    ``account_ref``. A system that no source names is the source of that id."""
    sources: dict[str, list[str]] = defaultdict(list)
    for source, names in systems.items():
        for name in dict.fromkeys(fold(name) for name in names):
            sources[name].append(source)
    rows: list[int] = []
    held: list[str] = []
    for row, name in enumerate(accounts.column("system").to_pylist()):
        system = fold(name)
        own = [] if system in systems else [system]
        for source in ["*"] if system == "*" else sources.get(system, own):
            rows.append(row)
            held.append(source)
    picked = accounts.take(pa.array(rows, pa.int64()))
    keys = [fold(name) for name in picked.column("account").to_pylist()]
    kept = picked.select(["person_id", "kind", "privileged", "mfa_required", "valid_from", "valid_to"])
    return kept.add_column(0, "source", pa.array(held, pa.string())).add_column(
        1, "key", pa.array(keys, pa.string())
    )
