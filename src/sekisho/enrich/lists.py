"""Lists of networks: files with a CIDR, an address or an AS number per line, and look-up by address."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path

from sekisho.model import Refused
from sekisho.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_AS = re.compile(r"AS(\d{1,10})", re.IGNORECASE)


class Ranges:
    """Sorted address ranges without overlap, IPv4 and IPv6 apart (ends inclusive)."""

    def __init__(self, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> None:
        self._starts: dict[int, list[int]] = {4: [], 6: []}
        self._ends: dict[int, list[int]] = {4: [], 6: []}
        pairs: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        for network in networks:
            pairs[network.version].append((int(network.network_address), int(network.broadcast_address)))
        for version, found in pairs.items():
            starts, ends = self._starts[version], self._ends[version]
            for start, end in sorted(found):
                if ends and start <= ends[-1] + 1:
                    ends[-1] = max(ends[-1], end)
                else:
                    starts.append(start)
                    ends.append(end)

    def __contains__(self, address: Address) -> bool:
        starts, ends = self._starts[address.version], self._ends[address.version]
        place = bisect_right(starts, int(address))
        return bool(place) and int(address) <= ends[place - 1]


class NetworkList:
    """One list file. ``digest`` is the SHA-256 of its bytes, 16 hex digits."""

    def __init__(self, entry: Network) -> None:
        """Raises ``Refused`` with file, line and what was expected."""
        self.name = entry.name
        self.net_class: str = entry.net_class
        self.path = Path(entry.path)
        try:
            data = self.path.read_bytes()
            text = data.decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(
                f"{self.path}: the list {entry.name!r} cannot be read: {error}",
                "correct the path under [[enrich.networks]] in sekisho.toml, or remove the entry",
            ) from error
        self.digest = hashlib.sha256(data).hexdigest()[:16]
        self.numbers: set[int] = set()
        networks = []
        for number, line in enumerate(text.splitlines(), start=1):
            value = line.partition("#")[0].strip()
            if not value:
                continue
            found = _AS.fullmatch(value)
            if found:
                self.numbers.add(int(found[1]))
                continue
            try:
                networks.append(ipaddress.ip_network(value, strict=False))
            except ValueError as error:
                raise Refused(
                    f"{self.path}:{number}: {value[:80]!r} is neither an address range nor an AS number",
                    "one per line, e.g. 203.0.113.0/24, 2001:db8::/32 or AS64500; # starts a comment",
                ) from error
        self._ranges = Ranges(networks)

    def holds(self, address: Address, asn: int | None) -> bool:
        return address in self._ranges or (asn is not None and asn in self.numbers)


def parse_address(value: str) -> Address | None:
    """Address of a log field; IPv4 written as IPv6 becomes IPv4, a zone index is dropped."""
    try:
        address = ipaddress.ip_address(value.strip().partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
