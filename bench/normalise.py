"""Normalise: events per second and core, by shape, everything included (recognise to unmapped).

    python -m bench.normalise [RECORDS]

The records are the golden cases of the sources, each made unique by one added field. ``labelled`` names the
source; ``auto`` leaves it to be recognised. CPU time of the process is counted.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

from sekisho.contract import discover
from sekisho.model import Frame, Records
from sekisho.normalise import Normaliser

#: shape → (source, cases by name prefix)
SHAPES = {
    "Okta": ("okta", ""),
    "CloudTrail": ("cloudtrail", ""),
    "Windows (evtx JSON)": ("windows", "4"),
    "Windows (NXLog flat JSON)": ("windows", "nxlog-timestamp"),
    "Sysmon (evtx JSON)": ("sysmon", ""),
}
ROUNDS = 3


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


def measure(normaliser: Normaliser, source: str, records: list[bytes]) -> tuple[float, int]:
    """Best events per CPU second of some rounds, and the number of rejects."""
    frame = Frame(
        0, Records(source, "ndjson", "none", "192.0.2.1", "", 1_779_069_541 * 10**9, tuple(records))
    )
    best, refused = 0.0, 0
    for _ in range(ROUNDS):
        start = time.process_time()
        result = normaliser.batch([frame])
        best = max(best, len(records) / (time.process_time() - start))
        refused = len(result.rejects)
    return best, refused


def main(count: int) -> None:
    content = discover()
    normaliser = Normaliser(content.sources)
    print(f"{'shape':28}{'bytes':>7}{'labelled/s':>12}{'auto/s':>10}{'rejects':>9}")
    for shape, (source, prefix) in SHAPES.items():
        file = content.files.get(f"source/{source}")
        records = bodies(file.with_suffix(".cases"), prefix, count) if file else []
        if not records:
            print(f"{shape:28}  skipped: source {source} or its cases are not there")
            continue
        size = sum(map(len, records)) // len(records)
        labelled, refused = measure(normaliser, source, records)
        auto, _ = measure(normaliser, "auto", records)
        print(f"{shape:28}{size:>7}{labelled:>12,.0f}{auto:>10,.0f}{refused:>9}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40_000)
