"""README and docs/operate say what the program does, in both languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints
from urllib.parse import unquote

import click
import msgspec
import pytest

from sekisho.cli.main import group
from sekisho.contract import TABLES, discover
from sekisho.detect import rules
from sekisho.settings import Settings
from tests.docs import commands
from tests.docs.commands import PAGES, ROOT, Shown

OPERATE = ROOT / "docs" / "operate"
LINKED = [*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "THIRD_PARTY.md", *sorted((ROOT / "docs").glob("*/*.md"))]
_BLOCK = re.DOTALL | re.MULTILINE
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _prose(page: Path) -> str:
    """Without blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def _headings(page: Path) -> list[str]:
    return re.findall(r"^#+ .+$", _prose(page), flags=re.MULTILINE)


# -- commands -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_command_that_is_shown_exists(page: Path) -> None:
    calls = list(commands.shown(page))
    assert calls
    faults = [f"{call.line}: {call.text}: {why}" for call in calls if (why := commands.fault(call))]
    assert faults == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sekisho alerts lst", "no command"),
        ("sekisho search x --jsn", "No such option"),
        ("sekisho alerts close 4e44 --reason whim", "is not one of"),
        ("sekisho status now", "too much"),
        ("sekisho tokens create", "Missing"),
        ("sekisho alerts", "a command is missing"),
    ],
)
def test_a_wrong_command_is_found(text: str, says: str) -> None:
    assert says in commands.fault(Shown("page", 1, text, whole=True))


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_command_is_in_the_documents(language: str) -> None:
    readme = ROOT / ("README.md" if language == "en" else "README.ja.md")
    pages = [readme, ROOT / "CONTRIBUTING.md", *sorted((OPERATE / language).glob("*.md"))]
    calls = [" ".join(commands.words(call.text)) for page in pages for call in commands.shown(page)]
    texts = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    # The six tables have the same commands: shown for `people`, and each table is named.
    others = tuple(f"{table} " for table in TABLES if table != "people")
    missing = [
        name
        for name in commands.names(group, click.Context(group, info_name="sekisho"))
        if not name.startswith(others)
        and not any(call == name or call.startswith(f"{name} ") for call in calls)
        and f"make {name}" not in texts
    ]
    assert missing == []
    assert [table for table in TABLES if f"`{table}`" not in texts] == []


def test_every_make_target_that_is_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    texts = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"(?:`|^|&& )make ([a-z-]+)", texts, re.MULTILINE))
    assert named
    assert named - targets == set()


# -- what there is ------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_rule_is_explained(language: str) -> None:
    page = (OPERATE / language / "alerts.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `([a-z0-9-]+)` \| [A-Z]", page, flags=re.MULTILINE)
    assert sorted(explained) == sorted([*(rule.id for rule in rules(discover())), *discover().standing])


def _keys(section: type[msgspec.Struct]) -> Iterator[str]:
    """Every key of ``sekisho.toml``, those of inner sections included."""
    hints = get_type_hints(section)
    for field in msgspec.structs.fields(section):
        inner = [a for a in (hints[field.name], *get_args(hints[field.name])) if isinstance(a, type)]
        below = [a for a in inner if issubclass(a, msgspec.Struct)]
        for each in below:
            yield from _keys(each)
        if not below and field.name != "data":
            yield field.name


def test_every_setting_is_in_the_reference() -> None:
    reference = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    keys = set(_keys(Settings))
    assert {"zone", "http_port", "client_ca", "url_file", "net_class"} <= keys
    assert {key for key in keys if f"| `{key}` |" not in reference} == set()


def test_every_setting_of_the_documents_exists() -> None:
    blocks = [
        block
        for page in PAGES
        for block in re.findall(r"^```\n(\[.*?)^```", page.read_text(encoding="utf-8"), _BLOCK)
        if not block.startswith("[Unit]")
    ]
    used = {key for block in blocks for key in re.findall(r"^(?:# )?(\w+) = ", block, re.MULTILINE)}
    assert "syslog_tls_port" in used
    assert used - set(_keys(Settings)) == set()


# -- two languages, links -----------------------------------------------------------------------


def test_both_languages_have_the_same_pages() -> None:
    english, japanese = ({page.name for page in (OPERATE / code).glob("*.md")} for code in ("en", "ja"))
    assert english == japanese != set()


@pytest.mark.parametrize("name", sorted(page.name for page in (OPERATE / "en").glob("*.md")))
def test_both_languages_have_the_same_parts(name: str) -> None:
    english, japanese = OPERATE / "en" / name, OPERATE / "ja" / name
    levels = [[heading.split()[0] for heading in _headings(page)] for page in (english, japanese)]
    assert levels[0] == levels[1]
    calls = [
        [commands.words(call.text)[:2] for call in commands.shown(page) if call.whole]
        for page in (english, japanese)
    ]
    assert calls[0] == calls[1]


def test_both_readmes_have_the_same_parts() -> None:
    english, japanese = _headings(ROOT / "README.md"), _headings(ROOT / "README.ja.md")
    assert [h.split()[0] for h in english] == [h.split()[0] for h in japanese]


@pytest.mark.parametrize("page", LINKED, ids=_name)
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    broken = []
    for target in _LINK.findall(_prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        goal = (page.parent / path).resolve() if path else page
        anchors = {_anchor(h) for h in _headings(goal)} if goal.suffix == ".md" and goal.exists() else set()
        if not goal.exists() or (anchor and anchor not in anchors):
            broken.append(target)
    assert broken == []


def _anchor(heading: str) -> str:
    """As GitHub makes it: lower case, punctuation gone, spaces to hyphens."""
    return re.sub(r"[^\w\- ]", "", heading.lstrip("#").strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_only_fictional_addresses(page: Path) -> None:
    """RFC 5737, and what a receiver listens on."""
    found = set(re.findall(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", page.read_text(encoding="utf-8")))
    allowed = re.compile(r"192\.0\.2\.|198\.51\.100\.|203\.0\.113\.|127\.0\.0\.1$|0\.0\.0\.0$")
    assert {address for address in found if not allowed.match(address)} == set()
