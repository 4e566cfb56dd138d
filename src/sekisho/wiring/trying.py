"""Records are tried in a process of their own, so that one that kills it is found."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import msgspec

from sekisho import normalise
from sekisho.model import Frame, Records
from sekisho.settings import Settings
from sekisho.wiring.found import content
from sekisho.wiring.parts import Master, detector, open_enricher

TRIAL_SECONDS = 120.0


def trial(settings: Settings, frames: Sequence[Frame]) -> str | None:
    """Run records through the pure stages in a process of its own; None if it ended well."""
    command = [sys.executable, "-m", "sekisho.cli.main", "--data", str(settings.data), "serve", "trial"]
    try:
        done = subprocess.run(
            command,
            input=msgspec.msgpack.encode([(frame.number, frame.records) for frame in frames]),
            capture_output=True,
            timeout=TRIAL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"does not end within {TRIAL_SECONDS:g} s"
    if done.returncode == 0:
        return None
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return said[-1][:500] if said else f"ends the process with status {done.returncode}"


def run_trial(settings: Settings, data: bytes) -> None:
    """The other end of ``trial``: pure stages only, nothing is stored; raises what they raise."""
    frames = [Frame(*pair) for pair in msgspec.msgpack.decode(data, type=list[tuple[int, Records]])]
    found = content()
    context = Master(settings.context_dir)()
    events = normalise.Normaliser(found.sources, zone=settings.zone).batch(frames).events
    detector(settings, found).run(open_enricher(settings, found).batch(events, context), context)
