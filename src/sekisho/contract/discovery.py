"""Finds the content files, loads them, and is loud: every problem of every file at once.

``content/sources/<stem>.py`` with ``SOURCE`` and ``<stem>.cases/``; ``content/rules/<group>/<stem>.py``
with ``RULE`` (a ``Rule`` or a ``StandingRule``), or ``<stem>.yml`` (Sigma, compiled by ``sekisho.detect``),
and ``<stem>.cases.yml``. A file's stem is its id with ``_`` for ``-``.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import NamedTuple

from sekisho.contract.faults import Fault, import_faults, rule_faults, source_faults
from sekisho.contract.rule import Rule
from sekisho.contract.source import AnySource, Source
from sekisho.contract.standing import StandingRule
from sekisho.model import ContentError, ContentProblem

#: The content that is shipped.
CONTENT = Path(__file__).resolve().parents[1] / "content"


@dataclass(frozen=True)
class Content:
    """``sources``, ``rules`` and ``standing`` rules by id, ``sigma`` the Sigma files by rule id (raw),
    ``files`` the file of each source (``source/<id>``) and rule (``rule/<id>``)."""

    root: Path
    sources: Mapping[str, AnySource]
    rules: Mapping[str, Rule]
    sigma: Mapping[str, Path]
    files: Mapping[str, Path]
    standing: Mapping[str, StandingRule]

    def receivable(self) -> list[str]:
        """Ids of the sources that somebody may send: all but the platform's own."""
        return sorted(source.id for source in self.sources.values() if not source.internal)


def cases_of(path: Path) -> Path:
    """Where the cases of a content file lie: a folder for a source, a YAML file for a rule."""
    if path.parent.name == "sources":
        return path.with_name(f"{path.stem}.cases")
    return path.with_name(f"{path.stem}.cases.yml")


def id_of(path: Path) -> str:
    """Id of a Sigma rule: its file's stem with ``-`` for ``_`` (the id inside is Sigma's own)."""
    return path.stem.replace("_", "-")


def stem_of(content_id: str) -> str:
    """File stem that belongs to an id."""
    return content_id.replace("-", "_")


class _Found(NamedTuple):
    kind: str
    path: Path
    module: str


def discover(root: Path | None = None) -> Content:
    """Load the content under ``root`` (default: what is shipped).

    Raises ``ContentError`` with all problems of all files; nothing is loaded half.
    """
    root = CONTENT if root is None else root.resolve()
    problems: list[ContentProblem] = []
    sources: dict[str, AnySource] = {}
    rules: dict[str, Rule] = {}
    standing: dict[str, StandingRule] = {}
    sigma: dict[str, Path] = {}
    files: dict[str, Path] = {}
    for found in _files(root):
        problems += _orphans_and_cases(found, root)
        value: AnySource | Rule | StandingRule | None = None
        content_id = id_of(found.path)
        if found.kind != "sigma":
            value, faults = _load(found)
            problems += [_problem(root, found.path, fault) for fault in faults]
            if value is None:
                continue
            content_id = value.id
        key = f"{'source' if found.kind == 'source' else 'rule'}/{content_id}"
        if key in files:
            fault = Fault(1, f"id {content_id!r} is taken by {_shown(root, files[key])}", "choose another id")
            problems.append(_problem(root, found.path, fault))
            continue
        files[key] = found.path
        if isinstance(value, Source):
            sources[content_id] = value
        elif isinstance(value, Rule):
            rules[content_id] = value
        elif isinstance(value, StandingRule):
            standing[content_id] = value
        else:
            sigma[content_id] = found.path
    problems += _orphans(root)
    if problems:
        raise ContentError(problems)
    return Content(
        root,
        MappingProxyType(sources),
        MappingProxyType(rules),
        MappingProxyType(sigma),
        MappingProxyType(files),
        MappingProxyType(standing),
    )


