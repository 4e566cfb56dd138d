"""Normalise: events per second and core, by shape, everything included (routing to unmapped).

    python -m bench.normalise [RECORDS]

First the three shapes of ``bench.shapes`` (realistic size, uniform), labelled and unlabelled, beside a
baseline: the same mapping over dictionaries and ``pa.Table.from_pylist``. Then the golden cases
of the sources mixed, each made unique by one added field. CPU time of the process is counted, so that other
work on the machine disturbs little: best and median of five rounds.
"""

from __future__ import annotations

import gc
import hashlib
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from bench.shapes import records
from sekisho.contract import Hints, Json, discover
from sekisho.contract.source import AnySource
from sekisho.model import Frame, Records
from sekisho.normalise import Normaliser
from sekisho.normalise.formats import windows_json
from sekisho.normalise.leftovers import Plan
from sekisho.ocsf import NORMALISED_SCHEMA

#: shape → (source, cases by name prefix)
MIXES = {
    "Okta": ("okta", ""),
    "CloudTrail": ("cloudtrail", ""),
    "Windows (evtx JSON)": ("windows", "4"),
    "Windows (NXLog flat JSON)": ("windows", "nxlog-timestamp"),
    "Sysmon (evtx JSON)": ("sysmon", ""),
}
UNIFORM = {"Okta": "okta", "CloudTrail": "cloudtrail", "Windows (Winlogbeat 4624)": "windows"}
ROUNDS = 5
FRAME = 4_000
HEAD = f"{'shape':28}{'bytes':>7}{'best/s':>10}{'median/s':>10}{'auto/s':>10}"
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.encode


def bodies(folder: Path, prefix: str, count: int) -> list[bytes]:
    """``count`` different JSON records from the cases of a source."""
    texts = [
        path.read_bytes()
        for path in sorted(folder.glob(f"{prefix}*.in"))
        if b'"reject"' not in path.with_suffix(".out.json").read_bytes()
    ]
    found: list[dict[str, Any]] = [json.loads(text) for text in texts if text[:1] == b"{"]
    templates = [json.dumps(one, ensure_ascii=False, separators=(",", ":")).encode()[:-1] for one in found]
    return [
        b'%b,"bench":%d}' % (body, i)
        for i, body in zip(range(count), itertools.cycle(templates), strict=False)
    ]


def timed(work: Callable[[], object], count: int) -> tuple[float, float]:
    """Events per CPU second, best and median."""
    rates = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        rates.append(count / (time.process_time() - start))
    return max(rates), statistics.median(rates)


def measure(normaliser: Normaliser, source: str, bodies: list[bytes]) -> tuple[float, float]:
    frames = [
        Frame(at, Records(source, "ndjson", "none", "192.0.2.1", "", 1_779_069_541 * 10**9, tuple(part)))
        for at, part in enumerate(bodies[i : i + FRAME] for i in range(0, len(bodies), FRAME))
    ]
    refused = normaliser.batch(frames).rejects
    assert not refused, f"{len(refused)} records refused: {refused[0]}"
    return timed(lambda: normaliser.batch(frames), len(bodies))


def pruned(record: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """What ``plan`` does not map, from dictionaries."""
    kept = {key: value for key, value in record.items() if key not in plan.mapped}
    for key, (_, inner) in plan.nested.items():
        if isinstance(value := kept.get(key), dict):
            kept[key] = pruned(value, inner)
    return kept


def baseline(source: AnySource, bodies: list[bytes]) -> pa.Table:
    """The same mapping, but over dictionaries: decode, convert, map, prune, ``from_pylist``."""
    shape = source.decode.record if isinstance(source.decode, Json) else None
    plan = Plan.of(shape) if shape else None
    hints = Hints(datetime(2026, 5, 18, tzinfo=UTC))
    rows = []
    for body in bodies:
        whole = _decode(body)
        if shape is None or plan is None:
            record = windows_json.parse(whole, hints)
            event, rest = source.map(record, hints), record.rest
        else:
            event = source.map(msgspec.convert(whole, shape), hints)
            rest = pruned(whole, plan)
        uid = hashlib.blake2b(body, digest_size=16).hexdigest()
        rows.append({**event, "event_uid": uid, "raw": body.decode(), "unmapped": _encode(rest).decode()})
    return pa.Table.from_pylist(rows, NORMALISED_SCHEMA)


def against(source: AnySource, bodies: list[bytes]) -> tuple[float, float]:
    gc.disable()  # as the stage itself does
    try:
        return timed(lambda: baseline(source, bodies), len(bodies))
    finally:
        gc.enable()


def line(shape: str, size: int, best: float, median: float, auto: str) -> str:
    return f"{shape:28}{size:>7}{best:>10,.0f}{median:>10,.0f}{auto:>10}"


def main(count: int) -> None:
    content = discover()
    normaliser = Normaliser(content.sources)
    print("Uniform records\n" + HEAD)
    for shape, source in UNIFORM.items():
        sent = records(source, count, at=datetime(2026, 5, 18, tzinfo=UTC))
        size = sum(map(len, sent)) // count
        auto, _ = measure(normaliser, "auto", sent)
        print(line(shape, size, *measure(normaliser, source, sent), f"{auto:,.0f}"))
        print(line("  baseline: dictionaries", size, *against(content.sources[source], sent), "-"))
    print("\nGolden cases mixed\n" + HEAD)
    for shape, (source, prefix) in MIXES.items():
        sent = bodies(content.files[f"source/{source}"].with_suffix(".cases"), prefix, count)
        auto, _ = measure(normaliser, "auto", sent)
        size = sum(map(len, sent)) // count
        print(line(shape, size, *measure(normaliser, source, sent), f"{auto:,.0f}"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 24_000)
