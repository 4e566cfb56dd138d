"""Events that their sender has mapped to OCSF already (JSON, schema 1.0 to 1.8)."""

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
    id="ocsf",
    title=Text(ja="OCSF 形式の JSON", en="Native OCSF JSON"),
    vendor="OCSF",
    product="native event",
    decode=Json[Any](Native),
    map=to_event,
    recognise=Recognise(marks=(b'"class_uid"', b'"metadata"', b'"activity_id"'), sourcetypes=("ocsf",)),
    reference="https://schema.ocsf.io/1.8.0/",
    switch_on=Text(
        ja="送信側で OCSF 形式の出力を選び、NDJSON として /v1/ingest/ocsf などに送る",
        en="Choose OCSF output at the sender and send it as newline-delimited JSON with the source ocsf",
    ),
    advisory=("A10",),
    systems=(),
)