def _files(root: Path) -> Iterator[_Found]:
    package = "sekisho.content"
    if root != CONTENT:  # several roots in one process must not share module names
        package = f"sekisho_content_{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"
    for path in sorted((root / "sources").glob("*.py")):
        if path.name != "__init__.py":
            yield _Found("source", path, f"{package}.sources.{path.stem}")
    for path in sorted((root / "rules").glob("*/*")):
        group = path.parent.name.replace("-", "_")
        if path.suffix == ".py" and path.name != "__init__.py":
            yield _Found("rule", path, f"{package}.rules.{group}.{path.stem}")
        elif path.suffix == ".yml" and not path.name.endswith(".cases.yml"):
            yield _Found("sigma", path, "")


def _orphans_and_cases(found: _Found, root: Path) -> list[ContentProblem]:
    cases = cases_of(found.path)
    faults = []
    if not cases.exists():
        kind = "source" if found.kind == "source" else "rule"
        faults.append(
            Fault(
                1,
                f"has no cases: {_shown(root, cases)} is not there",
                f"add it with at least one case; `sekisho new {kind}` shows the form",
            )
        )
    elif found.kind == "source" and not any(cases.glob("*.in")):
        faults.append(
            Fault(1, f"{_shown(root, cases)} holds no case", "add a record from the vendor's documentation")
        )
    return [_problem(root, found.path, fault) for fault in faults]


def _orphans(root: Path) -> list[ContentProblem]:
    orphans = [
        path for path in sorted((root / "sources").glob("*.cases")) if not path.with_suffix(".py").exists()
    ]
    for path in sorted((root / "rules").glob("*/*.cases.yml")):
        stem = path.name.removesuffix(".cases.yml")
        if not any(path.with_name(stem + suffix).exists() for suffix in (".py", ".yml")):
            orphans.append(path)
    fault = Fault(1, "cases without the content file they belong to", "rename or remove them")
    return [_problem(root, path, fault) for path in orphans]


def _load(found: _Found) -> tuple[AnySource | Rule | StandingRule | None, list[Fault]]:
    """The file's value and what is wrong with it (None: no value could be had)."""
    try:
        text = found.path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        return None, [Fault(1, f"is not UTF-8: {error}", "save the file as UTF-8")]
    try:
        tree = ast.parse(text, filename=str(found.path))
    except SyntaxError as error:
        return None, [Fault(error.lineno or 1, f"is not Python: {error.msg}", "mend the line")]
    faults = import_faults(tree)
    if faults:
        return None, faults
    module, faults = _import(found)
    if module is None:
        return None, faults
    name, wanted = ("SOURCE", Source) if found.kind == "source" else ("RULE", Rule)
    value = getattr(module, name, None)
    if value is None:
        return None, [Fault(1, f"defines no {name}", f"assign a {wanted.__name__} to {name}")]
    if isinstance(value, Source) and wanted is Source:
        return value, source_faults(value, found.path, tree)
    if isinstance(value, (Rule, StandingRule)) and wanted is Rule:
        return value, rule_faults(value, found.path, tree)
    return None, [
        Fault(1, f"{name} is a {type(value).__name__}", f"it must be a sekisho.contract.{wanted.__name__}")
    ]


def _import(found: _Found) -> tuple[ModuleType | None, list[Fault]]:
    loaded = sys.modules.get(found.module)
    if loaded is not None and loaded.__file__ == str(found.path):
        return loaded, []
    spec = importlib.util.spec_from_file_location(found.module, found.path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[found.module] = module  # msgspec resolves annotations through sys.modules
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001 - top of the loop over files: becomes a reported problem
        del sys.modules[found.module]
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == str(found.path) and frame.lineno is not None
        ]
        why = f"does not import: {type(error).__name__}: {error}"
        return None, [Fault(lines[-1] if lines else 1, why, "mend the line that is named")]
    return module, []


def _shown(root: Path, path: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _problem(root: Path, path: Path, fault: Fault) -> ContentProblem:
    return ContentProblem(f"{_shown(root, path)}:{fault.line}", fault.why, fault.remedy)
