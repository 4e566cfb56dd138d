"""The event language: OCSF 1.8 classes and columns."""

from sekisho.ocsf.classes import CLASSES, OcsfClass
from sekisho.ocsf.columns import (
    BY_NAME,
    COLUMNS,
    EVENT_SCHEMA,
    EVENT_SCHEMA_VERSION,
    MAPPED,
    NORMALISED_SCHEMA,
    TIME,
    Column,
)
from sekisho.ocsf.event import Event
from sekisho.ocsf.problems import problems

__all__ = [
    "BY_NAME",
    "CLASSES",
    "COLUMNS",
    "EVENT_SCHEMA",
    "EVENT_SCHEMA_VERSION",
    "MAPPED",
    "NORMALISED_SCHEMA",
    "TIME",
    "Column",
    "Event",
    "OcsfClass",
    "problems",
]
