"""`make bench`: every published figure, one after another; about half an hour on two cores.

python -m bench            all
python -m bench road sigma only these
"""

from __future__ import annotations

import subprocess
import sys

#: name -> what is run; each prints its own table and says what it compares with
RUNS: dict[str, list[list[str]]] = {
    "normalise": [["bench.normalise"]],
    "sigma": [["bench.sigma"]],
    "lake": [["bench.lake", "--rows", "1000000"]],
    "hunt": [["bench.hunt"]],
    "lake_choice": [["bench.lake_choice"]],
    "sealing": [["bench.sealing"]],
    "verify": [["bench.verify"]],
    "store": [["bench.store", "--rows", "1000000", "--no-peer"]],
    "text_index": [["bench.text_index"]],
    "http_server": [["bench.http_server"]],
    "keeping": [["bench.keeping"]],
    "road": [["bench.road"], ["bench.road", "--rate", "2000", "--seconds", "60"]],
}


def main() -> int:
    chosen = sys.argv[1:] or list(RUNS)
    unknown = [name for name in chosen if name not in RUNS]
    if unknown:
        print(f"no benchmark is called {', '.join(unknown)}; there are: {', '.join(RUNS)}", file=sys.stderr)
        return 2
    failed = 0
    for name in chosen:
        for run in RUNS[name]:
            print(f"\n== python -m {' '.join(run)}", flush=True)
            failed += bool(subprocess.run([sys.executable, "-m", *run], check=False).returncode)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
