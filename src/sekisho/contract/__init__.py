"""What a content file may say. Content imports this package, ``sekisho.ocsf`` and ``sekisho.model``."""

from sekisho.contract.context import Context
from sekisho.contract.discovery import Content, discover
from sekisho.contract.rule import ATTACK_ID, Match, Rule, Told
from sekisho.contract.source import Hints, Json, Lines, Recognise, Source, Unmappable, WindowsEvents
from sekisho.contract.standing import (
    Hole,
    Mark,
    Mute,
    Past,
    Rise,
    Shift,
    Silence,
    StandingRule,
    Stated,
    Unjudged,
)
from sekisho.contract.tables import TABLES, Field, Table
from sekisho.contract.windows import WindowsEvent

__all__ = [
    "ATTACK_ID",
    "TABLES",
    "Content",
    "Context",
    "Field",
    "Hints",
    "Hole",
    "Json",
    "Lines",
    "Mark",
    "Match",
    "Mute",
    "Past",
    "Recognise",
    "Rise",
    "Rule",
    "Shift",
    "Silence",
    "Source",
    "StandingRule",
    "Stated",
    "Table",
    "Told",
    "Unjudged",
    "Unmappable",
    "WindowsEvent",
    "WindowsEvents",
    "discover",
]
