"""When and where people work: one plan per person and local day; all layers read the same plan."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal

from sekisho.range.dice import Dice
from sekisho.range.world import OFFICE_EGRESS, TOKYO, TRAVELLER, Person, World

Place = Literal["office", "home", "trip"]


@dataclass(frozen=True)
class Day:
    """A day of work: spans between breaks (aware times), place and the address seen outside."""

    person: Person
    date: date
    spans: tuple[tuple[datetime, datetime], ...]
    place: Place
    address: str
    phone: str

    @property
    def start(self) -> datetime:
        return self.spans[0][0]

    @property
    def end(self) -> datetime:
        return self.spans[-1][1]

    @property
    def hours(self) -> float:
        return sum((b - a).total_seconds() for a, b in self.spans) / 3600

    def moment(self, dice: Dice) -> datetime:
        """A moment inside the working spans, to the millisecond."""
        left = dice.random() * self.hours * 3600
        for a, b in self.spans:
            length = (b - a).total_seconds()
            if left < length:
                return a + timedelta(milliseconds=int(left * 1000))
            left -= length
        return self.spans[-1][1]

    def moments(self, dice: Dice, mean: float) -> list[datetime]:
        """About ``mean`` moments, in order."""
        return sorted(self.moment(dice) for _ in range(dice.many(mean)))


def dates(world: World) -> list[date]:
    """Local dates of Tokyo that the period touches."""
    first, last = world.start.astimezone(TOKYO).date(), world.end.astimezone(TOKYO).date()
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def weekdays(world: World) -> list[date]:
    """Monday to Friday, whole days of the period only."""
    inside = dates(world)
    if world.start.astimezone(TOKYO).time() > time(0):
        inside = inside[1:]
    return [day for day in inside[:-1] if day.weekday() < 5]


def holiday(world: World) -> date:
    """The company's holiday: the sixth weekday of the period."""
    days = weekdays(world)
    return days[min(5, len(days) - 1)]


def workdays(world: World) -> list[date]:
    """Days on which the office in Tokyo works."""
    return [day for day in weekdays(world) if day != holiday(world)]


def _spans(person: Person, day: date, dice: Dice, late: bool) -> tuple[tuple[datetime, datetime], ...]:
    begin = datetime.combine(day, time(9, 15), person.zone) + timedelta(minutes=dice.gauss(0, 24))
    noon = datetime.combine(day, time(12, 5), person.zone) + timedelta(minutes=dice.gauss(0, 12))
    close = datetime.combine(day, time(18, 10), person.zone) + timedelta(minutes=abs(dice.gauss(0, 40)))
    spans = [(begin, noon), (noon + timedelta(minutes=45 + 20 * dice.random()), close)]
    if late:
        again = close + timedelta(hours=1.5 + dice.random())
        spans.append((again, again + timedelta(minutes=25 + 60 * dice.random())))
    return tuple(spans)


def _day(world: World, person: Person, day: date, on_holiday: date) -> Day | None:
    dice = Dice(world.seed, "plan", person.number, day)
    weekend = day.weekday() >= 5 or (day == on_holiday and person.country == "JP")
    presence = dice.random()
    if (weekend and presence > 0.03) or presence > 0.95:
        return None
    spans = _spans(person, day, dice, late=dice.random() < 0.12)
    if not (person.employed(spans[0][0]) and world.start <= spans[0][0] and spans[-1][1] < world.end):
        return None
    place, address = _place(world, person, day, dice, weekend)
    return Day(person, day, spans, place, address, f"198.51.100.{128 + dice.randrange(60)}")


def _place(world: World, person: Person, day: date, dice: Dice, weekend: bool) -> tuple[Place, str]:
    remote = dice.random() < 0.3
    if person.number == TRAVELLER and day in workdays(world)[3:6]:
        return "trip", "198.51.100.230"
    if person.country != "JP" or weekend or remote:
        return "home", person.home
    return "office", OFFICE_EGRESS


def plan(world: World) -> list[Day]:
    """All working days of all staff, by person, then date."""
    on_holiday = holiday(world)
    days = (_day(world, person, day, on_holiday) for person in world.staff() for day in dates(world))
    return [day for day in days if day is not None]
