"""Commands that the documents show, and whether the program has them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from sekisho.cli.main import group

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "README.ja.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs" / "operate").glob("*/*.md")),
]
_TYPED = re.compile(r"(?:\.venv/bin/)?sekisho |.*\| sekisho ")
_SPAN = re.compile(r"`([^`\n]+)`")


class Shown(NamedTuple):
    """``whole``: in a block, to be typed as it stands; otherwise only named in a sentence."""

    page: str
    line: int
    text: str
    whole: bool


def shown(page: Path) -> Iterator[Shown]:
    """Every line of a block and every span in a sentence that calls sekisho."""
    fenced = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("```"):
            fenced = not fenced
            continue
        name = str(page.relative_to(ROOT))
        if fenced and _TYPED.match(line):
            yield Shown(name, number, line, whole=True)
        elif not fenced:
            for span in _SPAN.findall(line):
                if span.startswith("sekisho "):
                    yield Shown(name, number, span, whole=False)


def words(text: str) -> list[str]:
    """What stands after ``sekisho``, without comment, ellipsis, and other commands of a pipe."""
    found = shlex.split(text, comments=True)
    start = next(i for i, word in enumerate(found) if word.rpartition("/")[2] == "sekisho")
    kept: list[str] = []
    for word in found[start + 1 :]:
        if word in ("|", "&&"):
            break
        if word != "…":
            kept.append(word)
    return kept


def fault(call: Shown) -> str:
    """What is wrong with it; empty if the program takes it."""
    command: click.Command = group
    context = click.Context(group, info_name="sekisho")
    rest = words(call.text)
    try:
        while True:
            rest = _parsed(command, context, rest, whole=call.whole)
            if not isinstance(command, click.Group) or not rest:
                break
            below = command.get_command(context, rest[0])
            if below is None:
                return f"there is no command {rest[0]!r}"
            context = click.Context(below, parent=context, info_name=rest[0])
            command, rest = below, rest[1:]
    except click.UsageError as error:
        return error.format_message()
    if isinstance(command, click.Group) and call.whole:
        return "a command is missing"
    return f"too much: {rest}" if rest else ""


def _parsed(command: click.Command, context: click.Context, args: list[str], *, whole: bool) -> list[str]:
    """Options and choices checked; gives the words that are left. Raises ``UsageError``."""
    context.allow_interspersed_args = command.allow_interspersed_args
    context.allow_extra_args = isinstance(command, click.Group)
    values, left, _ = command.make_parser(context).parse_args(list(args))
    for param in command.params:
        value = values.get(param.name or "")
        given = value is not None and value != () and "UNSET" not in repr(value)
        if given and isinstance(param.type, (click.Choice, click.IntRange)):
            if whole or str(value).islower():
                param.type_cast_value(context, value)
        elif not given and whole and isinstance(param, click.Argument) and param.required:
            raise click.MissingParameter(ctx=context, param=param)
    return left


def names(command: click.Command, context: click.Context, before: str = "") -> Iterator[str]:
    """``alerts list``, ``status``, …: every command at the end of its way."""
    if not isinstance(command, click.Group):
        yield before
        return
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        here = click.Context(below, parent=context, info_name=name)
        yield from names(below, here, f"{before} {name}".strip())
