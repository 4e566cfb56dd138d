"""The whole road: receive over HTTP -> journal -> events -> rules -> alerts -> searchable.

    python -m bench.road                     5 million events as fast as they are taken, memory watched
    python -m bench.road --events 1000000
    python -m bench.road --rate 2000 --seconds 60   latency from receipt to alert, memory at that load

Events are Okta, CloudTrail and Winlogbeat records of 1.3-1.7 kB in NDJSON batches of 1,000 over four
connections; all shipped rules are on; the sender runs on the same machine. Printed: events/s from the
first byte sent to the last event searchable, resident memory by process over time, and latencies.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.platform import Platform
from bench.shapes import records

BATCH = 1000
SOURCES = ("okta", "cloudtrail", "windows")


class Sender:
    """One connection. 503 means: wait and send the same batch again."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._connection = http.client.HTTPConnection("127.0.0.1", platform.http_port, timeout=60)
        self.waited = 0

    def send(self, source: str, body: bytes) -> None:
        headers = {"Authorization": f"Bearer {self._platform.token}", "Content-Type": "application/x-ndjson"}
        while True:
            self._connection.request("POST", f"/v1/ingest/{source}", body, headers)
            answer = self._connection.getresponse()
            answer.read()
            if answer.status == 503:
                self.waited += 1
                time.sleep(float(answer.headers.get("Retry-After", "1")))
                continue
            if answer.status >= 300:
                raise RuntimeError(f"HTTP {answer.status}")
            return


def flood(platform: Platform, events: int, backlog_limit: int) -> None:
    """Send as fast as they are taken, but never let more than ``backlog_limit`` frames wait."""
    threads = 4
    share = events // threads
    ahead = threading.Event()
    ahead.set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.2):
            words = platform.said("pipeline")["numbers"]
            assert isinstance(words, dict)
            (ahead.set if words["backlog_frames"] < backlog_limit else ahead.clear)()

    def run(thread: int) -> None:
        sender = Sender(platform)
        for start in range(0, share, BATCH):
            ahead.wait()
            number = thread * share + start
            source = SOURCES[number // BATCH % len(SOURCES)]
            size = min(BATCH, share - start)
            sender.send(source, b"\n".join(records(source, size, start=number)))

    workers = [threading.Thread(target=run, args=(i,)) for i in range(threads)]
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    stop.set()


def watch_memory(
    platform: Platform, stop: threading.Event, seen: list[tuple[float, dict[str, int], float]]
) -> None:
    began = time.perf_counter()
    while not stop.wait(2.0):
        try:
            words = platform.said("pipeline")["numbers"]
            assert isinstance(words, dict)
            seen.append((time.perf_counter() - began, platform.resident(), float(words["offset"])))
        except (OSError, ValueError):
            continue


def throughput(platform: Platform, events: int) -> None:
    events -= events % (4 * BATCH)
    seen: list[tuple[float, dict[str, int], float]] = []
    stop = threading.Event()
    threading.Thread(target=watch_memory, args=(platform, stop, seen), daemon=True).start()
    began = time.perf_counter()
    flood(platform, events, 400)
    sent = time.perf_counter() - began
    platform.wait_for(events, 600)
    total = time.perf_counter() - began
    stop.set()
    status = platform.status()
    assert status["events"] == events, status
    disk = status["disk"]
    assert isinstance(disk, dict)
    print(f"events                     {events:,}")
    print(f"sent in                    {sent:,.1f} s")
    print(f"searchable and judged in   {total:,.1f} s = {events / total:,.0f} events/s")
    print(
        f"journal / lake             {disk['journal'] / events:,.0f} / {disk['lake'] / events:,.0f} bytes per event"
    )
    print("resident memory (MB) over time:")
    step = max(1, len(seen) // 12)
    for at, sizes, frame in seen[::step]:
        words = "  ".join(f"{name} {size / 1e6:,.0f}" for name, size in sizes.items())
        print(f"  {at:6.0f} s  frame {frame:8,.0f}  {words}  sum {sum(sizes.values()) / 1e6:,.0f}")


def latency(platform: Platform, rate: int, seconds: int) -> None:
    """A steady load; every second one record of a retired employee's account among it."""
    folder = platform.data
    (folder / "people.csv").write_text(
        "person_id,name,country,zone,employment_start,employment_end\n"
        "emp9999,Former Employee,JP,Asia/Tokyo,2020-04-01,2024-03-31\n"
    )
    platform.run("people", "import", str(folder / "people.csv"))
    accounts = "".join(
        f"okta,gone{i:04d}@reiji.example,emp9999,2020-04-01T00:00:00+09:00,2024-03-31T00:00:00+09:00\n"
        for i in range(seconds)
    )
    (folder / "accounts.csv").write_text(f"system,account,person_id,valid_from,valid_to\n{accounts}")
    platform.run("accounts", "import", str(folder / "accounts.csv"))
    time.sleep(2)
    sender = Sender(platform)
    sent_at: dict[str, float] = {}
    peak = 0
    began = time.perf_counter()
    for second in range(seconds):
        source = SOURCES[second % 3]
        gone = f"gone{second:04d}@reiji.example"
        trap = records("okta", 1, start=10**9 + second)[0]
        name = f"emp{(10**9 + second) * 7919 % 2000:04d}@reiji.example".encode()
        assert name in trap
        sent_at[gone] = time.time()
        sender.send("okta", trap.replace(name, gone.encode()))
        for part in range(2):
            size = rate // 2
            sender.send(
                source, b"\n".join(records(source, size, start=second * rate + part * size, per_second=rate))
            )
        peak = max(peak, sum(platform.resident().values()))
        time.sleep(max(0.0, began + second + 1 - time.perf_counter()))
    platform.wait_for(seconds * (rate // 2 * 2 + 1), 60)
    time.sleep(1)
    alerts = json.loads(platform.run("alerts", "list", "--json"))
    delays = []
    for alert in alerts:
        account = next((gone for gone in sent_at if gone in json.dumps(alert)), None)
        if account:
            created = datetime.fromisoformat(alert["created"]).astimezone(UTC).timestamp()
            delays.append(created - sent_at[account])
    delays.sort()
    if len(delays) != seconds:
        raise RuntimeError(f"{len(delays)} alerts for {seconds} planted records")
    p99 = delays[max(0, round(len(delays) * 0.99) - 1)]
    print(
        f"load                       {rate:,} events/s for {seconds} s, {len(delays)} planted records, all alerted"
    )
    print(
        f"receipt to alert           median {statistics.median(delays):.2f} s, p99 {p99:.2f} s, max {delays[-1]:.2f} s"
    )
    print(f"resident, whole platform   at most {peak / 1e6:,.0f} MB")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--rate", type=int, default=0, help="steady load instead of as fast as possible")
    parser.add_argument("--seconds", type=int, default=60)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sekisho-bench-"))
    try:
        with Platform(folder) as platform:
            if arguments.rate:
                latency(platform, arguments.rate, arguments.seconds)
            else:
                throughput(platform, arguments.events)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
