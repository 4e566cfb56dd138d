"""Our columns and classes are those of the published OCSF 1.8.0 schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sekisho.ocsf import CLASSES, MAPPED


@pytest.fixture(scope="session")
def schema(shared_data: Path) -> Path:
    return shared_data / "ocsf" / "1.8.0"


def _json(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def test_classes_are_the_schemas(schema: Path) -> None:
    index = _json(schema / "class-index.json")
    assert {str(uid) for uid in CLASSES} <= index.keys()
    for uid, ours in CLASSES.items():
        theirs = index[str(uid)]
        assert (ours.name, ours.caption, ours.category_uid) == (
            theirs["name"],
            theirs["caption"],
            theirs["category_uid"],
        )
        assert {str(number): name for number, name in ours.activities.items()} == theirs["activities"]


def _attributes(schema: Path) -> dict[str, list[dict[str, Any]]]:
    """Attributes that any class has at its top, by name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in (schema / "classes").glob("*.json"):
        for name, attribute in _json(path)["attributes"].items():
            found.setdefault(name, []).append(attribute)
    return found


def _step(objects: dict[str, Any], attributes: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    kinds = {attribute.get("object_type") for attribute in attributes}
    # the name of a Windows extension's object may or may not carry its prefix
    within = [objects.get(kind) or objects.get(f"win/{kind}") for kind in kinds if kind]
    return [known["attributes"][name] for known in within if known and name in known["attributes"]]


#: OCSF writes the algorithm beside the value; the path names the element of the list that is meant.
SELECTED = {"hashes[SHA-256]": "hashes"}


@pytest.mark.parametrize("column", MAPPED, ids=lambda column: column.name)
def test_each_column_has_a_path_of_the_schema(column: Any, schema: Path) -> None:
    objects = _json(schema / "objects.json")
    first, *rest = [SELECTED.get(part, part).partition("[")[0] for part in column.path.split(".")]
    attributes = _attributes(schema).get(first, [])
    assert attributes, f"no class has an attribute {first}"
    for part in rest:
        attributes = _step(objects, attributes, part)
        assert attributes, f"{column.path}: nothing is called {part} there"


@pytest.mark.parametrize("column", MAPPED, ids=lambda column: column.name)
def test_a_column_is_called_like_its_path(column: Any) -> None:
    flat = column.path.replace("resources[0]", "resource").replace("hashes[SHA-256]", "hash_sha256")
    flat = flat.replace("auth_factors[].factor_type", "auth_factors")
    assert column.name == flat.replace("[]", "").replace(".", "_")
