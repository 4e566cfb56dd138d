"""Published versions of the master data."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sekisho.contract import Context
from sekisho.enrich import context_files
from sekisho.model import Refused
from tests.detect.events import context

NOW = datetime(2026, 5, 20, tzinfo=UTC)
ROWS = [
    {
        "person_id": f"emp{n}",
        "name": "関",
        "country": "JP",
        "zone": "Asia/Tokyo",
        "employment_start": "2024-04-01T00:00:00+09:00",
    }
    for n in range(3)
]


def test_before_the_first_import(tmp_path: Path) -> None:
    assert context_files.current(tmp_path / "none") == "empty"
    assert context_files.read(tmp_path / "none").version == Context().version


def test_what_was_written_is_read_and_the_version_is_the_content(tmp_path: Path) -> None:
    tables = context(people=ROWS).tables
    first = context_files.write(tmp_path, tables, NOW)
    found = context_files.read(tmp_path)
    assert found.version == first == context_files.current(tmp_path)
    assert found.tables["people"].equals(tables["people"])
    assert context_files.write(tmp_path, context(people=ROWS[::-1]).tables, NOW) == first
    second = context_files.write(tmp_path, context(people=ROWS[:1]).tables, NOW)
    assert second != first
    assert (tmp_path / first / "people.parquet").exists()
    assert context_files.read(tmp_path).tables["people"].num_rows == 1
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_damage_is_named(tmp_path: Path) -> None:
    version = context_files.write(tmp_path, context(people=ROWS).tables, NOW)
    (tmp_path / version / "people.parquet").write_bytes(b"no parquet")
    with pytest.raises(Refused, match=r"people\.parquet"):
        context_files.read(tmp_path)
    (tmp_path / "CURRENT").write_text("../../etc")
    with pytest.raises(Refused, match="not a version"):
        context_files.current(tmp_path)
