"""The process that answers those who cannot read the data folder."""

from __future__ import annotations

import logging
import threading

import click

from sekisho import status, wiring
from sekisho.cli import process
from sekisho.model import Refused
from sekisho.settings import Settings

STATUS_SECONDS = 1.0

log = logging.getLogger(__name__)


def main(settings: Settings) -> None:
    """Until SIGTERM; open questions are ended then."""
    process.log_to_file(settings.data, "ask")
    started = wiring.now().timestamp()
    ended = threading.Event()
    try:
        if not settings.access.roles:
            raise Refused("nobody may ask: no role is named", "name one in [[access.roles]] of sekisho.toml")
        desk = wiring.Desk(settings)
    except Refused as refusal:
        log.error("refused: %s", refusal.why)
        click.echo(f"sekisho: {refusal}", err=True)
        raise SystemExit(process.REFUSED) from refusal

    def stop() -> None:
        ended.set()
        desk.stop()

    process.on_signal(stop)
    process.end_with_parent(stop)
    telling = threading.Thread(target=_say, args=(settings, started, ended), daemon=True)
    telling.start()
    try:
        desk.run()
    except Exception:
        log.exception("the service of questions stops")
        raise
    finally:
        ended.set()


def _say(settings: Settings, started: float, ended: threading.Event) -> None:
    while True:
        status.write(settings.run_dir, process.said("ask", started))
        if ended.wait(STATUS_SECONDS):
            return
