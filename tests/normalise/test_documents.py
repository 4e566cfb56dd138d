"""Documents as shippers make them around a line: the line is the record, whatever label it came with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.contract import Lines
from tests.content.cases import cases, content, normaliser
from tests.normalise.conftest import frame

AT = "2026-03-12T09:41:27.250Z"
TIME = datetime(2026, 3, 12, 9, 41, 27, 250000, tzinfo=UTC)
GOOD = "Accepted publickey for tanaka from 192.0.2.7 port 50222 ssh2: ED25519 SHA256:abc"
BAD = "Failed password for invalid user mori from 198.51.100.9 port 40022 ssh2"
AGENT = {"type": "filebeat", "version": "8.17.0"}


def one(value: object, **more: Any) -> dict[str, Any]:
    body = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
    result = normaliser().batch([frame([body], **more)])
    assert not result.rejects, result.rejects
    row: dict[str, Any] = result.events.to_pylist()[0]
    assert row["raw"] == body.decode()
    hashed = hashlib.blake2b(row["source"].encode() + b"\x00" + body, digest_size=16)
    assert row["event_uid"] == hashed.hexdigest()
    return row


def refused(value: object, **more: Any) -> tuple[str, str, str]:
    result = normaliser().batch([frame([json.dumps(value).encode()], **more)])
    assert len(result.events) == 0
    return result.rejects[0].source, result.rejects[0].code, result.rejects[0].why


def filebeat(text: str) -> dict[str, Any]:
    return {
        "@timestamp": AT,
        "message": text,
        "host": {"name": "bastion1"},
        "agent": AGENT,
        "log": {"file": {"path": "/var/log/auth.log"}, "offset": 77},
        "input": {"type": "filestream"},
    }


def rsyslog(text: str) -> dict[str, Any]:
    return {
        "@timestamp": AT, "message": text, "host": "bastion1", "severity": "6", "facility": "10",
        "programname": "sshd", "procid": "4242",
    }  # fmt: skip


SHIPPED: dict[str, Callable[[str], dict[str, Any]]] = {
    "filebeat-syslog": lambda text: filebeat(f"Mar 12 18:41:27 bastion1 sshd[4242]: {text}"),
    "filebeat-iso": lambda text: (
        filebeat(f"2026-03-12T18:41:27.250000+09:00 bastion1 sshd[4242]: {text}")
        | {"@timestamp": "2026-03-12T11:00:00Z"}
    ),
    "rsyslog": rsyslog,
    "rsyslog-text": lambda text: {
        "timereported": AT,
        "message": " " + text,
        "hostname": "bastion1",
        "syslogtag": "sshd[4242]:",
        "severity": "info",
        "facility": "authpriv",
    },
    "fluent-bit": lambda text: {
        "date": 1773308487.25,
        "log": f"Mar 12 18:41:27 bastion1 sshd[4242]: {text}\n",
    },
    "fluent-bit-journal": lambda text: {
        "@timestamp": AT,
        "MESSAGE": text,
        "_HOSTNAME": "bastion1",
        "SYSLOG_IDENTIFIER": "sshd",
        "_PID": "4242",
        "PRIORITY": "6",
    },
    "logstash": lambda text: {
        "@timestamp": AT,
        "message": f"<86>Mar 12 18:41:27 bastion1 sshd[4242]: {text}",
        "host": "192.0.2.1",
        "@version": "1",
    },
    "vector": lambda text: {
        "timestamp": AT,
        "message": text,
        "host": "bastion1",
        "appname": "sshd",
        "procid": 4242,
        "facility": "auth",
        "severity": "info",
        "source_type": "syslog",
    },
    "filebeat-of-docker": lambda text: filebeat(
        json.dumps({"log": f"Mar 12 18:41:27 bastion1 sshd[4242]: {text}\n", "stream": "stdout", "time": AT})
    ),
}


@pytest.mark.parametrize("label", ["auto", "openssh", "syslog"])
@pytest.mark.parametrize("shape", SHIPPED)
def test_a_line_of_sshd_in_a_document(shape: str, label: str) -> None:
    good = one(SHIPPED[shape](GOOD), source=label)
    bad = one(SHIPPED[shape](BAD), source=label)
    assert [row["source"] for row in (good, bad)] == ["openssh"] * 2
    assert [(row["class_uid"], row["status_id"], row["user_name"]) for row in (good, bad)] == [
        (3002, 1, "tanaka"),
        (3002, 2, "mori"),
    ]
    assert [row["src_endpoint_ip"] for row in (good, bad)] == ["192.0.2.7", "198.51.100.9"]
    assert {row["time"] for row in (good, bad)} == {TIME}
    assert {row["device_hostname"] for row in (good, bad)} == {"bastion1"}


def test_what_the_document_says_beside_is_kept() -> None:
    left = json.loads(one(filebeat(f"Mar 12 18:41:27 bastion1 sshd[4242]: {GOOD}"))["unmapped"])
    assert left["document.agent"] == AGENT
    assert left["document.log"] == {"file": {"path": "/var/log/auth.log"}, "offset": 77}
    assert "document.@timestamp" not in left
    assert "document.message" not in left


def test_a_bare_line_needs_the_label() -> None:
    assert one(filebeat(GOOD), source="openssh")["user_name"] == "tanaka"
    assert refused(filebeat("nothing that any source knows"))[1] == "unknown-format"
    assert one(filebeat("nothing that any source knows"), source="syslog")["source"] == "syslog"
    assert one(rsyslog("x") | {"programname": "chronyd"})["source"] == "syslog"


@pytest.mark.parametrize("wrapped", [filebeat, lambda text: {"event": filebeat(text), "time": 1.5}])
def test_json_records_in_a_text(wrapped: Any) -> None:
    wrapping = "hec" if "event" in wrapped("") else "none"
    for case in cases():
        source = content().sources[case.source]
        if case.wrapping != "none" or case.body[:1] != b"{" or source.internal:
            continue
        direct = normaliser().batch([frame([case.body], source=case.source)])
        inside = json.dumps(wrapped(case.body.decode())).encode()
        for label in ("auto", case.source):
            result = normaliser().batch([frame([inside], source=label, wrapping=wrapping)])
            if direct.rejects or case.unlabelled:
                continue
            assert not result.rejects, (case.name, label, result.rejects)
            assert result.events["source"].to_pylist() == direct.events["source"].to_pylist(), case.name
            for column in ("class_uid", "activity_id", "user_name", "src_endpoint_ip", "message"):
                assert result.events[column] == direct.events[column], (case.name, column)


def test_a_record_that_a_source_takes_is_never_opened() -> None:
    """Each JSON case with a ``message``, a time and a program beside it stays the source's own."""
    line = {"message": f"sshd[1]: {GOOD}", "@timestamp": AT, "program": "sshd"}
    seen = 0
    for case in cases():
        direct = normaliser().batch([frame([case.body], source=case.source)])
        if case.wrapping != "none" or case.body[:1] != b"{" or direct.rejects:
            continue
        value = json.loads(case.body)
        body = json.dumps({**line, **value}).encode()
        for label in ("auto", case.source):
            if label == "auto" and (case.unlabelled or content().sources[case.source].internal):
                continue
            result = normaliser().batch([frame([body], source=label)])
            assert "openssh" not in result.events["source"].to_pylist(), case.name
            seen += 1
    assert seen > 50


