"""The commands that every table of master data has. One group per table: ``master_<table>.py``."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table as Grid

from sekisho import first_run, wiring
from sekisho.cli import master_doubts
from sekisho.cli.main import Global
from sekisho.cli.outside import echo, echo_json, literal, shown
from sekisho.contract import TABLES, Table
from sekisho.model import Language, Refused, Text
from sekisho.tabular import Plan, show, template, told, write
from sekisho.tabular.sheet import MAX_BYTES
from sekisho.tabular.write import Format

if TYPE_CHECKING:  # models load only once Django is configured
    from sekisho.modules.ledger.flows import Register

_SHOWN = 20
_WORDS = {
    "added": Text(ja="追加", en="added"),
    "changed": Text(ja="変更", en="changed"),
    "closed": Text(ja="終了", en="closed"),
    "withdrawn": Text(ja="取下げ", en="withdrawn"),
}
_AGAIN = Text(ja="過去400日のログを新しい台帳で判定し直しています", en="judging the past 400 days again")
_JUDGED = Text(
    ja="過去のログ {events} 件を {seconds} 秒で判定し直しました。"
    "該当するアラート {holding} 件、うち訂正 {corrected} 件、取下げ {withdrawn} 件。",
    en="Judged {events} stored events again in {seconds} s: {holding} alerts hold, {corrected} of them"
    " corrected, {withdrawn} withdrawn.",
)
_BEHIND = Text(
    ja="注意: 動作中のパイプラインがまだ新しい台帳を読み込んでいません。"
    "この間に届いたログは古い台帳で判定されます。"
    "`sekisho status` で確認してください。プラットフォームが数分以内に自動で判定し直します。",
    en="warning: the running pipeline has not taken the new tables yet; logs that arrive "
    "meanwhile are judged by the old ones. "
    "See `sekisho status`; within some minutes the platform judges again by itself.",
)
_UNREAD = Text(
    ja="注意: 読めないファイルがあり、その分は判定していません: {file}",
    en="warning: a file cannot be read, so what is in it was not judged: {file}",
)
_language = click.option("--lang", type=click.Choice(["ja", "en"]), help="Language of messages.")
_json = click.option("--json", "as_json", is_flag=True, help="For machines.")


def registers(data: Path) -> dict[str, Register]:
    """Every table of master data by name, ready to import. Django must be started."""
    from sekisho.modules.decoys import flows as decoys
    from sekisho.modules.grants import flows as grants
    from sekisho.modules.people import flows as people
    from sekisho.settings import secret

    decoy = decoys.register(secret(data / "secrets" / "decoy.key"))
    return {one.table.name: one for one in (*people.REGISTERS, *grants.REGISTERS, decoy)}


def group(name: str) -> click.Group:
    """``sekisho <name> import | export | list | template | undo | imports``."""
    table = TABLES[name]
    example = f"""{table.title.ja}: {table.title.en}, with periods of validity and full history.

    \b
    Examples:
      sekisho {name} template {name}.csv
      sekisho {name} import {name}.csv --dry-run
      sekisho {name} import {name}.xlsx --complete
      sekisho {name} export {name}.xlsx --history
      sekisho {name} undo
    """
    commands: list[Callable[[Table], click.Command]] = [_import, _export, _list, _template, _undo, _imports]
    made = click.Group(name, help=example)
    for make in commands:
        made.add_command(make(table))
    return made


def open_folder(given: Global) -> None:
    """Make the data folder whole before anything is written to it, and bring the tables forward."""
    if first_run.prepare(given.data, wiring.now().timestamp()).first:
        echo(f"New data folder {given.data}", err=True)
    wiring.migrate(given.settings)


def _open(given: Global, table: Table, *, reads: bool = True) -> Register:
    if reads:
        wiring.migrate(given.existing())
    else:
        open_folder(given)
    return registers(given.data)[table.name]


def _zone(given: Global) -> str:
    return given.settings.zone


# -- import and undo -------------------------------------------------------------------------------


def _import(table: Table) -> click.Command:
    @click.command("import", short_help="Take a CSV or xlsx file in, whole or not at all.")
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
    @click.option("--complete", is_flag=True, help="The file is the whole table: what it lacks ends now.")
    @click.option("--yes", is_flag=True, help="Do not ask, however many rows --complete ends.")
    @_language
    @_json
    @click.pass_obj
    def command(
        given: Global,
        file: Path,
        dry_run: bool,
        complete: bool,
        yes: bool,
        lang: Language | None,
        as_json: bool,
    ) -> None:
        """Take FILE (CSV in UTF-8 or cp932, or xlsx) in. Rows are found again by their key.

        All problems are shown at once, and then nothing is changed. A column that is left out
        keeps what is stored. Times need their UTC offset: 2026-04-01T09:00:00+09:00.

        With --complete, a file that would end more than a fifth of the current rows (three at least), or all
        of them, is taken in only after a confirmation, or with --yes.
        """
        register = _open(given, table, reads=False)
        from sekisho.modules.ledger import flows

        language: Language = lang or given.settings.language
        with file.open("rb") as handle:
            content = handle.read(MAX_BYTES + 1)
        every = registers(given.data)
        known = {other: flows.keys(every[other]) for _, other in table.refers}
        upload = flows.Upload(content, file.name, getpass.getuser(), known, complete)
        many = master_doubts.many(register, upload, language) if complete else ""
        if many and not (dry_run or yes):
            master_doubts.ask(many, file, language)
        outcome = flows.import_file(register, upload, now=wiring.now(), dry_run=dry_run)
        wiring.deliver_audit(given.settings)
        if as_json:
            echo_json(_as_json(table, outcome.plan, dry_run=dry_run))
        else:
            _report(table, outcome.plan, language, file.name, dry_run=dry_run)
        if many and dry_run:
            master_doubts.say_needs_yes(many, language)
        if table.name == "accounts" and not outcome.problems:
            master_doubts.warn_of_systems(given, outcome.plan, language)
        if not dry_run and wiring.judging_owed(given.settings):  # also what a crash has left undone
            _judge_again(given, language)
        if outcome.problems:
            raise SystemExit(1)

    return command


def _report(table: Table, plan: Plan[int], language: Language, name: str, *, dry_run: bool) -> None:
    ja = language == "ja"
    if plan.problems:
        count = len(plan.problems)
        echo(
            f"{shown(name)}: 問題が {count} 件あります。何も取り込んでいません。"
            if ja
            else f"{shown(name)}: {count} problem{'s' * (count != 1)}; nothing was taken in.",
            err=True,
        )
        for line in told(plan.problems, language):
            echo(f"  {line}", err=True)
        return
    counts = [f"{_WORDS[word].get(language)} {len(getattr(plan, word))}" for word in _WORDS]
    same = f"変更なし {plan.unchanged}" if ja else f"unchanged {plan.unchanged}"
    done = ("（試行：何も変更していません）" if ja else " (dry run: nothing was changed)") if dry_run else ""
    echo(f"{shown(name)} → {table.name}: {', '.join([*counts, same])}{done}")
    if dry_run:
        for word, said in _WORDS.items():
            _changes(table, getattr(plan, word), said.get(language))


def _changes(table: Table, changes: Any, word: str) -> None:
    for change in changes[:_SHOWN]:
        before = change.before.values if change.before else {}
        after = change.after or {}
        key = " ".join(show(value) for value in ((after or before).get(name) for name in table.key))
        parts = [
            f"{name}: {show(before.get(name))} → {show(after.get(name))}"
            for name in after
            if before and before.get(name) != after[name] and name not in table.hashed
        ]
        parts += [
            f"{name}: (changed)" for name in table.hashed if before and after and before[name] != after[name]
        ]
        echo(f"  {word}  {shown(key)}  {shown('; '.join(parts))}".rstrip())
    if len(changes) > _SHOWN:
        echo(f"  {word}  … {len(changes) - _SHOWN}")


def _as_json(table: Table, plan: Plan[int], *, dry_run: bool) -> dict[str, Any]:
    problems = [
        {
            "row": p.row,
            "column": p.column,
            "got": p.got,
            "expected": {"ja": p.expected.ja, "en": p.expected.en},
            "example": p.example,
        }
        for p in plan.problems
    ]
    counts = {word: len(getattr(plan, word)) for word in _WORDS}
    return {
        "table": table.name,
        "dry_run": dry_run,
        **counts,
        "unchanged": plan.unchanged,
        "problems": problems,
    }


def _undo(table: Table) -> click.Command:
    @click.command("undo", short_help="Take the last import back.")
    @click.pass_obj
    def command(given: Global) -> None:
        """Take the last import back; the history keeps both. Repeat it to go further back."""
        register = _open(given, table)
        from sekisho.modules.ledger import flows

        outcome = flows.undo(register, getpass.getuser(), now=wiring.now())
        wiring.deliver_audit(given.settings)
        echo(shown(outcome.events[0]["message"]))
        _judge_again(given, given.settings.language)

    return command


def _judge_again(given: Global, language: Language) -> None:
    """What came before the import is judged by it too (rules-of-detection.md, I4); told on stderr."""
    began = wiring.now()
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(_AGAIN.get(language), total=None)
        judged = wiring.judge_again(
            given.settings, progress=lambda done, of: bar.update(task, completed=done, total=of)
        )
    if judged.behind:
        echo(_BEHIND.get(language), err=True)
    for file in judged.unread:
        echo(_UNREAD.fill({"file": shown(file)}).get(language), err=True)
    if judged.events:
        facts = {
            "seconds": f"{(wiring.now() - began).total_seconds():.1f}",
            "events": f"{judged.events:,}",
            "holding": len(judged.findings),
            "corrected": len(judged.corrected),
            "withdrawn": len(judged.withdrawn),
        }
        echo(_JUDGED.fill(facts).get(language), err=True)


# -- showing ---------------------------------------------------------------------------------------


def _export(table: Table) -> click.Command:
    @click.command("export", short_help="Write the table to a CSV or xlsx file.")
    @click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
    @click.option("--history", is_flag=True, help="All versions, with who brought them and when.")
    @click.option("--at", metavar="TIME", help="As it was known at this time (with UTC offset).")
    @click.pass_obj
    def command(given: Global, file: Path, history: bool, at: str | None) -> None:
        """Write the current rows to FILE.csv or FILE.xlsx. Without --history it can be imported again."""
        register = _open(given, table)
        from sekisho.modules.ledger import publish

        if history and at:
            raise Refused("--history and --at exclude each other", "give one of them")
        found = publish.texts(register, _zone(given), at=_instant(at) if at else None, past=history)
        file.write_bytes(write(found.header, found.rows, _format(file), table.name))
        echo(f"{file}: {len(found.rows)} rows")

    return command


def _list(table: Table) -> click.Command:
    @click.command("list", short_help="Show the current rows.")
    @_json
    @click.pass_obj
    def command(given: Global, as_json: bool) -> None:
        """Show the current rows of the table."""
        register = _open(given, table)
        from sekisho.modules.ledger import publish

        found = publish.texts(register, _zone(given))
        if as_json:
            echo_json([dict(zip(found.header, row, strict=True)) for row in found.rows])
            return
        grid = Grid(*found.header, title=f"{table.title.ja} / {table.title.en}", box=None)
        for row in found.rows:
            grid.add_row(*map(literal, row))
        _screen().print(grid)

    return command


def _imports(table: Table) -> click.Command:
    @click.command("imports", short_help="Show which files were taken in, by whom.")
    @click.pass_obj
    def command(given: Global) -> None:
        """Show which files were taken in or taken back, newest first."""
        register = _open(given, table)
        from sekisho.modules.ledger import flows

        grid = Grid("at", "by", "file", "SHA-256", "added", "changed", "closed", "withdrawn", "", box=None)
        for one in flows.imports(register)[:100]:
            numbers = (str(n) for n in (one.added, one.changed, one.closed, one.withdrawn))
            what = "undo" if one.undoes_id else ""
            grid.add_row(
                show(one.at, _zone(given)),
                literal(one.by),
                literal(one.file),
                one.digest[:12],
                *numbers,
                what,
            )
        _screen().print(grid)

    return command


def _template(table: Table) -> click.Command:
    @click.command("template", short_help="Write an empty file to fill in.")
    @click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
    def command(file: Path) -> None:
        """Write FILE.csv or FILE.xlsx with the header and one example row (replace it)."""
        file.write_bytes(template(table, _format(file)))
        echo(f"{file}: {', '.join(field.name for field in table.fields)}")

    return command


def _screen() -> Console:
    """Wide enough where nobody looks: a pipe must not cut cells."""
    screen = Console()
    return screen if screen.is_terminal else Console(width=400)


def _format(file: Path) -> Format:
    if file.suffix.lower() == ".csv":
        return "csv"
    if file.suffix.lower() == ".xlsx":
        return "xlsx"
    raise Refused(f"{file}: neither .csv nor .xlsx", "give the file one of these endings")


def _instant(text: str) -> datetime:
    at: datetime | None = None
    with suppress(ValueError):
        at = datetime.fromisoformat(text)
    if at is None or at.tzinfo is None:
        raise Refused(f"'{text}' is not a time with UTC offset", "write it like 2026-04-01T09:00:00+09:00")
    return at
