"""`sekisho serve NAME`: one process of the platform; `sekisho up` starts them."""

from __future__ import annotations

import click

from sekisho import wiring
from sekisho.cli.main import Global


@click.group(hidden=True)
def command() -> None:
    """One process of the platform. `sekisho up` starts and supervises all of them."""


@command.command()
@click.pass_obj
def collect(obj: Global) -> None:
    """Receivers and the journal."""
    from sekisho.cli import serve_collect

    serve_collect.main(obj.settings)


@command.command()
@click.pass_obj
def pipeline(obj: Global) -> None:
    """From the journal to events, findings, alerts."""
    from sekisho.cli import serve_pipeline

    serve_pipeline.main(obj.settings)


@command.command()
@click.pass_obj
def notify(obj: Global) -> None:
    """Webhooks and mail."""
    from sekisho.cli import serve_notify

    serve_notify.main(obj.settings)


@command.command()
@click.pass_obj
def ask(obj: Global) -> None:
    """Answers for those who cannot read the data folder, within their roles."""
    from sekisho.cli import serve_ask

    serve_ask.main(obj.settings)


@command.command()
@click.pass_obj
def ready(obj: Global) -> None:
    """What must be right before the processes start: content, database, published master data."""
    from sekisho.cli import serve_notify

    wiring.content()
    wiring.migrate(obj.settings)
    wiring.publish(obj.settings)
    serve_notify.deliver_owed(obj.settings)


@command.command()
@click.pass_obj
def judge(obj: Global) -> None:
    """Judge the past again if a change of the master data owes it (started by the notifications)."""
    from sekisho.cli import serve_notify

    serve_notify.judge(obj.settings)


@command.command()
@click.pass_obj
def ahead(obj: Global) -> None:
    """Normalise the next batch early (started by the pipeline under load)."""
    wiring.quiet_gc()
    wiring.serve_ahead(obj.settings)
    wiring.usual_gc()


@command.command()
@click.pass_obj
def compact(obj: Global) -> None:
    """Move closed days to the cold tier, then end (started by the pipeline)."""
    from sekisho.cli import serve_compact

    serve_compact.main(obj.settings)
