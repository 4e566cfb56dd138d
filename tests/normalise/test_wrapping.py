"""Wrappings: what the envelope says reaches the event, and what it says too much stays visible."""

from __future__ import annotations

import contextlib
import json
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.contract import Unmappable
from sekisho.model import Frame
from sekisho.normalise import Normaliser
from sekisho.normalise.wrapping import csv, hec, otlp, syslog
from tests.normalise.conftest import frame

RECEIVED_AT = datetime(2026, 3, 12, 9, 42, tzinfo=UTC)

NOW = datetime(2026, 3, 12, 9, 42, tzinfo=UTC)
AT = datetime(2026, 3, 12, 9, 41, 27, tzinfo=UTC)


def header(
    text: str, now: datetime = NOW
) -> tuple[datetime | None, str | None, str | None, int | None, bytes]:
    opened = syslog.unwrap(text.encode(), now, UTC)
    hints = opened.hints
    return hints.time, hints.host, hints.program, hints.pid, opened.payload


@pytest.mark.parametrize(
    "body",
    [
        b"<13>Jan  1 00:00:00 %A" + b"-a" * 20_000,
        b"<13>Jan  1 00:00:00 %A" + b"-" * 20_000,
        b"<13>" + b" " * 20_000 + b"x",
        b"<13>Jan  1 00:00:00 " + b"a/" * 20_000,
        b"<13>1 - - - - - [" + b"a " * 20_000,
    ],
    ids=["cisco", "dashes", "blanks", "slashes", "structured"],
)
def test_no_line_holds_the_header_parser_up(body: bytes) -> None:
    began = time.process_time()
    with contextlib.suppress(Unmappable):
        syslog.unwrap(body, RECEIVED_AT, ZoneInfo("UTC"))
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    "value", ["1e999990", "1e999999", "9" * 400_000, "0." + "1" * 400_000, "NaN", "1e-999"]
)
def test_no_number_holds_the_time_of_hec_up(value: str) -> None:
    began = time.process_time()
    assert hec.seconds(value) is None
    assert time.process_time() - began < 0.1
    assert hec.seconds("1773308520.25") == datetime(2026, 3, 12, 9, 42, 0, 250_000, tzinfo=UTC)


def test_the_same_raw_line_at_another_stated_time_is_another_event(normaliser: Normaliser) -> None:
    def uid(**said: str) -> tuple[object, object]:
        records = frame([b'{"kind":"x"}']).records
        events = normaliser.batch([Frame(0, msgspec.structs.replace(records, attributes=said))]).events
        return events["event_uid"][0].as_py(), events["time"][0].as_py()

    first = uid(time="1773308520", host="a")
    assert first == uid(time="1773308520", host="a"), "a retry folds"
    assert first[0] != uid(time="1773308580", host="a")[0]
    assert first[0] != uid(time="1773308520", host="b")[0]
    assert first[1] == datetime(2026, 3, 12, 9, 42, tzinfo=UTC)


def test_the_same_row_under_another_header_is_another_event(normaliser: Normaliser) -> None:
    """Else a file with two columns swapped could make the true row vanish."""

    def uid(header: str) -> object:
        said = {"csv_header": header, "csv_delimiter": ","}
        records = msgspec.structs.replace(
            frame([b"x,2026-03-12T18:41:27Z"], source="login", wrapping="csv").records, attributes=said
        )
        return normaliser.batch([Frame(0, records)]).events["event_uid"][0].as_py()

    assert uid("kind,at") == uid("kind,at")
    assert uid("kind,at") != uid("tags_,at")


def test_what_is_told_twice_in_two_requests_is_four_events(normaliser: Normaliser) -> None:
    """Of HEC raw, where the time stands beside the body, whether or not the two are in one batch."""

    def sent(number: int, time: str) -> Frame:
        records = frame([b'{"kind":"x"}'] * 2, number).records
        return Frame(number, msgspec.structs.replace(records, attributes={"time": time}))

    frames = [sent(0, "1773308520"), sent(1, "1773308580")]
    together = normaliser.batch(frames).events["event_uid"].to_pylist()
    assert len(set(together)) == 4
    assert together == [
        uid for one in frames for uid in normaliser.batch([one]).events["event_uid"].to_pylist()
    ]


