"""Sources made in the test, and frames around bodies."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import pytest

from sekisho.contract import Hints, Json, Lines, Recognise, Source, Unmappable, WindowsEvent, WindowsEvents
from sekisho.contract.source import AnySource
from sekisho.model import Frame, Records, Text
from sekisho.normalise import Normaliser
from sekisho.ocsf import Event

TEXT = Text(ja="試験", en="test")
RECEIVED = 1_773_308_520 * 10**9  # 2026-03-12T09:42:00Z


class Who(msgspec.Struct, gc=False):
    id: str | None = None


class Login(msgspec.Struct, gc=False):
    at: datetime | None = None
    kind: str = ""
    n: int | str | None = None
    who: Who | None = None
    tags: list[str] | None = None


def login(record: Login, hints: Hints) -> Event:
    if record.kind == "broken":
        raise KeyError("a fault of the mapping")
    if record.kind == "no-class":
        return {"class_uid": 3002, "activity_id": 77}
    if record.kind == "no-column":
        return {"class_uid": 0, "activity_id": 0, "colour": "red"}  # type: ignore[typeddict-unknown-key]
    return {
        "time": record.at,
        "class_uid": 3002,
        "activity_id": 1,
        "user_uid": record.who.id if record.who else None,
        "count": record.n,  # type: ignore[typeddict-item]  # a text must not get through
    }


@dataclass
class Line:
    text: str
    rest: dict[str, str] = field(default_factory=dict)


def parse(text: str, hints: Hints) -> Line:
    if text.startswith("refuse"):
        raise Unmappable("wrong-shape", "this line is not what the source documents")
    return Line(text, {"left": "over"})


def line(record: Line, hints: Hints) -> Event:
    return {"class_uid": 0, "activity_id": 0, "message": record.text, "device_hostname": hints.host}


def windows(record: WindowsEvent, hints: Hints) -> Event:
    return {
        "time": record.time,
        "class_uid": 0,
        "activity_id": 0,
        "metadata_event_code": str(record.event_id),
    }


def source(
    id_: str, decode: Any, mapping: Callable[[Any, Hints], Event], recognise: Recognise, **more: Any
) -> AnySource:
    return Source(
        id_, TEXT, "Vendor", "Product", decode, mapping, recognise, "https://example.com/", TEXT, (), **more
    )


def sources() -> dict[str, AnySource]:
    made = [
        source(
            "login", Json(Login), login, Recognise(marks=(b'"kind"',), sourcetypes=("vendor:login",), rank=10)
        ),
        source("line", Lines(parse), line, Recognise(programs=("lined",), pattern=re.compile(rb"^line "))),
        source(
            "win", WindowsEvents(), windows, Recognise(pattern=re.compile(rb'"EventID"|<Event[ >]'), rank=5)
        ),
        source("any", Lines(parse), line, Recognise(fallback_for="syslog")),
    ]
    return {one.id: one for one in made}


@pytest.fixture(scope="session")
def normaliser() -> Normaliser:
    return Normaliser(sources(), zone="UTC")


def frame(bodies: Sequence[bytes], number: int = 0, **more: Any) -> Frame:
    values: dict[str, Any] = {
        "source": "auto",
        "receiver": "ndjson",
        "wrapping": "none",
        "peer": "192.0.2.1",
        "identity": "",
        "received_at": RECEIVED,
        "bodies": tuple(bodies),
    }
    return Frame(number, Records(**{**values, **more}))
