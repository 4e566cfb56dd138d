"""The register of this module: the identifier becomes a keyed hash before anything is compared or stored."""

from __future__ import annotations

import hashlib
import hmac

from sekisho.contract import TABLES
from sekisho.modules.decoys.models import Decoy
from sekisho.modules.ledger.flows import Register
from sekisho.tabular import Row


def identifier_hash(key: bytes, identifier: str) -> str:
    """HMAC-SHA256 (RFC 2104) of the identifier without surrounding blanks and case, 64 hex digits."""
    return hmac.new(key, identifier.casefold().strip().encode("utf-8"), hashlib.sha256).hexdigest()


def register(key: bytes) -> Register:
    """``key``: of ``<data>/secrets/decoy.key``."""

    def seal(row: Row) -> Row:
        clear = row.values.get("identifier")
        if not isinstance(clear, str):
            return row
        return row._replace(values={**row.values, "identifier": identifier_hash(key, clear)})

    return Register(TABLES["decoys"], Decoy, seal)


#: For reading only: it cannot seal, so it must not import.
DECOYS = Register(TABLES["decoys"], Decoy)
REGISTERS = (DECOYS,)
