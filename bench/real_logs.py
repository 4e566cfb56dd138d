"""Public real-world logs through `sekisho ingest`: what came in, what became of every record.

    python -m bench.real_logs FOLDER        a Markdown table per set, source and reject

Each file is read by the command as a person would run it, one after another into one data folder, without
a running platform. Counted per file: records read, events stored, rejects by code, and records that were
folded because the same content is stored already (two archives hold the same member).
`in = events + rejects + folded` must hold for each.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from click.testing import CliRunner

from sekisho.cli.main import group
from sekisho.cli.status import gather
from sekisho.journal import Rejects
from sekisho.settings import load

#: Why a record of these public sets may become no event, by source and reason code.
EXPLAINED = {
    (
        "auto",
        "unknown-format",
    ): "no source for this product yet (Zeek, auditd, S3 access, Microsoft 365 and VM Insights tables);"
    " the body is kept and offered by `rejects list`",
    ("windows", "no-zone"): "one recording has local times without any zone: storing them would be a guess;"
    " `ingest --zone` reads them",
    (
        "cloudtrail",
        "wrong-shape",
    ): "Logstash has taken `eventTime` out of these records (its own `@timestamp` is not CloudTrail's)",
    (
        "sysmon",
        "not-xml",
    ): "Sysmon for Linux wrote XML that is none: `&lt unknown process&gt ` without semicolons,"
    " or an event cut off at 2 kB by syslog",
    (
        "windows",
        "wrong-shape",
    ): "Windows events that ArcSight relays in CEF over syslog: the name of their provider is in the line",
}


@dataclass
class Tally:
    """What became of the records of one file."""

    set: str
    file: str
    records: int = 0
    events: int = 0
    #: folded by the lake (same record), and skipped by the command (a member with content known already)
    duplicates: int = 0
    already: int = 0
    by_source: Counter[str] = field(default_factory=Counter)
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def folded(self) -> int:
        return self.duplicates + self.already

    @property
    def rejected(self) -> int:
        return self.rejects.total()

    @property
    def whole(self) -> bool:
        return self.records == self.events + self.rejected + self.folded


def files(data: Path, scratch: Path) -> Iterator[tuple[str, Path]]:
    """(name of the set, file). The syslog samples are written out as the lines that a device would log."""
    logs = data / "real-logs"
    for path in sorted((logs / "otrf-security-datasets" / "zips").glob("*.zip")):
        first, second, *rest = path.stem.split("__")
        yield f"OTRF {second if first == 'atomic' else 'zeek' if 'zeek' in rest else second}", path
    yield "stratus-red-team", logs / "stratus-red-team" / "detonation-logs.zip"
    yield "invictus-aws", logs / "invictus-aws" / "cloudtrail-2023-07-10.tar.gz"
    labelled = (logs / "sc4s-syslog" / "syslog-lines.txt").read_text("utf-8").splitlines()
    plain = scratch / "syslog.log"
    plain.write_text("".join(line.partition("\t")[2] + "\n" for line in labelled), "utf-8")
    yield "sc4s-syslog", plain


def ingest(folder: Path, name: str, path: Path) -> Tally:
    """Run the command on one file; the counts are the differences of `sekisho status`."""
    before = _numbers(folder)
    done = CliRunner().invoke(
        group, ["--data", str(folder), "ingest", "--json", str(path)], catch_exceptions=False
    )
    said = json.loads(done.stdout)
    after = _numbers(folder)
    assert after.backlog == 0
    return Tally(
        name,
        path.name,
        records=said["records"] + said["already_stored"],
        events=after.events.total() - before.events.total(),
        duplicates=after.duplicates - before.duplicates,
        already=said["already_stored"],
        by_source=after.events - before.events,
        rejects=after.rejects - before.rejects,
        problems=[f"{p['code']}: {p['place']} {p['en']}" for p in said["files"][0]["problems"]],
    )


@dataclass
class _Numbers:
    events: Counter[str]
    rejects: Counter[tuple[str, str]]
    duplicates: int
    backlog: int


def _numbers(folder: Path) -> _Numbers:
    if not folder.exists():
        return _Numbers(Counter(), Counter(), 0, 0)
    found = gather(load(folder))
    events = Counter({name: row["events"] for name, row in found["sources"].items()})
    assert events.total() == found["events"]
    rejects = Counter({(source, code): number for source, code, number in found["reject_reasons"]})
    return _Numbers(events, rejects, found["duplicates"], found["backlog"])


def everything(data: Path, folder: Path, scratch: Path) -> list[Tally]:
    return [ingest(folder, name, path) for name, path in files(data, scratch)]


def table(tallies: list[Tally]) -> str:
    """Markdown: one line per set, then one per set and source, then the reasons."""
    sets = list(dict.fromkeys(tally.set for tally in tallies))
    lines = ["| set | files | records in | events | rejects | folded |", "|---|--:|--:|--:|--:|--:|"]
    for name in [*sets, "**all**"]:
        mine = [tally for tally in tallies if name in (tally.set, "**all**")]
        numbers = (
            len(mine),
            sum(tally.records for tally in mine),
            sum(tally.events for tally in mine),
            sum(tally.rejected for tally in mine),
            sum(tally.folded for tally in mine),
        )
        lines.append(f"| {name} | " + " | ".join(f"{number:,}" for number in numbers) + " |")
    sources: Counter[tuple[str, str]] = Counter()
    reasons: Counter[tuple[str, str, str]] = Counter()
    for tally in tallies:
        for source, number in tally.by_source.items():
            sources[tally.set, source] += number
        for (source, code), number in tally.rejects.items():
            reasons[tally.set, source, code] += number
    lines += ["", "| source | set | events |", "|---|---|--:|"]
    for (name, source), number in sorted(sources.items(), key=lambda item: (item[0][1], item[0][0])):
        lines.append(f"| {source} | {name} | {number:,} |")
    lines += ["", "| set | label | code | rejects | why |", "|---|---|---|--:|---|"]
    for (name, source, code), number in reasons.items():
        lines.append(
            f"| {name} | {source} | {code} | {number:,} | {EXPLAINED.get((source, code), 'NOT EXPLAINED')} |"
        )
    return "\n".join(lines)


def samples(folder: Path, each: int = 2) -> list[str]:
    """A few rejects of each reason, with the platform's own words."""
    rejects = Rejects(load(folder).journal_dir)
    found = []
    for source, code, _ in rejects.counts():
        found += [f"{source} {code}: {row.reject.why[:200]}" for row in rejects.rows(source, code, each)]
    rejects.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder that holds real-logs/")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sekisho-bench-") as scratch:
        folder = Path(scratch) / "data"
        began = time.perf_counter()
        tallies = everything(arguments.data, folder, Path(scratch))
        seconds = time.perf_counter() - began
        print(table(tallies))
        print(f"\n{sum(tally.records for tally in tallies):,} records in {seconds:.1f} s")
        for line in samples(folder):
            print(f"  {line}")
    odd = [tally for tally in tallies if not tally.whole or tally.problems]
    for tally in odd:
        print(f"NOT IN BALANCE or with problems: {tally}", file=sys.stderr)
    return 1 if odd else 0


if __name__ == "__main__":
    sys.exit(main())
