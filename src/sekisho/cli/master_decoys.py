"""`sekisho decoys`."""

from __future__ import annotations

from sekisho.cli.master import group

command = group("decoys")
