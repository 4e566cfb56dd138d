"""What each process says of itself, and what the operator and Prometheus read from it.

Each process replaces its small file ``<data>/run/<name>.json`` about once a second. Readers need no
connection to the process, so status works while something hangs or is down.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

#: A process that has not written for so many seconds is taken for hung or dead.
STALE_SECONDS = 15.0
PROCESSES = ("collect", "pipeline", "notify")


class Count(msgspec.Struct, frozen=True):
    """A number with its two labels (source and receiver, receiver and reason, source and code)."""

    first: str
    second: str
    value: int


class Said(msgspec.Struct):
    """One process's words. ``counts`` by name; times in seconds since 1970 UTC."""

    name: str
    pid: int
    started_at: float
    at: float
    resident_bytes: int
    counts: dict[str, list[Count]] = {}
    numbers: dict[str, float] = {}
    texts: dict[str, str] = {}
    rates: dict[str, float] = {}
    last_seen: dict[str, float] = {}
    lags: dict[str, float] = {}


class Rates:
    """Records per second by source over the last minute."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._past: deque[tuple[float, Counter[str]]] = deque()

    def note(self, at: float, totals: Counter[str]) -> dict[str, float]:
        self._past.append((at, Counter(totals)))
        while len(self._past) > 2 and at - self._past[0][0] > self._seconds:
            self._past.popleft()
        first_at, first = self._past[0]
        span = at - first_at
        if span <= 0:
            return {}
        return {name: (total - first[name]) / span for name, total in totals.items()}


def resident_bytes() -> int:
    """Resident memory of this process (Linux; 0 elsewhere)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def write(folder: Path, said: Said) -> None:
    fresh = folder / f".{said.name}.new"
    fresh.write_bytes(msgspec.json.encode(said))
    fresh.replace(folder / f"{said.name}.json")


def read(folder: Path, name: str) -> Said | None:
    """None if the process never spoke or its file cannot be read."""
    try:
        return msgspec.json.decode((folder / f"{name}.json").read_bytes(), type=Said)
    except (OSError, msgspec.MsgspecError):
        return None


def alive(said: Said | None, now: float) -> bool:
    if said is None or now - said.at > STALE_SECONDS:
        return False
    return Path(f"/proc/{said.pid}").exists() if Path("/proc/self").exists() else True


def process_lives(said: Said) -> bool:
    """Whether the process that wrote this is still there, speaking or not; elsewhere than on Linux ``alive``
    must do. Its number may be another's by now: that one began after the last word."""
    try:
        fields = Path(f"/proc/{said.pid}/stat").read_text().rpartition(")")[2].split()
        booted = next(
            float(line.split()[1])
            for line in Path("/proc/stat").read_text().splitlines()
            if line[:5] == "btime"
        )
    except FileNotFoundError:
        return not Path("/proc/self").exists()
    state, ticks = fields[0], float(fields[19])
    return state != "Z" and booted + ticks / os.sysconf("SC_CLK_TCK") <= said.at + 1.0


class Metric(NamedTuple):
    """One metric of ``/metrics``: name without the prefix ``sekisho_``, kind, labels, what it counts."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


#: Everything that ``/metrics`` shows. A process may only say what stands here.
METRICS = (
    Metric("process_up", "gauge", ("process",), "1 if the process runs and speaks"),
    Metric("process_resident_bytes", "gauge", ("process",), "resident memory"),
    Metric("last_seen_seconds", "gauge", ("source",), "time of receipt of the newest record"),
    Metric("received", "counter", ("source", "receiver"), "records received, by label as received"),
    Metric("received_bytes", "counter", ("source", "receiver"), "bytes of records received"),
    Metric("refused", "counter", ("receiver", "reason"), "requests turned away before the journal"),
    Metric("dropped", "counter", ("receiver", "reason"), "records lost before the journal"),
    Metric("events", "counter", ("source",), "records that became events, since the process began"),
    Metric("rejects", "counter", ("source", "code"), "records that could not become events"),
    Metric("duplicates", "counter", ("source",), "records that were stored already"),
    Metric("findings", "counter", ("rule",), "findings handed to the alerts"),
    Metric(
        "unjudged",
        "counter",
        ("rule", "reason"),
        "events that a rule could not judge when they were stored, since the beginning",
    ),
    Metric("deliveries", "gauge", ("state",), "notifications by state"),
    Metric("next_frame", "gauge", (), "number of the frame that comes next in the journal"),
    Metric("offset", "gauge", (), "last journal frame that is searchable"),
    Metric("backlog_frames", "gauge", (), "frames received but not yet searchable"),
    Metric("lag_seconds", "gauge", (), "age of the oldest record of the last batch when it was stored"),
    Metric("sealed_frames", "gauge", (), "frames that the last signed checkpoint covers"),
    Metric("unsealed_frames", "gauge", (), "frames that no checkpoint covers yet"),
    Metric("seal_seconds", "gauge", (), "time of the last checkpoint"),
    Metric("seal_failed", "gauge", (), "1 while the journal cannot be sealed"),
    Metric("witness_told_seconds", "gauge", ("kind", "name"), "when a witness last took a checkpoint"),
    Metric("witness_lag_frames", "gauge", ("kind", "name"), "sealed frames that a witness does not know of"),
    Metric("witness_failed", "gauge", ("kind", "name"), "1 while a witness cannot be told"),
    Metric(
        "witness_refused", "gauge", ("kind", "name"), "1 while a witness says that the journal was altered"
    ),
    Metric("retention_run_seconds", "gauge", (), "time of the last run of retention"),
    Metric("retention_waiting", "gauge", (), "deletions that wait for a person to confirm them"),
    Metric("retention_failed", "gauge", (), "1 if the last run of retention could not do its work"),
    Metric("compact_pid", "gauge", (), "process that moves closed days to the cold tier; 0 if there is none"),
    Metric("ahead_pid", "gauge", (), "process that normalises ahead under load; 0 if there is none"),
)
_BY_NAME = {metric.name: metric for metric in METRICS}


def _family(name: str) -> CounterMetricFamily | GaugeMetricFamily:
    metric = _BY_NAME[name]
    family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return family(f"sekisho_{name}", metric.text, labels=metric.labels)


class _Files(Collector):
    def __init__(self, folder: Path, now: float) -> None:
        self._folder = folder
        self._now = now

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        said = {name: read(self._folder, name) for name in PROCESSES}
        up, memory = _family("process_up"), _family("process_resident_bytes")
        seen = _family("last_seen_seconds")
        for name, words in said.items():
            up.add_metric([name], float(alive(words, self._now)))
            if words is not None:
                memory.add_metric([name], words.resident_bytes)
                for source, at in words.last_seen.items():
                    seen.add_metric([source], at)
        yield from (up, memory, seen)
        for words in said.values():
            if words is not None:
                yield from _families(words)


def _families(words: Said) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
    for name, counts in words.counts.items():
        family = _family(name)
        for count in counts:
            family.add_metric([count.first, count.second][: len(_BY_NAME[name].labels)], count.value)
        yield family
    for name, value in words.numbers.items():
        single = _family(name)
        single.add_metric([], value)
        yield single


def exposition(folder: Path, now: float) -> bytes:
    """Prometheus text format of everything the processes said."""
    registry = CollectorRegistry()
    registry.register(_Files(folder, now))
    return generate_latest(registry)


def counts(values: Iterable[tuple[Any, int]]) -> list[Count]:
    """From Counter items whose keys are a name or a pair of names."""
    return [
        Count(key[0], key[1], value) if isinstance(key, tuple) else Count(str(key), "", value)
        for key, value in values
    ]
