"""The notification process: sends what is due, waits, sends again."""

from __future__ import annotations

import logging
import threading

from sekisho import status, wiring
from sekisho.cli import process
from sekisho.model import Refused, Retry
from sekisho.settings import Settings

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
OWED_SECONDS = 60.0


def deliver_owed(settings: Settings) -> None:
    """Journal what changes of an interrupted command still owe; what cannot be done now stays owed."""
    try:
        wiring.deliver_audit(settings, alone=False)
    except (Retry, Refused, OSError) as error:
        log.warning("audit events are still owed: %s", error)


def main(settings: Settings) -> None:
    """Until SIGTERM. A bug ends the process; a row that was being sent is claimed anew after its lease."""
    process.log_to_file(settings.data, "notify")
    stop = threading.Event()
    process.on_signal(stop.set)
    process.end_with_parent(stop.set)
    wiring.migrate(settings)
    from sekisho.modules.alerts import notify  # Django must be configured before its models load

    started = wiring.now().timestamp()
    try:
        owed_at = 0.0
        while not stop.is_set():
            if wiring.now().timestamp() - owed_at > OWED_SECONDS:
                owed_at = wiring.now().timestamp()
                deliver_owed(settings)
            sent = notify.deliver_due(wiring.now(), settings)
            words = process.said("notify", started)
            words.counts = {"deliveries": status.counts(notify.counts().items())}
            status.write(settings.run_dir, words)
            if not sent:
                stop.wait(PAUSE_SECONDS)
    except Exception:
        log.exception("the notifications stop")
        raise
