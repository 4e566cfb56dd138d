"""What this module publishes to the data plane."""

from __future__ import annotations

import pyarrow as pa

from sekisho.modules.grants.flows import REGISTERS
from sekisho.modules.ledger import publish


def tables() -> dict[str, pa.Table]:
    """Current rows by table name, in the schemas of ``sekisho.contract.tables``."""
    return {register.table.name: publish.table(register) for register in REGISTERS}