def test_a_timeless_line_folds_only_where_its_receiver_knows_a_retry(normaliser: Normaliser) -> None:
    """Told again without a time it is another happening, however soon, unless it is the same delivery."""

    def uid(later: float = 0.0, receiver: str = "ndjson", **attributes: str) -> object:
        records = frame([b'{"kind":"x"}']).records
        at = records.received_at + int(later * 1e9)
        changed = msgspec.structs.replace(records, received_at=at, receiver=receiver, attributes=attributes)
        return normaliser.batch([Frame(0, changed)]).events["event_uid"][0].as_py()

    first = frame([]).records.received_at
    assert uid() == uid(), "a replay gives the same"
    assert len({uid(n) for n in range(5)}) == 5
    assert uid() == uid(3599.0, retry_of=str(first)) == uid(3601.0, retry_of=str(first))
    assert uid(receiver="file") == uid(86400.0, receiver="file"), "the same file again"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<38>Mar 12 09:41:27 h1 sshd[42]: hello", (AT, "h1", "sshd", 42, b"hello")),
        ("<38> Mar 12 09:41:27 h1 sshd: hello", (AT, "h1", "sshd", None, b"hello")),
        ("Mar 12 09:41:27 h1 sudo: x : TTY=1", (AT, "h1", "sudo", None, b"x : TTY=1")),
        ("<38>Mar 12 09:41:27 sshd[42]: hello", (AT, None, "sshd", 42, b"hello")),
        ("<38>Mar 12 2026 09:41:27 h1 a: b", (AT, "h1", "a", None, b"b")),
        ("<38>2026-03-12T18:41:27+09:00 h1 a[1]: b", (AT, "h1", "a", 1, b"b")),
        ("<189>22: h1: *Mar 12 09:41:27.000: %SYS-5-X_Y: b", (AT, "h1", "%SYS-5-X_Y", None, b"b")),
        ("<189>22: Mar 12 18:41:27 JST: %SYS-5-X_Y: b", (AT, None, "%SYS-5-X_Y", None, b"b")),
        ("<189>22: Mar 12 09:41:27 IST: %SYS-5-X_Y: b", (None, None, "%SYS-5-X_Y", None, b"b")),
        # rsyslog's RSYSLOG_SyslogProtocol23Format of what a program wrote with syslog(3)
        ("<38>1 2026-03-12T09:41:27Z h1 sshd 42 - -  hello", (AT, "h1", "sshd", 42, b"hello")),
        ("<13>printer: toner low", (None, None, "printer", None, b"toner low")),
        ("no header at all", (None, None, None, None, b"no header at all")),
        ("", (None, None, None, None, b"")),
    ],
)
def test_headers_of_rfc_3164_and_its_relatives(
    text: str, expected: tuple[datetime | None, str | None, str | None, int | None, bytes]
) -> None:
    assert header(text) == expected


def test_rfc_5424_keeps_its_structured_data() -> None:
    text = (
        '<165>1 2026-03-12T09:41:27Z h1 app 8710 ID47 [a@32473 x="1" y="q\\"\\]z"][b@32473] \ufeffメッセージ'
    )
    opened = syslog.unwrap(text.encode(), NOW, UTC)
    assert opened.payload.decode() == "メッセージ"
    assert (opened.hints.time, opened.hints.facility, opened.hints.severity) == (AT, 20, 5)
    assert opened.rest == {"syslog.a@32473.x": "1", "syslog.a@32473.y": 'q"]z', "syslog.msgid": "ID47"}


@pytest.mark.parametrize(
    ("received", "stamp", "year"),
    [
        (datetime(2026, 1, 1, 0, 1, tzinfo=UTC), "Dec 31 23:59:59", 2025),
        (datetime(2025, 12, 31, 23, 59, tzinfo=UTC), "Jan  1 00:01:00", 2026),
        (datetime(2026, 3, 12, tzinfo=UTC), "Mar 12 09:41:27", 2026),
        (datetime(2026, 3, 12, tzinfo=UTC), "Mar 14 09:41:27", 2025),
        (datetime(2026, 3, 12, tzinfo=UTC), "Feb 29 00:00:00", 2024),
    ],
)
def test_a_date_without_a_year_is_the_newest_not_after_tomorrow(
    received: datetime, stamp: str, year: int
) -> None:
    time = header(f"<13>{stamp} h a: b", received)[0]
    assert time is not None
    assert time.year == year


@given(st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1)), st.integers(-12 * 60, 14 * 60))
def test_a_time_with_offset_is_read_back(naive: datetime, minutes: int) -> None:
    time = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert header(f"<13>1 {time.isoformat()} h a - - - b")[0] == time
    assert header(f"<13>{time.isoformat()} h a: b")[0] == time


@given(st.datetimes(datetime(2026, 3, 1), datetime(2026, 3, 12, 9)))
def test_a_local_time_is_placed_by_the_zone_of_the_receiver(naive: datetime) -> None:
    naive = naive.replace(microsecond=0)
    body = f"<13>{naive.strftime('%b')} {naive.day:2} {naive.strftime('%H:%M:%S')} h a: b".encode()
    opened = syslog.unwrap(body, NOW, ZoneInfo("Asia/Tokyo"))
    assert opened.hints.time == naive.replace(tzinfo=ZoneInfo("Asia/Tokyo"))


