"""`sekisho people`."""

from __future__ import annotations

from sekisho.cli.master import group

command = group("people")
