"""Sekisho's own events: console logins, alerts, master-data imports, written as OCSF like any log."""

from __future__ import annotations

from typing import Any

from sekisho.contract import Hints, Json, Recognise, Source, Unmappable
from sekisho.model import Text
from sekisho.ocsf import Event
from sekisho.ocsf.native import Inconsistent, Native, check, flatten


def to_event(record: Any, hints: Hints) -> Event:
    try:
        check(record)
        return flatten(record)
    except Inconsistent as error:
        raise Unmappable(error.code, str(error)) from error


SOURCE = Source(
    id="sekisho",
    title=Text(ja="Sekisho 自身の記録", en="Sekisho's own record"),
    vendor="Sekisho",
    product="Sekisho",
    decode=Json[Any](Native),
    map=to_event,
    recognise=Recognise(),
    internal=True,
    reference="https://schema.ocsf.io/1.8.0/",
    switch_on=Text(ja="常に記録される", en="Always on"),
    advisory=("A10",),
    systems=("sekisho",),
)
