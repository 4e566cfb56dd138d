"""A real, migrated database in a folder of its own for each test; no test database magic."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sekisho.modules import database

    folder = tmp_path_factory.mktemp("console")
    database.start(folder)
    database.migrate()
    from django.db import connections

    connections.close_all()
    return folder


@pytest.fixture
def data(migrated: Path, tmp_path: Path) -> Iterator[Path]:
    """A started data folder with empty tables."""
    from django.db import connections

    from sekisho.modules import database

    folder = tmp_path / "data"
    shutil.copytree(migrated, folder)
    database.start(folder)
    yield folder
    connections.close_all()
