"""Tables in MaxMind's format: country and AS of an address. Files come from outside: nothing is trusted."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import maxminddb

from sekisho.enrich.lists import Address
from sekisho.model import Refused

#: What a broken file makes a reader raise, at opening and at a look-up (each seen on published bad files).
BROKEN = (
    maxminddb.InvalidDatabaseError,
    OSError,
    ValueError,  # UnicodeDecodeError too
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
    MemoryError,
    struct.error,
)


class Mmdb:
    """One file. A look-up that fails gives an empty record and is counted in ``failed``."""

    def __init__(self, path: Path, setting: str) -> None:
        """Raises ``Refused`` that names the file and the setting if it cannot be opened."""
        self.path = path
        self.failed = 0
        try:
            self._reader = maxminddb.open_database(path, maxminddb.MODE_AUTO)
            meta = self._reader.metadata()
            self.version = f"{_digest(path)} {str(meta.database_type)[:60]} {int(meta.build_epoch)}"
        except BROKEN as error:
            raise Refused(
                f"{path}: not a usable MaxMind database: {type(error).__name__}: {error}",
                f"correct enrich.{setting} in sekisho.toml, fetch the file again, or remove the line",
            ) from error

    def record(self, address: Address) -> Mapping[str, Any]:
        try:
            found = self._reader.get(address)
        except BROKEN:
            self.failed += 1
            return {}
        return found if isinstance(found, dict) else {}


def country_of(record: Mapping[str, Any]) -> str | None:
    """ISO code as GeoLite2, DB-IP (``country.iso_code``) or ip-location-db (``country_code``) write it."""
    country = record.get("country")
    code = country.get("iso_code") if isinstance(country, dict) else record.get("country_code", country)
    if isinstance(code, str) and len(code) == 2 and code.isascii() and code.isalpha():
        return code.upper()
    return None


def asn_of(record: Mapping[str, Any]) -> int | None:
    """AS number as GeoLite2, ip-location-db or IPinfo write it."""
    for name in ("autonomous_system_number", "asn"):
        value = record.get(name)
        if isinstance(value, str) and value.upper().removeprefix("AS").isdecimal():
            value = int(value.upper().removeprefix("AS")[:20])
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 32:
            return value
    return None


def holder_of(record: Mapping[str, Any]) -> str | None:
    for name in ("autonomous_system_organization", "as_name", "organization", "name"):
        value = record.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()[:200]
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
