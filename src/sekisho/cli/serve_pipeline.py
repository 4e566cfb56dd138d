"""The pipeline process: takes batch after batch, merges small files when idle, tells how it is."""

from __future__ import annotations

import gc
import logging
import threading
from collections import Counter

import click

from sekisho import detect, status, wiring
from sekisho.cli import process
from sekisho.model import Refused, Retry
from sekisho.pipeline import Step
from sekisho.settings import Settings
from sekisho.wiring import keeper

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.1
STATUS_SECONDS = 1.0
COLLECT_BATCHES = 50


class _Loop:
    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._plane = wiring.open_plane(settings)
        self._started = wiring.now().timestamp()
        self._rates = status.Rates()
        self._said_at = 0.0
        self._lag = 0.0
        self._batches = 0
        self._merging: threading.Thread | None = None
        self._watch = wiring.Watch(settings)
        self._keeper = keeper.Keeper(settings, self._plane.lake)
        self._compactor = wiring.Compactor(settings)

    def run(self) -> None:
        wiring.quiet_gc()
        self._say()
        self._watch.start()
        while not self._stop.is_set():
            if self._watch.error is not None:
                raise self._watch.error
            try:
                step = self._plane.step()
            except Retry as retry:
                log.warning("waiting: %s", retry.why)
                self._stop.wait(retry.after)
                self._say_sometimes()
                continue
            if step is None:
                self._idle()
            else:
                self._after(step)
            self._say_sometimes()
        self._finish()

    def _after(self, step: Step) -> None:
        self._batches += 1
        self._lag = max(0.0, wiring.now().timestamp() - step.oldest / 1e9) if step.oldest else 0.0
        if self._batches % COLLECT_BATCHES == 0:
            gc.collect()
            self._merge()
        small = step.records < self._settings.pipeline.batch_records and self._plane.backlog() < 2
        if small and not self._plane.runner.in_parts:
            self._stop.wait(self._settings.pipeline.linger)

    def _merge(self) -> None:
        """Join small files in a thread of its own: it may take seconds, and alerts must not wait."""
        if self._merging is None or not self._merging.is_alive():
            self._merging = threading.Thread(target=self._plane.lake.merge, daemon=True, name="merge")
            self._merging.start()

    def _idle(self) -> None:
        self._lag = 0.0
        if self._plane.retry_rejects():
            return
        self._plane.ahead.rest()
        if self._batches:
            self._merge()
            gc.collect()
            self._batches = 0
        self._stop.wait(IDLE_SECONDS)

    def _finish(self) -> None:
        """A clean stop takes along what is already journaled, within reason."""
        end = wiring.now().timestamp() + 10.0
        while wiring.now().timestamp() < end and self._plane.step() is not None:
            pass
        self._keeper.close()
        if self._merging is not None:
            self._merging.join()
        self._watch.stop()
        self._say()
        self._compactor.close()
        self._plane.close()
        wiring.usual_gc()

    def _say_sometimes(self) -> None:
        if wiring.now().timestamp() - self._said_at >= STATUS_SECONDS:
            self._compactor.look()
            self._say()

    def _say(self) -> None:
        plane = self._plane
        tally = plane.tally
        words = process.said("pipeline", self._started)
        self._said_at = words.at
        offset = plane.lake.offset()
        words.counts = {
            "events": status.counts(tally.events.items()),
            "rejects": status.counts(tally.rejects.items()),
            "duplicates": status.counts(tally.duplicates.items()),
            "findings": status.counts(tally.findings.items()),
            "unjudged": status.counts(detect.unjudged.of_counters(plane.lake.counters()).items()),
        }
        words.numbers = {
            "offset": -1.0 if offset is None else float(offset),
            "backlog_frames": float(plane.backlog()),
            "lag_seconds": self._lag,
            "ahead_pid": float(plane.ahead.pid),
            **keeper.numbers(self._settings),
            "compact_pid": float(self._compactor.pid),
        }
        words.texts = {"context_version": plane.stages.context().version}
        words.lags = dict(tally.lags)
        words.rates = self._rates.note(words.at, Counter(tally.events))
        status.write(self._settings.run_dir, words)


def main(settings: Settings) -> None:
    """Until SIGTERM. A bug ends the process with its traceback in the log; the supervisor restarts it."""
    process.log_to_file(settings.data, "pipeline")
    stop = threading.Event()
    process.on_signal(stop.set)
    process.end_with_parent(stop.set)
    try:
        _Loop(settings, stop).run()
    except Refused as refusal:
        log.error("refused: %s", refusal.why)
        click.echo(f"sekisho: {refusal}", err=True)
        raise SystemExit(process.REFUSED) from refusal
    except Exception:
        log.exception("the pipeline stops")
        raise
