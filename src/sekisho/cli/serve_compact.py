"""The compaction process: closed days to the cold tier, with what the ingestion leaves of the processor."""

from __future__ import annotations

import logging
import os
from datetime import timedelta

from sekisho import wiring
from sekisho.cli import process
from sekisho.lake.cold.compact import forget_snapshots
from sekisho.model import Refused, Retry
from sekisho.settings import Settings

log = logging.getLogger(__name__)

NICE = 10
#: Iceberg snapshots are kept so long for engines that still read them.
SNAPSHOTS = timedelta(hours=1)


def main(settings: Settings) -> None:
    """Until nothing is waiting. It may be ended at any moment: see ``lake.cold.compact``."""
    process.log_to_file(settings.data, "compact")
    process.on_signal(lambda: os._exit(0))
    process.end_with_parent(lambda: os._exit(0))
    os.nice(NICE)
    try:
        with wiring.open_compaction(settings) as compaction:
            moved = False
            while done := compaction.step():
                moved = True
                log.info("compacted %s: %d bytes became %d", done.days, done.hot, done.cold)
        if moved:
            forget_snapshots(settings.lake_dir, wiring.now() - SNAPSHOTS)
    except (Refused, Retry) as refusal:
        log.warning("not now: %s", refusal)
    except Exception:
        log.exception("the compaction stops")
        raise
