"""Where an address is: country, AS, and what kind of network."""

from __future__ import annotations

import hashlib
import ipaddress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sekisho.enrich.lists import Address, NetworkList, parse_address
from sekisho.enrich.mmdb import Mmdb, asn_of, country_of, holder_of
from sekisho.enrich.timeline import (
    NEVER,
    NO_STEPS,
    NOTHING,
    Coded,
    Ints,
    Span,
    Steps,
    micros,
    resolve,
    spread,
    steps,
)
from sekisho.settings import Enrich

#: First hit decides; vpn and tor are of one rank (the order in the settings decides between them).
ORDER = ("own-egress", "own-vpn", "relay", "vpn", "tor", "hosting", "satellite", "mobile", "fixed")
_RANK = {name: -place for place, name in enumerate(ORDER)} | {"tor": -ORDER.index("vpn")}
_REMEMBERED = 1 << 16


class Place(NamedTuple):
    """What the installation's files say of an address (no master data in it)."""

    country: str | None
    asn: int | None
    holder: str | None
    net_class: str | None
    net_name: str | None


_NOWHERE = Place(None, None, None, None, None)


class Atlas:
    """The country table, the AS table and the lists of the settings; each may be absent."""

    def __init__(self, options: Enrich) -> None:
        """Raises ``Refused`` that names the file which cannot be used."""
        self._country = Mmdb(Path(options.country_mmdb), "country_mmdb") if options.country_mmdb else None
        self._asn = Mmdb(Path(options.asn_mmdb), "asn_mmdb") if options.asn_mmdb else None
        lists = [NetworkList(entry) for entry in options.networks]
        self._lists = sorted(lists, key=lambda entry: -_RANK[entry.net_class])
        self.place = lru_cache(maxsize=_REMEMBERED)(self._place)

    def versions(self) -> dict[str, str]:
        """What is in use: file or list name -> digest (and kind, build time of a database)."""
        found = {f"list {entry.name} ({entry.path.name})": entry.digest for entry in self._lists}
        for name, table in (("country_mmdb", self._country), ("asn_mmdb", self._asn)):
            if table is not None:
                found[name] = table.version
        return found

    def failures(self) -> dict[str, int]:
        """Look-ups that failed inside a broken database, by file."""
        return {
            str(table.path): table.failed
            for table in (self._country, self._asn)
            if table is not None and table.failed
        }

    def digest(self) -> str:
        """Short digest over all versions; ``none`` without files."""
        versions = self.versions()
        if not versions:
            return "none"
        return hashlib.sha256(repr(sorted(versions.items())).encode()).hexdigest()[:8]

    def _place(self, value: str) -> Place:
        address = parse_address(value)
        if address is None:
            return _NOWHERE
        if _is_private(address):
            return Place(None, None, None, "private", None)
        country = country_of(self._country.record(address)) if self._country else None
        record = self._asn.record(address) if self._asn else {}
        asn, holder = asn_of(record), holder_of(record)
        for entry in self._lists:
            if entry.holds(address, asn):
                return Place(country, asn, holder, entry.net_class, entry.name)
        return Place(country, asn, holder, None, None)


_DOCUMENTATION = tuple(
    ipaddress.ip_network(block)
    for block in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
)


def _is_private(address: Address) -> bool:
    """Loopback, link-local, RFC 1918 and the like; the documentation ranges stand for public ones here,
    so that examples and rehearsals behave like the real thing."""
    if any(address in block for block in _DOCUMENTATION):
        return False
    return address.is_private or address.is_link_local or address.is_multicast


class OwnNetworks:
    """Table ``networks``: class before prefix length before start of validity."""

    def __init__(self, networks: pa.Table) -> None:
        self.names: list[str] = networks.column("name").to_pylist()
        self.classes: list[str] = networks.column("net_class").to_pylist()
        self._rows: list[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, Span]] = []
        rows = zip(
            networks.column("cidr").to_pylist(),
            self.classes,
            micros(networks.column("valid_from"), 0).tolist(),
            micros(networks.column("valid_to"), NEVER).tolist(),
            strict=True,
        )
        for number, (cidr, net_class, start, end) in enumerate(rows):
            network = ipaddress.ip_network(cidr, strict=False)
            rank = _RANK.get(net_class, -99) * 1000 + network.prefixlen
            self._rows.append((network, Span(start, end, number, rank)))
        self._known = lru_cache(maxsize=_REMEMBERED)(self._look)

    def find(self, addresses: Coded, times: Ints) -> Ints:
        """Row of the table for each event, ``NOTHING`` where no own network is valid."""
        if not self._rows:
            return np.full(len(times), NOTHING, np.int64)
        return resolve([self._known(value) for value in addresses.values], addresses.codes, times)

    def _look(self, value: str) -> Steps:
        address = parse_address(value)
        if address is None:
            return NO_STEPS
        spans = [span for network, span in self._rows if address in network]
        return steps(spans, lasting=False)


def place_columns(
    atlas: Atlas, own: OwnNetworks, addresses: pa.ChunkedArray, times: Ints
) -> dict[str, pa.Array]:
    """The ``src_*`` columns of enrichment."""
    coded = Coded.of(addresses)
    places = [atlas.place(value) for value in coded.values]
    picks = pa.array(coded.codes, mask=coded.codes < 0)

    def column(values: list[str | None] | list[int | None], kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind).take(picks) if values else pa.nulls(len(times), kind)

    found = own.find(coded, times)
    listed_class = column([place.net_class for place in places], pa.string())
    listed_name = column([place.net_name for place in places], pa.string())
    own_class, own_name = spread(own.classes, found), spread(own.names, found)
    is_own = pa.array(found >= 0)
    return {
        "src_country": column([place.country for place in places], pa.string()),
        "src_asn": column([place.asn for place in places], pa.int64()),
        "src_as_org": column([place.holder for place in places], pa.string()),
        "src_net_class": pc.if_else(is_own, own_class, listed_class),
        "src_net_name": pc.if_else(is_own, own_name, listed_name),
    }