@given(st.binary(max_size=200))
def test_no_bytes_upset_the_header_parser(body: bytes) -> None:
    syslog.unwrap(body, NOW, UTC)
    syslog.unwrap(b"<13>1 2026-03-12T09:41:27Z h a p m [" + body, NOW, UTC)


def test_all_published_samples_have_the_same_time(shared_data: Path) -> None:
    """sc4s-syslog: all messages carry 2026-03-12 09:41:27 UTC, each in its own notation."""
    samples = (shared_data / "real-logs/sc4s-syslog/syslog-messages.jsonl").read_text("utf-8").splitlines()
    read, wrong = 0, []
    for sample in samples:
        raw = json.loads(sample)["raw"]
        time = syslog.unwrap(raw.encode(), NOW, UTC).hints.time
        if time is None:
            continue
        read += 1
        if abs(time - AT) > timedelta(seconds=2):
            wrong.append(raw[:90])
    # the rest has no time in its header, or one in a zone whose name says nothing sure
    assert read >= 670
    # literal other dates in the samples, and samples that claim a zone (CDT, PDT) for a time written in UTC
    assert len(wrong) <= 19, wrong


def test_hec_gives_time_host_and_source_type(normaliser: Normaliser) -> None:
    body = {
        "time": "1773308487.250",
        "host": "h1",
        "sourcetype": "vendor:login",
        "index": "main",
        "fields": {"k": 1},
    }
    events = normaliser.batch(
        [frame([json.dumps({**body, "event": {"n": 4}}).encode()], wrapping="hec")]
    ).events
    row = events.to_pylist()[0]
    assert (row["source"], row["count"]) == ("login", 4)
    assert row["time"] == AT.replace(microsecond=250000)
    assert json.loads(row["unmapped"]) == {
        "hec.sourcetype": "vendor:login",
        "hec.index": "main",
        "hec.fields": {"k": 1},
    }


def test_a_syslog_line_inside_hec_is_opened_too(normaliser: Normaliser) -> None:
    body = json.dumps({"time": 1773308487, "event": "<13>Mar 11 00:00:00 h1 lined[1]: hello"}).encode()
    row = normaliser.batch([frame([body], wrapping="hec")]).events.to_pylist()[0]
    assert (row["source"], row["message"], row["device_hostname"], row["time"]) == ("line", "hello", "h1", AT)


@pytest.mark.parametrize(
    "body", [b"{}", b'{"event":null}', b'{"event":""}', b'{"event":1,"time":"soon"}', b"[]", b"\xff"]
)
def test_hec_without_a_record_is_refused(body: bytes) -> None:
    with pytest.raises(Unmappable):
        hec.unwrap(body, NOW)


def test_otlp_gives_the_body_and_what_the_resource_says(normaliser: Normaliser) -> None:
    body = {
        "resource": {"attributes": [{"key": "host.name", "value": {"stringValue": "h1"}}]},
        "scope": {"name": "app"},
        "logRecord": {
            "timeUnixNano": "1773308487000000000",
            "severityText": "INFO",
            "body": {"kvlistValue": {"values": [
                {"key": "kind", "value": {"stringValue": "x"}}, {"key": "n", "value": {"intValue": "7"}},
            ]}},
        },
    }  # fmt: skip
    row = normaliser.batch([frame([json.dumps(body).encode()], wrapping="otlp")]).events.to_pylist()[0]
    assert (row["source"], row["count"], row["time"]) == ("login", 7, AT)
    assert json.loads(row["unmapped"])["otlp.resource"] == {"host.name": "h1"}


@given(st.binary(max_size=80))
def test_no_bytes_upset_otlp(body: bytes) -> None:
    for whole in (body, b'{"logRecord":{"body":' + body + b"}}"):
        with contextlib.suppress(Unmappable):
            assert otlp.unwrap(whole, NOW).wrapping == "otlp"


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)


@given(st.lists(CELL, min_size=2, max_size=5))
def test_csv_rows_are_read_back(cells: list[str]) -> None:
    names = [f"c{index}" for index in range(len(cells))]
    row = ",".join('"' + cell.replace('"', '""') + '"' for cell in cells).encode()
    opened = csv.unwrapper({"csv_header": ",".join(names)}, NOW)(row)
    assert json.loads(opened.payload) == dict(zip(names, cells, strict=True))


def test_csv_without_header_or_with_other_columns_is_refused() -> None:
    with pytest.raises(Unmappable, match="csv_header"):
        csv.unwrapper({}, NOW)(b"1,2")
    with pytest.raises(Unmappable, match="3 cells"):
        csv.unwrapper({"csv_header": "a,b"}, NOW)(b"1,2,3")


def test_numbers_in_csv_cells_are_read(normaliser: Normaliser) -> None:
    one = frame(
        [b"x,2026-03-12T09:41:27Z"], wrapping="csv", source="login", attributes={"csv_header": "kind,at"}
    )
    assert normaliser.batch([one]).events["time"].to_pylist() == [AT]
