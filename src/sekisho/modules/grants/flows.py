"""The register of this module; what is done with it is in ``ledger.flows``."""

from __future__ import annotations

from sekisho.contract import TABLES
from sekisho.modules.grants.models import Assignment
from sekisho.modules.ledger.flows import Register

ASSIGNMENTS = Register(TABLES["assignments"], Assignment)
REGISTERS = (ASSIGNMENTS,)
