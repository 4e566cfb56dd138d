"""The collecting process: receivers, the journal's only writer, metrics."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections import Counter
from typing import Any

import click
from aiohttp import web

from sekisho import status, wiring
from sekisho.cli import process
from sekisho.model import Refused
from sekisho.settings import Settings

log = logging.getLogger(__name__)

STATUS_SECONDS = 1.0


async def _say(settings: Settings, receivers: wiring.Receivers, started: float) -> None:
    """Tell once a second how it is."""
    rates = status.Rates()
    while True:
        words = process.said("collect", started)
        counters = receivers.counters
        words.counts = {
            "received": status.counts(counters.records.items()),
            "received_bytes": status.counts(counters.bytes.items()),
            "refused": status.counts(counters.refused.items()),
            "dropped": status.counts(counters.dropped.items()),
            **receivers.sealing.counts(),
        }
        words.numbers = {"next_frame": float(receivers.writer.next_frame), **receivers.sealing.numbers()}
        words.texts = receivers.sealing.texts()
        by_source: Counter[str] = Counter()
        for (source, _), number in counters.records.items():
            by_source[source] += number
        words.rates = rates.note(words.at, by_source)
        words.last_seen = {source: at / 1e9 for source, at in counters.last_seen.items()}
        status.write(settings.run_dir, words)
        await asyncio.sleep(STATUS_SECONDS)


async def _run(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    process.end_with_parent(lambda: loop.call_soon_threadsafe(stop.set))
    started = wiring.now().timestamp()

    async def metrics(_: web.Request) -> web.Response:
        text = await asyncio.to_thread(status.exposition, settings.run_dir, wiring.now().timestamp())
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    receivers = await wiring.receivers(
        settings,
        extra_routes=[web.get("/metrics", metrics)],
        open_routes=[web.get("/healthz", health)],
    )
    telling: asyncio.Future[None] = asyncio.ensure_future(_say(settings, receivers, started))
    sealing: asyncio.Future[None] = asyncio.ensure_future(receivers.sealing.run())
    stopping: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait(
            {telling, sealing, stopping, receivers.failed}, return_when=asyncio.FIRST_COMPLETED
        )
        for ended in (telling, sealing, receivers.failed):
            if ended.done():
                ended.result()  # the disk failed, or a bug: end, recover at the next start
    finally:
        telling.cancel()
        stopping.cancel()
        sealing.cancel()
        await asyncio.wait({sealing})
        await receivers.close()


def main(settings: Settings) -> None:
    """Until SIGTERM; then what was received is written and acknowledged before the end."""
    process.log_to_file(settings.data, "collect")
    try:
        asyncio.run(_run(settings))
    except Refused as refusal:
        log.error("refused: %s", refusal.why)
        click.echo(f"sekisho: {refusal}", err=True)
        raise SystemExit(process.REFUSED) from refusal
    except Exception:
        log.exception("the receivers stop")
        raise
