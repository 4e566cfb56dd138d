"""Content is found by discovery, never imported, and knows the language of the platform only.

Its folders are no packages, so that a file can be dropped in; import-linter does not see them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

SOURCE = ROOT / "src" / "sekisho"
CONTENT = SOURCE / "content"
MAY = ("sekisho.contract", "sekisho.ocsf", "sekisho.model")


def imported(path: Path) -> Iterator[str]:
    """Full names of the modules of the platform that a file imports."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "sekisho")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports are banned"
            if node.module == "sekisho":
                yield from (f"sekisho.{alias.name}" for alias in node.names)
            elif (node.module or "").startswith("sekisho."):
                yield str(node.module)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def test_nobody_imports_content() -> None:
    others = [path for path in SOURCE.rglob("*.py") if CONTENT not in path.parents]
    assert len(others) > 100
    found = [
        (path.name, name) for path in others for name in imported(path) if within(name, "sekisho.content")
    ]
    assert found == []


def test_content_imports_contract_ocsf_and_model_only() -> None:
    files = list(CONTENT.rglob("*.py"))
    names = {(path.name, name) for path in files for name in imported(path)}
    assert len(names) > len(files)
    assert {pair for pair in names if not any(within(pair[1], package) for package in MAY)} == set()
