"""What can be wrong with a content file: each check gives faults with the line to mend."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sekisho.contract.rule import ATTACK_ID, Rule
from sekisho.contract.source import AnySource
from sekisho.contract.standing import StandingRule
from sekisho.contract.tables import TABLES
from sekisho.model import Text
from sekisho.ocsf import BY_NAME

#: The IDs of the advisory of 24 December 2024 and of the letter it came with.
ADVISORY = frozenset(
    ["L1", "L2", "N1", "T1.1", "T1.2", "T1.3", "T1.4", "T2.1", "T2.2", "T2.3", "T2.4", "T3.1", "T3.2"]
    + [f"A{n}" for n in range(1, 11)]
    + [f"E{n}" for n in range(1, 7)]
    + [f"R{n}" for n in range(1, 4)]
)

_SPOKEN = ("sekisho.contract", "sekisho.ocsf", "sekisho.model")
_ID = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")


class Fault(NamedTuple):
    """Line of the file, what is wrong, what the author can do."""

    line: int
    why: str
    remedy: str


def import_faults(tree: ast.Module) -> list[Fault]:
    """Imports of anything but the contract, the language, the nouns, msgspec and the standard library."""
    return [
        Fault(
            line,
            f"imports {name}",
            "a content file speaks only sekisho.contract, sekisho.ocsf, sekisho.model, msgspec and the "
            "standard library",
        )
        for line, name in _imports(tree)
        if not _may_import(name)
    ]


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            if name == "sekisho":
                yield from ((node.lineno, f"sekisho.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, name


def _may_import(name: str) -> bool:
    top = name.partition(".")[0]
    if top == "sekisho":
        return any(name == spoken or name.startswith(spoken + ".") for spoken in _SPOKEN)
    return top == "msgspec" or top in sys.stdlib_module_names


def source_faults(source: AnySource, path: Path, tree: ast.Module) -> list[Fault]:
    """Faults of a ``Source`` value."""
    at = _Lines(tree, "SOURCE")
    faults = [*_id_faults(source.id, path, at), *_advisory_faults(source.advisory, at)]
    faults += _text_faults({"title": source.title, "switch_on": source.switch_on}, at)
    if not source.reference.startswith("https://"):
        faults.append(
            Fault(at["reference"], "has no reference", "give the https address of the vendor's documentation")
        )
    if source.zone is not None and not _is_zone(source.zone):
        faults.append(Fault(at["zone"], f"{source.zone!r} is no IANA time zone", "e.g. Asia/Tokyo"))
    if source.lag < 0:
        faults.append(Fault(at["lag"], "lag is negative", "give seconds, 0 or more"))
    return faults


def rule_faults(rule: Rule | StandingRule, path: Path, tree: ast.Module) -> list[Fault]:
    """Faults of a ``Rule`` or ``StandingRule`` value."""
    at = _Lines(tree, "RULE")
    faults = [*_id_faults(rule.id, path, at), *_advisory_faults(rule.advisory, at)]
    faults += _text_faults({"title": rule.title, "why": rule.why}, at)
    faults += [
        Fault(at["attack"], f"{attack!r} is no ATT&CK technique", "e.g. T1078 or T1078.004")
        for attack in rule.attack
        if not ATTACK_ID.fullmatch(attack)
    ]
    faults += _unknown("column", rule.columns, BY_NAME, at["columns"])
    if isinstance(rule, Rule):
        faults += _unknown("column", rule.shown, BY_NAME, at["shown"])
        faults += _unknown("master-data table", rule.tables, TABLES, at["tables"])
    if not rule.todo or not all(isinstance(step, Text) for step in rule.todo):
        faults.append(Fault(at["todo"], "says not what to do now", "give at least one Text(ja=…, en=…)"))
    return faults


class _Lines:
    """Line of a keyword inside ``NAME = Call(keyword=...)``; the assignment's line where it is absent."""

    def __init__(self, tree: ast.Module, name: str) -> None:
        self._start = 1
        self._lines: dict[str, int] = {}
        for node in tree.body:
            targets: list[ast.expr] = []
            if isinstance(node, ast.Assign):
                targets = node.targets
            elif isinstance(node, ast.AnnAssign):
                targets = [node.target]
            if not any(isinstance(target, ast.Name) and target.id == name for target in targets):
                continue
            self._start = node.lineno
            value = getattr(node, "value", None)
            for keyword in value.keywords if isinstance(value, ast.Call) else ():
                if keyword.arg:
                    self._lines[keyword.arg] = keyword.value.lineno

    def __getitem__(self, keyword: str) -> int:
        return self._lines.get(keyword, self._start)


def _id_faults(content_id: str, path: Path, at: _Lines) -> list[Fault]:
    if not _ID.fullmatch(content_id):
        return [Fault(at["id"], f"{content_id!r} is no id", "lower-case words joined by - or _")]
    if content_id.replace("-", "_") != path.stem:
        why = f"id {content_id!r} does not fit the file name {path.name!r}"
        return [Fault(at["id"], why, f"name the file {content_id.replace('-', '_')}.py or change the id")]
    return []


def _advisory_faults(advisory: Iterable[str], at: _Lines) -> list[Fault]:
    faults = [
        Fault(at["advisory"], f"{name!r} is no ID of the advisory", "valid: " + " ".join(sorted(ADVISORY)))
        for name in advisory
        if name not in ADVISORY
    ]
    if not tuple(advisory):
        faults.append(Fault(at["advisory"], "names no ID of the advisory", "say which sentence it serves"))
    return faults


def _text_faults(texts: dict[str, object], at: _Lines) -> list[Fault]:
    return [
        Fault(at[name], f"{name} is not in both languages", "give Text(ja=…, en=…)")
        for name, text in texts.items()
        if not isinstance(text, Text)
    ]


def _unknown(kind: str, names: Iterable[str], known: Iterable[str], line: int) -> list[Fault]:
    return [
        Fault(line, f"{name!r} is no {kind}", f"docs/reference lists the {kind}s")
        for name in names
        if name not in set(known)
    ]


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, KeyError):  # KeyError: not in the data base
        return False
    return True
