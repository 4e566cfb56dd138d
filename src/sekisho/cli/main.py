"""`sekisho`: one command per file, loaded only when called (start-up time)."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import click
from click.core import ParameterSource

from sekisho import __version__
from sekisho.cli.outside import lines
from sekisho.model import ContentError, Refused, Retry
from sekisho.settings import Settings, load

COMMANDS = {
    "up": "sekisho.cli.up",
    "demo": "sekisho.cli.demo",
    "status": "sekisho.cli.status",
    "ingest": "sekisho.cli.ingest",
    "search": "sekisho.cli.search",
    "sql": "sekisho.cli.sql",
    "tail": "sekisho.cli.tail",
    "hunt": "sekisho.cli.hunt",
    "saved": "sekisho.cli.saved",
    "alerts": "sekisho.cli.alerts",
    "sources": "sekisho.cli.sources",
    "rules": "sekisho.cli.rules",
    "compact": "sekisho.cli.compact",
    "rebuild": "sekisho.cli.rebuild",
    "rejects": "sekisho.cli.rejects",
    "retention": "sekisho.cli.retention",
    "hold": "sekisho.cli.hold",
    "archive": "sekisho.cli.archive",
    "restore": "sekisho.cli.restore",
    "backup": "sekisho.cli.backup",
    "tokens": "sekisho.cli.tokens",
    "people": "sekisho.cli.master_people",
    "devices": "sekisho.cli.master_devices",
    "accounts": "sekisho.cli.master_accounts",
    "assignments": "sekisho.cli.master_assignments",
    "networks": "sekisho.cli.master_networks",
    "decoys": "sekisho.cli.master_decoys",
    "verify": "sekisho.cli.verify",
    "prove": "sekisho.cli.prove",
    "verify-proof": "sekisho.cli.verify_proof",
    "keys": "sekisho.cli.keys",
    "witness": "sekisho.cli.witness",
    "new": "sekisho.cli.new",
    "serve": "sekisho.cli.serve",
}


@dataclass
class Global:
    """What every command gets as ``ctx.obj``."""

    data: Path
    #: whether a person named the folder (option or environment)
    named: bool = True

    @cached_property
    def settings(self) -> Settings:
        try:
            return load(self.data)
        except PermissionError as error:
            raise Refused(
                f"{self.data}: you may not read this data folder ({error.strerror})",
                "its owner may; with a role of his settings you can use search, sql, tail and hunt",
            ) from error

    def existing(self) -> Settings:
        """Settings of a data folder that is there; for commands that only read. Raises ``Refused``."""
        from sekisho import first_run  # only these commands need it

        first_run.known(self.data)
        return self.settings


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if name != "serve"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = importlib.import_module(module).command
        assert isinstance(command, click.Command)
        return command


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sekisho")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False, readable=False),
    default=lambda: os.environ.get("SEKISHO_DATA", "sekisho-data"),
    show_default="$SEKISHO_DATA or ./sekisho-data",
    help="Data folder of the installation.",
)
@click.pass_context
def group(ctx: click.Context, data: Path) -> None:
    """Sekisho 関所: every log in one place, the impostor found, the answer guided.

    \b
    First steps:
      sekisho demo                    two weeks of a fictional exchange, attacked
      sekisho up                      start the platform; prints how to point a shipper at it
      sekisho ingest logs/            read files into it
      sekisho alerts list             what was found
      sekisho search 'user:emp0042'   look for anything
    """
    os.umask(0o077)  # logs, master data and exports are personal data: for their owner only
    named = "SEKISHO_DATA" in os.environ or ctx.get_parameter_source("data") is not ParameterSource.DEFAULT
    ctx.obj = Global(data.resolve(), named)


def main() -> None:
    """Entry point. Errors that a person can mend are one clear paragraph, not a traceback."""
    try:
        group(prog_name="sekisho")
    except (ContentError, Refused, Retry) as error:
        sys.exit(lines(f"sekisho: {error}"))


if __name__ == "__main__":
    main()
