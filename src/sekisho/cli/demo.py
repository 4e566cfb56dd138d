"""`sekisho demo`: two weeks of a fictional exchange, attacked, through the real receivers."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from sekisho import wiring
from sekisho.cli import demo_platform
from sekisho.cli.demo_judge import judge
from sekisho.cli.demo_platform import Platform
from sekisho.cli.demo_send import Address, send
from sekisho.cli.demo_show import JST, Bars, Screen
from sekisho.cli.main import Global
from sekisho.model import Language, Refused
from sekisho.range import DAYS, Range, period, simulate
from sekisho.range.master import write
from sekisho.range.story import YOUNG_DOMAIN
from sekisho.range.world import INTRUDER_HOME, SMALLEST, VICTIM


def language_of(environment: Mapping[str, str]) -> Language:
    """Japanese where the locale says so, else English."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if environment.get(name):
            return "ja" if environment[name].startswith("ja") else "en"
    return "en"


def span(start: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """The period: from midnight in Tokyo of ``start``, or the 14 days before ``now``."""
    if start is None:
        return period(now)
    begin = start.replace(tzinfo=JST)
    return begin.astimezone(UTC), (begin + timedelta(days=DAYS)).astimezone(UTC)


def queries(simulated: Range) -> list[str]:
    """Three searches, quoted for a shell."""
    act = next(act for act in simulated.ledger.planted if "mfa-missing" in act.rules)
    at = simulated.ledger.begins(act)
    first, last = ((at + timedelta(hours=hours)).astimezone(UTC).isoformat() for hours in (-1, 2))
    victim = simulated.world.person(VICTIM).uid
    return [
        shlex.quote(query)
        for query in (
            f"ip:{INTRUDER_HOME}",
            f'"{YOUNG_DOMAIN}"',
            f'person_uid:{victim} time:["{first}" TO "{last}"]',
        )
    ]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--exit", "leave", is_flag=True, help="End by itself: 0 if every detectable act was found, else 1."
)
@click.option(
    "--people",
    type=click.IntRange(SMALLEST, 240),
    default=40,
    show_default=True,
    help="Size of the exchange.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed gives another two weeks.")
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%d"]),
    default=None,
    help="First day (Tokyo). Default: the two weeks before now.",
)
@click.option("--lang", type=click.Choice(["ja", "en"]), default=None, help="Default: by LANG.")
@click.option(
    "--speed", type=click.FloatRange(min=1), default=None, help="Records a second. Default: all it takes."
)
@click.option(
    "--data",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    show_default="./sekisho-demo, or what `sekisho --data` names",
    help="Data folder of the demo; an earlier demo in it is replaced.",
)
@click.option("--remove", is_flag=True, help="Remove the data folder at the end, if all went well.")
@click.pass_obj
def command(
    given: Global,
    leave: bool,
    people: int,
    seed: int,
    start: datetime | None,
    lang: Language | None,
    speed: float | None,
    folder: Path | None,
    remove: bool,
) -> None:
    """Show the platform at work: a fictional exchange of 40 people is attacked as the advisory tells.

    \b
    Examples:
      sekisho demo                       then look around; Ctrl-C ends it
      sekisho demo --exit --lang ja      for a check: status 0 if every act was found
      sekisho demo --exit --data /tmp/d  then search in what was received
    """
    # a child in a session of its own must not outlive a demo that is told to end
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    data = (folder or (given.data if given.named else Path("sekisho-demo"))).absolute()
    screen = Screen(lang or language_of(os.environ))
    screen.say("making", people=people)
    begin, end = span(start, wiring.now())
    simulated = simulate(seed, begin, end, people)
    screen.say(
        "made",
        records=f"{simulated.total:,}",
        start=f"{begin.astimezone(JST):%Y-%m-%d}",
        end=f"{end.astimezone(JST):%Y-%m-%d}",
        acts=len(simulated.ledger.planted),
        alike=len(simulated.ledger.look_alikes),
    )
    http, syslog = demo_platform.free_ports(2)
    vpn = data / "master" / "vpn.txt"
    demo_platform.prepare(data, settings=demo_platform.settings_toml(http, syslog, vpn, screen.language))
    complete = False
    with Platform(data) as platform:
        complete = _play(platform, simulated, screen, speed)
        if not leave:
            _stay(platform, screen)
    if remove and (complete or not leave):
        demo_platform.remove(data)
    else:
        screen.say("kept", data=data)
    if leave and not complete:
        raise SystemExit(1)


def _play(platform: Platform, simulated: Range, screen: Screen, speed: float | None) -> bool:
    """The whole demo up to the report; whether every detectable act was found and the account balances."""
    files = write(simulated.world, platform.data / "master")
    screen.say("starting", data=platform.data)
    address = platform.start()
    screen.say("importing")
    platform.import_master(files)
    before = platform.settle(0, lambda _: None)
    screen.say("sending")
    began = time.monotonic()
    with screen.progress(simulated) as bars:
        sent = _send(platform, simulated, address, bars, before.settled, speed)
        count = platform.settle(
            sent + before.settled, lambda now: bars.processed(now.settled - before.settled)
        )
    seconds = time.monotonic() - began
    screen.account(sent + before.settled, count, platform.reject_reasons(), seconds)
    alerts = platform.alerts(screen.language)
    screen.alerts(alerts, platform.data)
    verdict = judge(simulated.ledger, alerts)
    screen.compare(simulated, verdict)
    screen.searches(platform.data, queries(simulated))
    return verdict.complete and count.settled == sent + before.settled


def _send(
    platform: Platform, simulated: Range, address: Address, bars: Bars, before: int, speed: float | None
) -> int:
    """Send everything while the bar of what is processed moves along; gives the number of records."""

    async def watch() -> None:
        while True:
            count = await asyncio.to_thread(platform.count)
            bars.processed(count.settled - before)
            await asyncio.sleep(1.0)

    async def both() -> int:
        watching = asyncio.create_task(watch())
        try:
            return await send(simulated.streams, address, bars.sent, speed)
        finally:
            watching.cancel()

    try:
        return asyncio.run(both())
    except ExceptionGroup as group:
        refused, others = group.split(Refused)
        if refused is not None and others is None:
            raise _first(refused) from group
        raise


def _first(group: BaseExceptionGroup[Refused]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _stay(platform: Platform, screen: Screen) -> None:
    """Until Ctrl-C, or until the platform ends."""
    screen.say("running")
    try:
        while platform.alive():
            time.sleep(0.5)
        screen.say("died", log=platform.data / "up.log")
    except KeyboardInterrupt:
        screen.console.print()
    platform.stop()
    screen.say("stopped")
