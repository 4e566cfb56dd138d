"""Ground truth: what was planted, which records tell of it, and which rules are to speak."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sekisho.model import Text
from sekisho.range.emit import Emitted


@dataclass(frozen=True)
class Act:
    """One planted act, or a harmless look-alike.

    ``rules``     ids of the rules of which at least one must speak on these records. Empty for an act
                  of the attack: not yet detectable by shipped rules. Always empty if ``harmless``.
    ``person``    person whose account or PC it is about; empty if nobody's
    ``advisory``  IDs of the advisory
    ``attack``    ATT&CK techniques
    """

    id: str
    title: Text
    person: str
    advisory: tuple[str, ...]
    attack: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    harmless: bool = False

    @property
    def required(self) -> bool:
        return bool(self.rules)


@dataclass(frozen=True)
class Ledger:
    """All acts in order of time, and (stream, time) of their records by act id."""

    acts: tuple[Act, ...]
    records: dict[str, tuple[tuple[str, datetime], ...]] = field(default_factory=dict)

    def begins(self, act: Act) -> datetime:
        return min(time for _, time in self.records[act.id])

    @property
    def planted(self) -> list[Act]:
        return [act for act in self.acts if not act.harmless]

    @property
    def look_alikes(self) -> list[Act]:
        return [act for act in self.acts if act.harmless]


@dataclass
class Scene:
    """Collects what the story and the look-alikes emit, under the act that is being played."""

    acts: list[Act] = field(default_factory=list)
    emitted: list[Emitted] = field(default_factory=list)

    def play(self, act: Act, records: Iterable[Emitted]) -> None:
        self.acts.append(act)
        self.emitted.extend(record._replace(act=act.id) for record in records)

    def ledger(self) -> Ledger:
        records: dict[str, list[tuple[str, datetime]]] = {act.id: [] for act in self.acts}
        for one in self.emitted:
            records[one.act].append((one.stream, one.time))
        found = {name: tuple(sorted(rows, key=lambda row: row[1])) for name, rows in records.items()}
        order = sorted(self.acts, key=lambda act: (act.harmless, found[act.id][0][1]))
        return Ledger(tuple(order), found)
