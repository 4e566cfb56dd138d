"""`make bench` runs every command that a document gives for a figure."""

from __future__ import annotations

import importlib.util
import re

import pytest
from bench.__main__ import FOLDERS, RUNS, missing

from tests.conftest import ROOT

DOCUMENTS = [ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs" / "decisions").glob("*.md"))]
#: how documents write the folders that the environment names
_FOLDERS = {"bench.sigma": "SIGMA_RULES", "bench.real_logs": "PUBLIC_DATA"}


def published() -> set[str]:
    found = set()
    for path in DOCUMENTS:
        for run in re.findall(r"`python -m (bench\.[^`]+)`", path.read_text(encoding="utf-8")):
            module = run.split()[0]
            found.add(run.replace("FOLDER", _FOLDERS[module]) if "FOLDER" in run else run)
    return found


def test_what_is_published_is_run() -> None:
    assert published(), "no figure is published with its command"
    assert published() <= {run for runs in RUNS.values() for run in runs}


@pytest.mark.parametrize("run", [run for runs in RUNS.values() for run in runs])
def test_what_is_run_is_there(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert importlib.util.find_spec(run.split()[0]) is not None
    for name in FOLDERS:
        monkeypatch.delenv(name, raising=False)
    assert missing(run) == [name for name in FOLDERS if name in run]
