"""What an import of master data asks or warns of: too many rows ended, systems that no log belongs to."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sekisho import wiring
from sekisho.cli.main import Global
from sekisho.cli.outside import echo
from sekisho.enrich import context_files
from sekisho.model import Language, Refused, Text
from sekisho.model.folding import fold
from sekisho.tabular import Plan

if TYPE_CHECKING:  # models load only once Django is configured
    from sekisho.modules.ledger.flows import Register, Upload

_SYSTEMS = Text(
    ja="注意: アカウント台帳のシステム {unknown} はどのログにも対応せず、そのアカウントは検知されません。"
    "{meant_ja}使える名前: {known}",
    en="warning: no log belongs to system {unknown} of the accounts, so these accounts are never found."
    " {meant_en}Names there are: {known}",
)
_NARROW = Text(
    ja="注意: アカウント台帳のシステム {source} はログ「{source}」だけを指します。同じアカウントが"
    "現れる他のログも判定するには {systems} と書いてください。",
    en="warning: system {source} of the accounts means the log {source} alone. To have other logs with the"
    " same accounts judged too, write {systems}.",
)
_MANY = Text(
    ja="現在の {of} 件のうち {ends} 件が、このファイルにないため終了します",
    en="{ends} of the {of} current rows end, as this file lacks them",
)
_SURE = Text(ja="取り込みますか", en="take it in?")
_NEEDS_YES = Text(
    ja="注意: {many}。取り込むには確認の入力か --yes が必要です。",
    en="warning: {many}. To take it in, a confirmation or --yes is needed.",
)
#: A complete file that ends more than this part of the rows, and so many, is more often a wrong file.
_PART, _ROWS = 0.2, 3


def many(register: Register, upload: Upload, language: Language) -> str:
    """In words how many rows a complete file would end, if that is suspiciously many; else nothing."""
    from sekisho.modules.ledger import flows

    of = flows.current(register).count()
    plan = flows.import_file(register, upload, now=wiring.now(), dry_run=True).plan
    ends = len(plan.closed) + sum(change.after is None for change in plan.withdrawn)
    if plan.problems or not ends or (ends < of and (ends < _ROWS or ends <= of * _PART)):
        return ""
    return _MANY.fill({"ends": ends, "of": of}).get(language)


def ask(many: str, file: Path, language: Language) -> None:
    """Raises ``Refused`` unless somebody says yes."""
    if sys.stdin.isatty():
        if click.confirm(f"{file.name}: {many}. {_SURE.get(language)}", err=True):
            return
        raise Refused(
            f"{file.name}: nothing was taken in", "leave --complete out to add and change rows only"
        )
    raise Refused(
        f"{file.name}: {many}",
        "look at it with --dry-run; if it is right: --yes; to add and change rows only: without --complete",
    )


def say_needs_yes(many: str, language: Language) -> None:
    echo(_NEEDS_YES.fill({"many": many}).get(language), err=True)


def warn_of_systems(given: Global, plan: Plan[int], language: Language) -> None:
    """An account of a system that no source knows is never found in a log, and one of a source's own id in
    that log alone: say so, with the known names."""
    sources = wiring.content().sources.values()
    systems = {fold(name) for source in sources for name in source.systems or (source.id,)}
    stored = context_files.read(given.settings.context_dir).tables["accounts"].column("system").to_pylist()
    coming = [str(change.after["system"]) for change in plan.changes if change.after]
    own = {source.id: source.systems for source in sources}
    unknown = sorted(name for name in {*stored, *coming} if fold(name) not in systems | own.keys() | {"*"})
    if unknown:
        near = {
            meant
            for name in unknown
            for meant in difflib.get_close_matches(fold(name), sorted(systems | own.keys()), 1)
        }
        meant = ", ".join(sorted(name if name in systems else " ".join(own[name]) for name in near))
        facts = {
            "unknown": ", ".join(unknown),
            "known": ", ".join(sorted(systems | {"*"})),
            "meant_ja": f"もしかして: {meant}。" if meant else "",
            "meant_en": f"Did you mean {meant}? " if meant else "",
        }
        echo(_SYSTEMS.fill(facts).get(language), err=True)
    for name in sorted({*stored, *coming}):
        if fold(name) not in systems and fold(name) in own:
            facts = {"source": name, "systems": " / ".join(own[fold(name)])}
            echo(_NARROW.fill(facts).get(language), err=True)
