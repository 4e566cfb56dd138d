"""Standing rules: what it costs to follow the lake and to ask what is absent.

    python -m bench.absence [--rows 1000000] [--devices 500] [--dir FOLDER]

Stored events of 30 days: Windows and Sysmon records (numbered) and EDR heartbeats of so many PCs, DNS by PC, and
sign-ins, in files of 100,000 that the lake merges as it does. Printed: the first reading of everything, a look with
nothing new, a look after one more minute's worth, memory, and the size of the digest.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from sekisho.lake import Lake
from sekisho.model import Offset
from sekisho.ocsf import EVENT_SCHEMA
from sekisho.settings import Lake as LakeSettings
from sekisho.settings import Settings
from sekisho.wiring.standing import Standing

BATCH = 100_000
END = datetime(2026, 5, 20, 3, 0, tzinfo=UTC)
DAYS = 30
KINDS = ("windows", "sysmon", "edr_crowdstrike", "unbound", "okta")


class Maker:
    """Batches in order of time; numbers of each log go on without a hole."""

    def __init__(self, rows: int, devices: int) -> None:
        self.dice = np.random.default_rng(7)
        self.devices = devices
        self.start = int((END - timedelta(days=DAYS)).timestamp() * 1e6)
        self.step = DAYS * 86_400 * 1_000_000 / rows
        self.done = 0
        self.next = np.ones((2, devices), np.int64)

    def batch(self, count: int, frame: int) -> pa.Table:
        at = (self.start + (self.done + np.arange(count)) * self.step).astype(np.int64)
        self.done += count
        kind = self.dice.choice(5, count, p=[0.35, 0.2, 0.25, 0.15, 0.05])
        device = self.dice.integers(0, self.devices, count)
        numbers = np.zeros(count, np.int64)
        for place in (0, 1):
            for one in np.unique(device[kind == place]):
                mine = np.flatnonzero((kind == place) & (device == one))
                numbers[mine] = self.next[place, one] + np.arange(len(mine))
                self.next[place, one] += len(mine)
        names = np.array([f"pc-{n:05}.corp.example" for n in range(self.devices)])
        assets = np.array([f"PC-{n:05}" for n in range(self.devices)])
        stamp = pa.timestamp("us", tz="UTC")
        filled = {
            "time": pa.array(at).cast(stamp),
            "ingested_at": pa.array(at + self.dice.integers(500_000, 4_000_000, count)).cast(stamp),
            "class_uid": pa.array(np.full(count, 1007, np.int32)),
            "event_uid": pa.array([f"{frame:08x}{n:024x}" for n in range(count)]),
            "source": pa.array(np.array(KINDS)[kind]),
            "receiver": pa.array(["hec"] * count),
            "journal_offset": pa.array(Offset(frame, 0).packed + np.arange(count)),
            "device_hostname": pa.array(names[device], mask=kind >= 3),
            "device_asset": pa.array(assets[device]),
            "metadata_sequence": pa.array(numbers, mask=kind > 1),
            "metadata_log_name": pa.array(
                np.where(kind == 0, "Security", "Sysmon/Operational"), mask=kind > 1
            ),
            "metadata_event_code": pa.array(self.dice.choice(["4624", "4688", "1", "3"], count)),
            "message": pa.array([f"a record of some words, number {n}" for n in range(count)]),
        }
        return pa.Table.from_arrays(
            [filled[f.name] if f.name in filled else pa.nulls(count, f.type) for f in EVENT_SCHEMA],
            schema=EVENT_SCHEMA,
        )


def timed(name: str, call: object) -> float:
    began, used = time.perf_counter(), time.process_time()
    assert callable(call)
    call()
    took = time.perf_counter() - began
    print(f"{name:<44}{took:8.2f} s   {time.process_time() - used:8.2f} s of one core")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--devices", type=int, default=500)
    parser.add_argument("--dir", type=Path, default=None)
    args = parser.parse_args()
    folder = args.dir or Path(tempfile.mkdtemp(prefix="sekisho-absence-"))
    settings = Settings(data=folder)
    maker = Maker(args.rows, args.devices)
    frame = 0
    settings.lake_dir.mkdir(parents=True, exist_ok=True)
    with Lake(settings.lake_dir, LakeSettings(), now=lambda: END) as lake:
        for _ in range(args.rows // BATCH):
            lake.commit(maker.batch(BATCH, frame), frame)
            frame += 1
        lake.merge()
        standing = Standing(settings)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"{args.rows:,} events, {args.devices:,} devices")
        took = timed("first reading of everything", lambda: standing.refresh(END))
        print(f"{'':<44}{args.rows / took:12,.0f} events/s")
        timed("look, all rules, nothing new", lambda: standing.look(END, upto=END))
        minute = max(1_000, round(60e6 / maker.step))
        lake.commit(maker.batch(minute, frame), frame)
        at = END + timedelta(minutes=1)
        timed(f"look after {minute:,} more events", lambda: standing.look(at, upto=at))
        for rule in standing.rules:
            alone = Standing(settings, [rule])
            timed(f"  of it {rule.id}", lambda alone=alone: alone.look(at, upto=at))
            alone.close()
        standing.close()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = sum(path.stat().st_size for path in (folder / "standing").iterdir())
    print(
        f"peak memory {after / 1024:,.0f} MB (after making the events {before / 1024:,.0f} MB); digest {size / 1e6:,.1f} MB"
    )
    if args.dir is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
