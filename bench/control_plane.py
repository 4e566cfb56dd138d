"""What Django and SQLite cost the control plane (decision 0004).

    python -m bench.control_plane [--rows 10000] [--alerts 10000]

Printed: start and resident memory of a process that imports the data plane, and of one that also starts Django;
seconds to import so many people, to import the unchanged file again, and to raise so many alerts at once
and one by one (a transaction each, on the disk at return).
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from sekisho import first_run, wiring
from sekisho.modules import database
from sekisho.settings import load

_DATA_PLANE = "import sekisho.lake, sekisho.detect, sekisho.enrich, sekisho.normalise, sekisho.journal"
_DJANGO = "; from pathlib import Path; from sekisho.modules import database; database.start(Path({data!r}))"
_MODELS = "; from sekisho.modules.alerts import flows"
_TELL = "; print(open('/proc/self/statm').read().split()[1])"
_ROUNDS = 5


def cold(code: str) -> tuple[float, float]:
    """Seconds and MB of a fresh interpreter that does this (medians)."""
    seconds, sizes = [], []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        told = subprocess.run(
            [sys.executable, "-c", code + _TELL], check=True, capture_output=True, text=True
        ).stdout
        seconds.append(time.perf_counter() - began)
        sizes.append(int(told) * 4096 / 1e6)
    return statistics.median(seconds), statistics.median(sizes)


def importing(data: Path, rows: int) -> tuple[float, float]:
    """Seconds for the first import of so many people, and for the same file again."""
    from sekisho.cli.master import registers
    from sekisho.modules.ledger import flows

    head = "person_id,name,country,zone,employment_start\n"
    text = head + "".join(f"emp{n:06d},社員 {n},JP,Asia/Tokyo,2020-04-01\n" for n in range(rows))
    took = []
    for _ in range(2):
        upload = flows.Upload(text.encode(), "people.csv", "bench", {})
        began = time.perf_counter()
        outcome = flows.import_file(registers(data)["people"], upload, now=wiring.now())
        took.append(time.perf_counter() - began)
        assert not outcome.problems
    return took[0], took[1]


def raising(alerts: int) -> tuple[float, float]:
    """Alerts/s in one transaction, and in one each."""
    from sekisho.model import Evidence, Finding, Severity, Text
    from sekisho.modules.alerts import flows

    def finding(number: int) -> Finding:
        words = Text(ja="何か", en="something")
        piece = Evidence(datetime(2026, 5, 1, tzinfo=UTC), f"{number:032x}", "okta", (("account", "a"),))
        return Finding(
            "bench",
            f"s{number}",
            "day",
            Severity.LOW,
            words,
            words,
            words,
            (words,),
            ("A8",),
            (),
            (piece,),
            1,
        )

    began = time.perf_counter()
    flows.raise_alerts([finding(n) for n in range(alerts)], now=wiring.now())
    together = alerts / (time.perf_counter() - began)
    single = min(alerts, 1000)
    began = time.perf_counter()
    for number in range(single):
        flows.raise_alerts([finding(alerts + number)], now=wiring.now())
    return together, single / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--alerts", type=int, default=10_000)
    arguments = parser.parse_args()
    data = Path(tempfile.mkdtemp(prefix="sekisho-bench-"))
    try:
        first_run.prepare(data, time.time())
        wiring.migrate(load(data))
        print("a fresh process                     seconds     MB")
        django = _DATA_PLANE + _DJANGO.format(data=str(data))
        for name, code in (
            ("the interpreter alone", "pass"),
            ("data plane", _DATA_PLANE),
            ("data plane, Django, the models", django + _MODELS),
        ):
            seconds, size = cold(code)
            print(f"  {name:<32}{seconds:>9.2f}{size:>7,.0f}")
        database.start(data)
        first, again = importing(data, arguments.rows)
        print(f"{arguments.rows:,} people: {first:.2f} s; the same file again: {again:.2f} s")
        together, single = raising(arguments.alerts)
        print(f"alerts/s: {together:,.0f} in one transaction, {single:,.0f} in one each")
    finally:
        shutil.rmtree(data, ignore_errors=True)


if __name__ == "__main__":
    main()
