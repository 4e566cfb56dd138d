"""The registers of this module; what is done with them is in ``ledger.flows``."""

from __future__ import annotations

from sekisho.contract import TABLES
from sekisho.modules.ledger.flows import Register
from sekisho.modules.people.models import Account, Device, Network, Person

PEOPLE = Register(TABLES["people"], Person)
ACCOUNTS = Register(TABLES["accounts"], Account)
DEVICES = Register(TABLES["devices"], Device)
NETWORKS = Register(TABLES["networks"], Network)
REGISTERS = (PEOPLE, ACCOUNTS, DEVICES, NETWORKS)
