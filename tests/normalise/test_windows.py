"""Windows events: every notation of one event gives the same fields."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.contract import Hints, Unmappable, WindowsEvent
from sekisho.normalise.formats.windows import parse

NOW = Hints(datetime(2026, 3, 12, 9, 42, tzinfo=UTC))
AT = datetime(2026, 3, 12, 9, 41, 27, 523100, tzinfo=UTC)
XML = (
    "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><Provider Name='P'/>"
    "<EventID Qualifiers='16384'>4624</EventID><Level>0</Level>"
    "<TimeCreated SystemTime='2026-03-12T09:41:27.523100000Z'/><EventRecordID>9</EventRecordID>"
    "<Execution ProcessID='716'/><Channel>Security</Channel><Computer>pc1</Computer></System>"
    "<EventData><Data Name='TargetUserName'>関 守</Data><Data Name='LogonType'>3</Data></EventData></Event>"
)
EVTX = {
    "Event": {
        "System": {
            "Provider": {"#attributes": {"Name": "P"}},
            "EventID": {"#attributes": {"Qualifiers": 16384}, "#text": 4624},
            "Level": 0,
            "TimeCreated": {"#attributes": {"SystemTime": "2026-03-12T09:41:27.523100Z"}},
            "EventRecordID": 9,
            "Execution": {"#attributes": {"ProcessID": 716}},
            "Channel": "Security",
            "Computer": "pc1",
            "Security": None,
        },
        "EventData": {"TargetUserName": "関 守", "LogonType": 3},
    }
}
BEAT = {
    "@timestamp": "2026-03-12T09:41:27.523100Z",
    "winlog": {
        "provider_name": "P",
        "event_id": "4624",
        "record_id": 9,
        "channel": "Security",
        "computer_name": "pc1",
        "process": {"pid": 716},
        "event_data": {"TargetUserName": "関 守", "LogonType": "3"},
    },
}
FLAT = {
    "EventTime": "2026-03-12 18:41:27",
    "@timestamp": "2026-03-12T09:41:27.523100Z",
    "Hostname": "pc1",
    "EventID": 4624,
    "SourceName": "P",
    "Channel": "Security",
    "RecordNumber": 9,
    "ExecutionProcessID": 716,
    "TargetUserName": "関 守",
    "LogonType": 3,
}
AZURE = {
    "TimeGenerated": "2026-03-12T09:41:27.5231Z",
    "Computer": "pc1",
    "EventSourceName": "P",
    "Channel": "Security",
    "EventID": 4624,
    "EventRecordID": 9,
    "ExecutionProcessID": 716,
    "EventData": "<EventData><Data Name='TargetUserName'>関 守</Data>"
    "<Data Name='LogonType'>3</Data></EventData>",
}


def known(event: WindowsEvent) -> tuple[object, ...]:
    return (
        event.provider,
        event.event_id,
        event.channel,
        event.computer,
        event.time,
        event.record_id,
        event.process_id,
        event.rest["TargetUserName"],
        event.rest["LogonType"],
    )


@pytest.mark.parametrize(
    "payload",
    [
        XML.encode(),
        ('<?xml version="1.0" encoding="utf-16"?>' + XML).encode("utf-16"),
        *(json.dumps(value, ensure_ascii=False).encode() for value in (EVTX, BEAT, FLAT, AZURE)),
    ],
    ids=["xml", "xml-utf16", "evtx", "winlogbeat", "flat", "azure"],
)
def test_every_notation_says_the_same(payload: bytes) -> None:
    assert known(parse(payload, NOW)) == ("P", 4624, "Security", "pc1", AT, 9, 716, "関 守", "3")


def test_nxlog_time_without_zone_is_never_guessed() -> None:
    local = {name: value for name, value in FLAT.items() if name != "@timestamp"}
    event = parse(json.dumps(local).encode(), NOW)
    assert event.time.tzinfo is None, "only a zone that a person states can place it"
    sysmon = {**local, "SourceName": "Microsoft-Windows-Sysmon", "UtcTime": "2026-03-12 09:41:27.523100"}
    assert parse(json.dumps(sysmon).encode(), NOW).time.replace(microsecond=523100) == AT


@pytest.mark.parametrize(
    "body",
    [
        b"<Event/>",
        b"<Event><System/></Event>",
        b"<Event",
        b'<!DOCTYPE Event [<!ENTITY a "b">]><Event>&a;</Event>',
        b"{}",
        b'{"winlog":1}',
        b'{"Event":[]}',
        b'{"EventID":"x","@timestamp":"2026-03-12T09:41:27Z"}',
        b"plain",
        b"",
    ],
)
def test_what_is_no_windows_event_is_refused(body: bytes) -> None:
    with pytest.raises(Unmappable):
        parse(body, NOW)


def test_user_data_and_unnamed_values_are_kept() -> None:
    body = XML.replace(
        "<EventData>",
        "<UserData><Cleared><Channel>System</Channel></Cleared></UserData>"
        "<EventData><Data>one</Data><Data>two</Data>",
    )
    rest = parse(body.encode(), NOW).rest
    assert (rest["Channel"], rest["param1"], rest["param2"]) == ("System", "one", "two")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
NAMES = st.sampled_from(
    [
        "EventID",
        "TimeCreated",
        "@timestamp",
        "EventData",
        "Level",
        "Event",
        "winlog",
        "System",
        "SystemTime",
        "Execution",
    ]
)


@given(st.dictionaries(NAMES, VALUES | st.dictionaries(NAMES, VALUES, max_size=3), max_size=6))
def test_no_json_object_upsets_the_parser(value: dict[str, object]) -> None:
    with contextlib.suppress(Unmappable):
        event = parse(json.dumps(value).encode(), NOW)
        assert all(isinstance(text, str) for text in event.rest.values())


@pytest.mark.parametrize("event_id", [4624, {"#attributes": {"Qualifiers": 1}, "#text": 4624}])
@pytest.mark.parametrize(
    "data", [{"LogonType": 3}, {"Data": {"#text": ["a", "b"]}}, {"Data": "a"}, {"x": None}, None]
)
def test_the_fast_way_gives_what_the_general_one_gives(event_id: object, data: object) -> None:
    system = {**EVTX["Event"]["System"], "EventID": event_id, "Keywords": "0x80", "Task": 5}
    value = {"Event": {"System": system, "EventData": data}}
    fast, general = json.dumps(value, separators=(",", ":")).encode(), json.dumps(value, indent=1).encode()
    assert fast.startswith(b'{"Event":')
    assert parse(fast, NOW) == parse(general, NOW)
