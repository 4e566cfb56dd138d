"""`make bench`: every published figure, one after another; about three quarters of an hour on two cores.

python -m bench            all
python -m bench list       the commands
python -m bench road sigma only these

Two of them read public data, whose folders the environment names: SIGMA_RULES (a checkout of public Sigma
rules) and PUBLIC_DATA (the folder that holds ``real-logs/``). Without these they are not run, and said so.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

#: name -> what is run, just as it is published; each prints its own table and says what it compares with
RUNS: dict[str, list[str]] = {
    "normalise": ["bench.normalise 20000"],
    "sigma": ["bench.sigma --rules SIGMA_RULES"],
    "lake": ["bench.lake --rows 1000000"],
    "lake_choice": ["bench.lake_choice --batches 45"],
    "hunt": ["bench.hunt"],
    "sealing": ["bench.sealing"],
    "verify": ["bench.verify --gb 1 --jobs 2"],
    "store": ["bench.store --rows 5000000 --days 10"],
    "text_index": ["bench.text_index"],
    "keeping": ["bench.keeping"],
    "absence": ["bench.absence"],
    "http_server": ["bench.http_server"],
    "processes": ["bench.processes"],
    "control_plane": ["bench.control_plane"],
    "road": ["bench.road", "bench.road --rate 2000 --seconds 60"],
    "real_logs": ["bench.real_logs PUBLIC_DATA"],
}
#: words of a command that stand for a folder which the environment names
FOLDERS = ("SIGMA_RULES", "PUBLIC_DATA")


def missing(run: str) -> list[str]:
    """Folders that it needs and that are not named."""
    return [name for name in FOLDERS if name in run.split() and not os.environ.get(name)]


def command(run: str) -> list[str]:
    return [os.environ[word] if word in FOLDERS else word for word in run.split()]


def main() -> int:
    if sys.argv[1:] == ["list"]:
        for runs in RUNS.values():
            for run in runs:
                print(f"python -m {run}")
        return 0
    chosen = sys.argv[1:] or list(RUNS)
    unknown = [name for name in chosen if name not in RUNS]
    if unknown:
        print(f"no benchmark is called {', '.join(unknown)}; there are: {', '.join(RUNS)}", file=sys.stderr)
        return 2
    failed = []
    for run in (run for name in chosen for run in RUNS[name]):
        if names := missing(run):
            failed.append(f"python -m {run}: not run; name the folder: {' '.join(f'{n}=…' for n in names)}")
            continue
        words = command(run)
        print(f"\n== python -m {shlex.join(words)}", flush=True)
        if status := subprocess.run([sys.executable, "-m", *words], check=False).returncode:
            failed.append(f"python -m {run}: ended with status {status}")
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
