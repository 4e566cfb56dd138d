"""The register of this module: the identifier becomes a keyed hash before anything is compared or stored."""

from __future__ import annotations

from sekisho.contract import TABLES
from sekisho.model.folding import keyed_hash
from sekisho.modules.decoys.models import Decoy
from sekisho.modules.ledger.flows import Register
from sekisho.tabular import Row


def register(key: bytes) -> Register:
    """``key``: of ``<data>/secrets/decoy.key``."""

    def seal(row: Row) -> Row:
        clear = row.values.get("identifier")
        if not isinstance(clear, str):
            return row
        return row._replace(values={**row.values, "identifier": keyed_hash(key, clear)})

    return Register(TABLES["decoys"], Decoy, seal)


#: For reading only: it cannot seal, so it must not import.
DECOYS = Register(TABLES["decoys"], Decoy)
REGISTERS = (DECOYS,)
