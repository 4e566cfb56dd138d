"""Public recordings through the real sources: what goes in comes out, and every reject is explained."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from sekisho.contract import discover
from sekisho.normalise import Normaliser
from tests.normalise.conftest import frame


@pytest.fixture(scope="module")
def real() -> Normaliser:
    return Normaliser(discover().sources, zone="UTC")


@pytest.mark.slow
def test_the_windows_recordings(real: Normaliser, shared_data: Path) -> None:
    """OTRF: 130,000 records of Security, Sysmon, PowerShell, System; NXLog, Winlogbeat and Azure shapes."""
    came = events = 0
    rejects: Counter[tuple[str, str]] = Counter()
    sources: Counter[str] = Counter()
    for archive in sorted((shared_data / "real-logs/otrf-security-datasets/zips").glob("*windows*.zip")):
        with zipfile.ZipFile(archive) as opened:
            for member in opened.namelist():
                bodies = [line for line in opened.read(member).split(b"\n") if line.strip()]
                result = real.batch([frame(bodies[at : at + 20_000]) for at in range(0, len(bodies), 20_000)])
                came += len(bodies)
                events += len(result.events)
                sources.update(result.events["source"].to_pylist())
                rejects.update((member, reject.code) for reject in result.rejects)
                assert result.events["time"].null_count == 0
    assert came == events + rejects.total()
    assert set(sources) == {"windows", "sysmon"}
    assert came > 129_000
    # one recording has lost the zone of its times (Sysmon still has UtcTime); nothing else is refused
    assert {code for _, code in rejects} == {"no-zone"}
    assert {member.split("_2020")[0] for member, _ in rejects} == {"cmd_netsh_fw_mod_open_ports"}
    assert rejects.total() == 1706


def test_the_syslog_samples(real: Normaliser, shared_data: Path) -> None:
    """sc4s-syslog: 748 messages of 145 products; with the syslog receiver's fallback none is refused."""
    lines = (shared_data / "real-logs/sc4s-syslog/syslog-messages.jsonl").read_text("utf-8").splitlines()
    bodies = [json.loads(line)["raw"].encode() for line in lines]
    result = real.batch([frame(bodies, wrapping="syslog")])
    assert len(result.events) + len(result.rejects) == len(bodies) == 748
    for reject in result.rejects:
        assert reject.source != "syslog", reject
        assert reject.code in ("wrong-shape", "not-json", "no-zone"), reject
    assert len(result.rejects) <= 5, result.rejects
