"""``python -m tests.coverage_floors coverage.json``: branch coverage per package against its floor.

The floors stand a little below what the suite reaches, so that they fail when something is left untested
and not when a line moves. Commands and wiring run mostly as processes of their own, which are not measured.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

FLOORS = {
    "model": 100,
    "pipeline.py": 100,
    "quarantine.py": 92,
    "ocsf": 99,
    "contract": 98,
    "range": 95,
    "content": 95,
    "enrich": 92,  # without the public samples there is no MMDB file to read
    "tabular": 94,
    "modules": 94,
    "normalise": 92,
    "detect": 91,
    "collect": 90,
    "lake": 89,
    "journal": 87,
    "wiring": 70,
    "keeping": 74,  # backup and restore are tested as commands, in processes of their own
    "cli": 60,
}
DEFAULT = 85


def main() -> int:
    found = json.loads(Path(sys.argv[1]).read_text())
    covered: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for name, file in found["files"].items():
        package = name.partition("sekisho/")[2].partition("/")[0]
        said = file["summary"]
        covered[package] += said["covered_lines"] + said["covered_branches"]
        whole[package] += said["num_statements"] + said["num_branches"]
    below = []
    for package in sorted(whole):
        reached = 100 * covered[package] / max(1, whole[package])
        floor = FLOORS.get(package, DEFAULT)
        print(f"{package:<16}{reached:6.1f} % (floor {floor} %)")
        if reached < floor:
            below.append(package)
    if below:
        print(f"below the floor: {', '.join(below)}; test what is new there", file=sys.stderr)
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
