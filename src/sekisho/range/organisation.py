"""The whole range: a seed, a period and a size give the same records and the same ledger every time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sekisho.range.emit import Emitted
from sekisho.range.layers_device import edr_day, sysmon_day, windows_day
from sekisho.range.layers_server import aws_day, dns_day, nightly, proxy_day, ssh_day
from sekisho.range.layers_sign_in import entra_admin, entra_day, github_day, google_day, okta_day, wallet_day
from sekisho.range.ledger import Ledger, Scene
from sekisho.range.look_alikes import look_alikes
from sekisho.range.plan import Day, plan
from sekisho.range.story import Clock, attack
from sekisho.range.story_theft import theft
from sekisho.range.world import World, found

DAYS = 14

PER_DAY: dict[str, Callable[[World, Day, float], Iterator[Emitted]]] = {
    "okta": okta_day,
    "entra": entra_day,
    "google": google_day,
    "github": github_day,
    "wallet": wallet_day,
    "windows": windows_day,
    "sysmon": sysmon_day,
    "edr": edr_day,
    "proxy": proxy_day,
    "dns": dns_day,
    "aws": aws_day,
    "ssh": ssh_day,
}
PER_PERIOD: dict[str, Callable[[World, float], Iterator[Emitted]]] = {
    "entra-admin": entra_admin,
    "nightly": nightly,
}
LAYERS = (*PER_DAY, *PER_PERIOD)


@dataclass(frozen=True)
class Range:
    """``streams``: records by stream, each in order of time. ``ledger``: what was planted."""

    world: World
    ledger: Ledger
    streams: Mapping[str, list[Emitted]]

    @property
    def total(self) -> int:
        return sum(map(len, self.streams.values()))


@dataclass(frozen=True)
class Size:
    """``volume`` multiplies every everyday layer, ``layers`` single ones by name on top of it."""

    volume: float = 1.0
    layers: Mapping[str, float] = field(default_factory=dict)

    def of(self, layer: str) -> float:
        return self.volume * self.layers.get(layer, 1.0)


def period(now: datetime) -> tuple[datetime, datetime]:
    """The 14 days before ``now`` (aware), on the whole hour."""
    end = now.replace(minute=0, second=0, microsecond=0)
    return end - timedelta(days=DAYS), end


def everyday(world: World, days: list[Day], layer: str, volume: float) -> Iterator[Emitted]:
    """Records of one layer."""
    if layer in PER_PERIOD:
        yield from PER_PERIOD[layer](world, volume)
        return
    for day in days:
        yield from PER_DAY[layer](world, day, volume)


def simulate(seed: int, start: datetime, end: datetime, people: int = 40, size: Size | None = None) -> Range:
    """Two weeks (or more) of the fictional exchange with the attack in it. Pure."""
    size = size or Size()
    unknown = set(size.layers) - set(LAYERS)
    if unknown:
        raise ValueError(f"no such layer: {', '.join(sorted(unknown))}; there are {', '.join(LAYERS)}")
    if end - start < timedelta(days=DAYS):
        raise ValueError(f"the story needs {DAYS} days, not {(end - start).days}")
    world = found(seed, start, end, people)
    days = plan(world)
    streams: dict[str, list[Emitted]] = {}
    for layer in LAYERS:
        for emitted in everyday(world, days, layer, size.of(layer)):
            streams.setdefault(emitted.stream, []).append(emitted)
    scene = Scene()
    clock = Clock(world, days)
    attack(world, clock, scene)
    theft(world, clock, scene)
    look_alikes(world, scene)
    for emitted in scene.emitted:
        streams.setdefault(emitted.stream, []).append(emitted)
    for records in streams.values():
        records.sort(key=lambda one: (one.time, one.body))
    return Range(world, scene.ledger(), streams)