def test_no_struct_takes_a_document_for_its_record() -> None:
    """An optional-only Struct would make an empty event of any document."""
    structs = [name for name, source in content().sources.items() if not isinstance(source.decode, Lines)]
    assert len(structs) > 9
    for name in structs:
        result = normaliser().batch([frame([json.dumps(filebeat(GOOD)).encode()], source=name)])
        assert len(result.events) == 0, name


@pytest.mark.parametrize(
    "payload",
    [
        b'<29>1 2026-03-12T09:41:27Z h EPOEvents - - - ?<?xml version="1.0"?><EPOEvent><Event >',
        b'<13>Mar 12 09:41:27 h fw: x {"action":"x","@timestamp":1,"actor":"a","created_at":1}',
    ],
)
def test_a_line_that_quotes_a_record_is_no_record(payload: bytes) -> None:
    result = normaliser().batch([frame([payload], wrapping="syslog")])
    assert result.events["source"].to_pylist() == ["syslog"]


def test_a_user_name_cannot_hide_a_line_from_its_source() -> None:
    name = "<Event > -Sysmon <Provider Name='Linux-Sysmon'"
    row = one(rsyslog(f"Failed password for invalid user {name} from 198.51.100.9 port 1 ssh2"))
    assert row["source"] == "openssh"


@pytest.mark.parametrize(
    "text", ["Mar 12 18:41:27 h sshd[1]: " + GOOD, "<86>Mar 12 18:41:27 h sshd[1]: " + BAD]
)
@pytest.mark.parametrize("label", ["auto", "syslog"])
@pytest.mark.parametrize("named", ["linux_secure", "syslog"])
def test_the_names_of_any_syslog_leave_it_to_the_line(text: str, label: str, named: str) -> None:
    """HEC event endpoint, raw endpoint, and a syslog receiver."""
    event = {"event": text, "sourcetype": named, "host": "h", "time": 1773308487}
    assert one(event, source=label, wrapping="hec")["source"] == "openssh"
    raw = {"sourcetype": named}
    assert one(text.encode(), source=label, attributes=raw)["source"] == "openssh"
    assert one(text.encode(), source=label, wrapping="syslog")["source"] == "openssh"


def test_the_label_syslog_still_takes_what_nothing_else_knows() -> None:
    for body in (b"Mar 12 18:41:27 h chronyd[1]: Selected source", b"no header"):
        result = normaliser().batch([frame([body], source="syslog")])
        assert result.events["source"].to_pylist() == ["syslog"]
    okta = next(case.body for case in cases("okta") if not case.unlabelled)
    assert one(okta, source="syslog")["source"] == "okta"


def test_nobody_reaches_the_source_of_the_platform_itself_by_naming_it() -> None:
    body = next(case.body for case in cases("sekisho"))
    wrapped = b'{"sourcetype":"sekisho","event":%b}' % body
    events = normaliser().batch([frame([wrapped], wrapping="hec")]).events
    assert "sekisho" not in events["source"].to_pylist()


VALUE = st.none() | st.integers() | st.text(max_size=12) | st.dictionaries(st.text(max_size=5), st.text())
NAMES = [
    "@timestamp", "timereported", "date", "time", "message", "log", "MESSAGE", "host", "program", "syslogtag",
    "procid", "severity", "facility", "process", "_PID",
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), VALUE | st.just(AT) | st.floats(), max_size=8), st.text())
def test_no_document_upsets_the_stage(value: dict[str, Any], text: str) -> None:
    bodies = [json.dumps(value).encode(), json.dumps({**value, "message": text, "@timestamp": AT}).encode()]
    for label in ("auto", "openssh", "okta", "syslog"):
        for wrapping in ("none", "hec"):
            result = normaliser().batch([frame(bodies, source=label, wrapping=wrapping)])
            assert len(result.events) + len(result.rejects) == 2
