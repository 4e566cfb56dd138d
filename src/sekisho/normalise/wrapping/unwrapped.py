"""The result of opening a wrapping."""

from __future__ import annotations

from typing import Any, NamedTuple

from sekisho.contract import Hints
from sekisho.model import Wrapping


class Unwrapped(NamedTuple):
    """``payload``   the source's own record
    ``hints``     what the wrapping says about it
    ``label``     source type that the sender names (HEC ``sourcetype``), or None
    ``wrapping``  the innermost wrapping that was opened (a syslog line inside HEC counts as syslog)
    ``rest``      what else the wrapping says; becomes part of ``unmapped``
    """

    payload: bytes
    hints: Hints
    label: str | None = None
    wrapping: Wrapping = "none"
    rest: dict[str, Any] | None = None
