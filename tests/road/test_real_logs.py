"""All public logs through `sekisho ingest`: nothing is lost on the way, and every reject is explained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench.real_logs import EXPLAINED, everything, table

from sekisho.journal import JournalReader, Rejects
from sekisho.settings import load


@pytest.mark.slow
def test_every_record_is_an_event_a_reject_or_folded(shared_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    tallies = everything(shared_data, folder, tmp_path)
    print("\n" + table(tallies))

    assert [tally for tally in tallies if not tally.whole] == []
    assert [tally.problems for tally in tallies if tally.problems] == []
    assert {reason for tally in tallies for reason in tally.rejects} <= set(EXPLAINED)

    # what came in is what the publishers say is in there (their count includes one CSV's heading)
    index = json.loads((shared_data / "real-logs/otrf-security-datasets/index.json").read_text())
    expected = {Path(one["zip"]).name: sum(member["lines"] for member in one["members"]) for one in index}
    expected["atomic__aws__discovery__aws_s3_honeybucketlogs.zip"] -= 1
    expected |= {"detonation-logs.zip": 310, "cloudtrail-2023-07-10.tar.gz": 2900, "syslog.log": 742}
    assert {tally.file: tally.records for tally in tallies} == expected

    # whole sets whose product has a source become events to the last record
    for name in ("stratus-red-team", "invictus-aws"):
        assert sum(tally.rejected for tally in tallies if tally.set == name) == 0
    windows = [tally for tally in tallies if tally.set == "OTRF windows"]
    assert sum(tally.rejected for tally in windows) == 1706
    assert [tally.file for tally in windows if tally.rejected] == [
        "atomic__windows__defense_evasion__host__cmd_netsh_fw_mod_open_ports.zip"
    ]

    # a reject is no dead end: its reason is told and its body is still there
    settings = load(folder)
    rejects, journal = Rejects(settings.journal_dir), JournalReader(settings.journal_dir)
    for source, code, _ in rejects.counts():
        (row,) = rejects.rows(source, code, 1)
        assert len(row.reject.why) > 20
        frame = journal.frame(row.reject.offset.frame)
        assert frame is not None
        assert frame.records.bodies[row.reject.offset.index]
