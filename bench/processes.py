"""What three processes and a supervisor of our own cost (decision 0008).

    python -m bench.processes [--rounds 5] [--events 200000]

Printed: seconds from `sekisho up` to its first line and until every process says that it runs; resident memory
by process at rest; seconds from `kill -9` of a process until it works again; and, with the same events
already in the journal, events/s of the pipeline with and without the second process that normalises ahead.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.platform import Platform
from bench.shapes import records
from sekisho import first_run, status, wiring
from sekisho.model import Records
from sekisho.settings import Settings, load

PER_FRAME = 1000
SOURCES = ("okta", "cloudtrail", "windows")


def starting(folder: Path) -> tuple[float, float, dict[str, int]]:
    """Seconds to the first line and until all speak; resident bytes by process ten seconds later."""
    began = time.perf_counter()
    with Platform(folder) as platform:
        line = time.perf_counter() - began
        platform.until(lambda: speaking(folder) == set(status.PROCESSES), 60, "all processes run", 0.02)
        every = time.perf_counter() - began
        time.sleep(10)
        sizes = {name: platform.said(name)["resident_bytes"] for name in status.PROCESSES}
        pages = Path(f"/proc/{platform.supervisor}/statm").read_text().split()[1]
        return line, every, {"supervisor": int(pages) * 4096, **{k: int(str(v)) for k, v in sizes.items()}}


def speaking(folder: Path) -> set[str]:
    said = {name: status.read(folder / "run", name) for name in status.PROCESSES}
    return {name for name, words in said.items() if status.alive(words, time.time())}


def killing(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds from `kill -9` until the process works again, each time after it ran for a while."""
    took: dict[str, list[float]] = {name: [] for name in status.PROCESSES}
    with Platform(folder) as platform:
        for _ in range(rounds):
            for name, seconds in took.items():
                time.sleep(3)
                began = time.perf_counter()
                platform.wait_restarted(name, platform.kill(name))
                seconds.append(time.perf_counter() - began)
    return took


def journaled(folder: Path, events: int) -> Settings:
    """A data folder with so many events in the journal, none of them taken further."""
    first_run.prepare(folder, time.time())
    settings = load(folder)
    wiring.migrate(settings)
    wiring.publish(settings)
    at = datetime.now(tz=UTC)
    made = {source: records(source, events // len(SOURCES), at=at) for source in SOURCES}
    with wiring.appending(settings) as append:
        for start in range(0, events // len(SOURCES), PER_FRAME):
            for source, bodies in made.items():
                part = tuple(bodies[start : start + PER_FRAME])
                append(Records(source, "ndjson", "none", "bench", "", wiring.now_ns(), part))
    return settings


def draining(settings: Settings, *, ahead: bool) -> float:
    """Events/s of the pipeline in this process over the whole journal."""
    plane = wiring.open_plane(settings)
    wiring.quiet_gc()
    if not ahead:
        plane.ahead._bound = 1 << 60  # noqa: SLF001 - no batch is ever full, so the worker is never asked
    done, began = 0, time.perf_counter()
    try:
        while (step := plane.step()) is not None:
            done += step.events
        return done / (time.perf_counter() - began)
    finally:
        wiring.usual_gc()
        plane.close()


def speeds(scratch: Path, rounds: int, events: int) -> None:
    """Both ways in turn, so that other work on the machine disturbs both alike."""
    found: dict[bool, list[float]] = {False: [], True: []}
    for number in range(rounds):
        for ahead, rates in found.items():
            folder = scratch / f"journal-{number}-{ahead}"
            rates.append(draining(journaled(folder, events), ahead=ahead))
            shutil.rmtree(folder, ignore_errors=True)
    print(f"pipeline over {events:,} events in the journal, events/s (median, fastest)")
    for ahead, rates in found.items():
        name = "with the second process" if ahead else "one process"
        print(f"  {name:<24}{statistics.median(rates):>9,.0f}{max(rates):>9,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=200_000)
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="sekisho-bench-"))
    try:
        starts = [starting(scratch / f"up-{n}") for n in range(arguments.rounds)]
        print("first start of an empty data folder, seconds (median, slowest)")
        for name, place in (("first line", 0), ("all run", 1)):
            took = [float(start[place]) for start in starts]  # type: ignore[arg-type]
            print(f"  {name:<12}{statistics.median(took):>8.1f}{max(took):>8.1f}")
        print("resident at rest, MB (median, greatest)")
        for name in starts[0][2]:
            sizes = [start[2][name] / 1e6 for start in starts]
            print(f"  {name:<12}{statistics.median(sizes):>8,.0f}{max(sizes):>8,.0f}")
        print("kill -9 until it works again, seconds (median, slowest)")
        for name, seconds in killing(scratch / "kill", arguments.rounds).items():
            print(f"  {name:<12}{statistics.median(seconds):>8.1f}{max(seconds):>8.1f}")
        speeds(scratch, arguments.rounds, arguments.events)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
