"""The stage as a whole: nothing lost, nothing doubled, every reject explained."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sekisho.model import Offset
from sekisho.normalise import Normaliser, recognise
from sekisho.normalise.leftovers import Learner
from sekisho.ocsf import NORMALISED_SCHEMA
from tests.normalise.conftest import RECEIVED, Login, frame, sources

GOOD = b'{"kind":"x","at":"2026-03-12T18:41:27.5+09:00","who":{"id":"u1","name":"n"},"more":[1,{"a":null}]}'


def only(normaliser: Normaliser, body: bytes, **more: Any) -> dict[str, object]:
    result = normaliser.batch([frame([body], **more)])
    assert not result.rejects, result.rejects
    row: dict[str, object] = result.events.to_pylist()[0]
    return row


def reject(normaliser: Normaliser, body: bytes, **more: Any) -> tuple[str, str]:
    result = normaliser.batch([frame([body], **more)])
    assert len(result.events) == 0
    return result.rejects[0].code, result.rejects[0].why


def test_an_event_carries_its_origin_its_evidence_and_what_was_left_over(normaliser: Normaliser) -> None:
    row = only(normaliser, GOOD, source="login", number=7)
    assert row["time"] == datetime(2026, 3, 12, 9, 41, 27, 500000, tzinfo=UTC)
    assert (row["class_uid"], row["category_uid"], row["type_uid"]) == (3002, 3, 300201)
    assert (row["source"], row["receiver"], row["journal_offset"]) == ("login", "ndjson", Offset(7, 0).packed)
    assert row["raw"] == GOOD.decode()
    assert json.loads(str(row["unmapped"])) == {"who": {"name": "n"}, "more": [1, {"a": None}]}
    assert (row["metadata_product_name"], row["metadata_product_vendor_name"]) == ("Product", "Vendor")
    assert row["severity_id"] == 1


def test_the_schema_is_the_one_declared_even_without_events(normaliser: Normaliser) -> None:
    assert normaliser.batch([]).events.schema == NORMALISED_SCHEMA
    assert normaliser.batch([frame([GOOD])]).events.schema == NORMALISED_SCHEMA


def test_event_uid_is_what_the_decision_says(normaliser: Normaliser) -> None:
    uids = normaliser.batch([frame([GOOD, GOOD, GOOD])]).events["event_uid"].to_pylist()
    first = hashlib.blake2b(b"login\x00" + GOOD, digest_size=16)
    again = [
        hashlib.blake2b(number, digest_size=16, key=first.digest()).hexdigest() for number in (b"2", b"3")
    ]
    assert uids == [first.hexdigest(), *again]


def test_like_lines_without_a_time_are_all_kept(normaliser: Normaliser) -> None:
    bodies = [b"line one", b"line one"]
    first = normaliser.batch([frame(bodies, 1)]).events
    again = normaliser.batch([frame(bodies, 2, received_at=RECEIVED + 10**9)]).events
    other = normaliser.batch([frame([*bodies, b"line two"], 3)]).events
    uids = [one["event_uid"].to_pylist() for one in (first, again, other)]
    assert len({uid for some in uids for uid in some}) == 7
    assert first["time"].to_pylist() == [datetime.fromtimestamp(RECEIVED / 10**9, UTC)] * 2
    assert first["unmapped"].to_pylist() == ['{"left":"over"}'] * 2


@given(
    st.lists(st.sampled_from([GOOD, b'{"kind":"y"}', b"line one", b"what"]), min_size=1, max_size=9),
    st.data(),
)
def test_a_part_of_a_frame_is_what_it_is_in_the_whole(bodies: list[bytes], data: st.DataObject) -> None:
    """Also the second of two like records, when the first is in another part."""
    normaliser = Normaliser(sources(), zone="UTC")
    cut = data.draw(st.integers(0, len(bodies)))
    whole = normaliser.batch([frame(bodies)])
    parts = [normaliser.batch([frame(bodies)], part) for part in (range(cut), range(cut, len(bodies)))]
    assert [row for part in parts for row in part.events.to_pylist()] == whole.events.to_pylist()
    assert [reject for part in parts for reject in part.rejects] == whole.rejects


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        (b'{"kind":"x"', "not-json", "not JSON"),
        (b'{"kind":"x","at":"2026-03-12T18:41:27"}', "no-zone", "offset from UTC"),
        (b'{"kind":"broken"}', "mapping-fault", "login"),
        (b'{"kind":"no-class"}', "mapping-fault", "activity_id 77"),
        (b'{"kind":"no-column"}', "wrong-shape", "column colour"),
        (b"what is this", "unknown-format", "sekisho sources try"),
        (b"", "unknown-format", "sekisho sources try"),
    ],
)
def test_a_record_that_cannot_become_an_event_says_why(
    normaliser: Normaliser, body: bytes, code: str, named: str
) -> None:
    found, why = reject(normaliser, body)
    assert found == code
    assert named in why
    mixed = normaliser.batch([frame([GOOD, body, GOOD])])
    assert len(mixed.events) == 2, "the good ones of the same batch are kept"
    assert mixed.rejects[0].offset == Offset(0, 1)


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (b'{"kind":1}', {"kind": 1}),
        (b'{"kind":"x","n":"many"}', {"misfit.count": "many"}),
        (b'{"kind":"x","left":"\xff"}', {"left": "\ufffd"}),
    ],
)
def test_what_does_not_fit_is_left_over_and_in_no_column(
    normaliser: Normaliser, body: bytes, left: dict[str, object]
) -> None:
    mixed = normaliser.batch([frame([GOOD, body, GOOD])])
    assert not mixed.rejects
    row = mixed.events.to_pylist()[1]
    assert json.loads(str(row["unmapped"])) == left
    assert row["count"] is None


def test_an_unknown_label_names_the_known_ones(normaliser: Normaliser) -> None:
    code, why = reject(normaliser, GOOD, source="nobody")
    assert code == "unknown-source"
    assert "any, line, login, win" in why


def test_a_wrong_label_offers_the_right_source(normaliser: Normaliser) -> None:
    result = normaliser.batch([frame([GOOD], source="win")])
    assert result.rejects[0].candidates == ("login",)


def test_a_label_is_not_overruled_by_content_but_one_windows_label_stands_for_all(
    normaliser: Normaliser,
) -> None:
    windows = b'{"EventID":1,"@timestamp":"2026-03-12T09:41:27Z","SourceName":"P","kind":"x"}'
    assert only(normaliser, windows, source="login")["source"] == "login"
    assert only(normaliser, windows, source="win")["source"] == "win"


def test_equals_are_ambiguous_and_both_are_named() -> None:
    both = sources()
    both["twin"] = type(both["login"])(**{**vars(both["login"]), "id": "twin"})
    result = Normaliser(both).batch([frame([GOOD])])
    assert result.rejects[0].code == "ambiguous"
    assert set(result.rejects[0].candidates) == {"login", "twin"}
    assert set(recognise(GOOD, both)) == {"login", "twin"}


def test_recognise_answers_for_a_single_record() -> None:
    assert recognise(GOOD, sources()) == ("login",)
    assert recognise(b"<13>Mar 12 09:41:27 host lined[1]: hello", sources()) == ("line",)
    assert recognise(b"\x00\xff", sources()) == ()


def test_a_stated_zone_serves_times_without_offset(normaliser: Normaliser) -> None:
    row = only(normaliser, b'{"kind":"x","at":"2026-03-12T18:41:27"}', attributes={"zone": "Asia/Tokyo"})
    assert row["time"] == datetime(2026, 3, 12, 9, 41, 27, tzinfo=UTC)


def test_bytes_that_are_not_utf8_are_shown_and_nul_is_kept(normaliser: Normaliser) -> None:
    row = only(normaliser, b"line \xff\x00end")
    assert row["raw"] == "line \\xff\x00end"
    assert row["message"] == "line \\xff\x00end"


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+09:00", "9999-12-31T20:00:00Z", "1800-01-01T00:00:00Z"])
def test_a_time_at_the_end_of_the_calendar_is_kept_by_its_receipt(normaliser: Normaliser, at: str) -> None:
    """Arithmetic with zones fails there: such a record would crash detection and so hide from it."""
    row = only(normaliser, f'{{"kind":"x","at":"{at}"}}'.encode())
    assert row["time"] == row["ingested_at"]
    assert at in str(row["raw"])


@pytest.mark.parametrize("year", ["1901", "1970", "2099", "2199"])
def test_any_year_is_legal(normaliser: Normaliser, year: str) -> None:
    row = only(normaliser, f'{{"kind":"x","at":"{year}-01-01T00:00:00Z"}}'.encode())
    time = row["time"]
    assert isinstance(time, datetime)
    assert time.year == int(year)


JSONISH = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
RECORD = st.fixed_dictionaries(
    {"kind": st.sampled_from(["x", "broken", "no-column", 3])},
    optional={"at": st.text(max_size=30), "n": JSONISH, "who": JSONISH, "event": JSONISH, "EventID": JSONISH},
)
BODY = st.one_of(
    st.binary(max_size=60),
    RECORD.map(lambda value: json.dumps(value).encode()),
    RECORD.map(lambda value: json.dumps({"event": value, "time": 1.5}).encode()),
    st.binary(max_size=30).map(lambda tail: b"<13>Mar 12 09:41:27 host lined[7]: " + tail),
    st.binary(max_size=30).map(lambda tail: b"<Event>" + tail),
    st.just(GOOD),
)
WRAPPING = st.sampled_from(["none", "hec", "otlp", "syslog", "csv"])
LABEL = st.sampled_from(["auto", "login", "line", "win", "nobody"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(BODY, max_size=12), WRAPPING, LABEL)
def test_any_bytes_come_out_exactly_once(
    normaliser: Normaliser, bodies: list[bytes], wrapping: str, label: str
) -> None:
    one = frame(bodies, 3, wrapping=wrapping, source=label, attributes={"csv_header": "kind,n"})
    result = normaliser.batch([one])
    places = result.events["journal_offset"].to_pylist() + [reject.offset.packed for reject in result.rejects]
    assert sorted(places) == [Offset(3, index).packed for index in range(len(bodies))]
    assert all(reject.code and reject.why for reject in result.rejects)
    assert result.events["event_uid"].null_count == 0
    for left in result.events["unmapped"].to_pylist():
        assert left is None or isinstance(json.loads(left), dict)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(BODY, max_size=5), max_size=6), st.integers(1, 5))
def test_how_frames_are_batched_does_not_matter(
    normaliser: Normaliser, groups: list[list[bytes]], size: int
) -> None:
    frames = [frame(bodies, number) for number, bodies in enumerate(groups)]
    whole = normaliser.batch(frames)
    parts = [normaliser.batch(frames[at : at + size]) for at in range(0, len(frames), size)]
    assert [row for part in parts for row in part.events.to_pylist()] == whole.events.to_pylist()
    assert [one for part in parts for one in part.rejects] == whole.rejects


def test_a_large_frame_is_built_in_slices(normaliser: Normaliser, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [GOOD[:-1] + b',"i":%d}' % index for index in range(50)]
    whole = normaliser.batch([frame(bodies)]).events.to_pylist()
    monkeypatch.setattr("sekisho.normalise.batch._SLICE_RECORDS", 7)
    assert normaliser.batch([frame(bodies)]).events.to_pylist() == whole


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "kind": st.just("x"),
                "who": st.none()
                | st.dictionaries(st.sampled_from(["id", "name", "é"]), st.text(max_size=4), max_size=3),
                "tags": st.none() | st.lists(st.text(max_size=3), max_size=2),
                "more": JSONISH,
                "a": JSONISH,
            },
        ),
        max_size=20,
    )
)
def test_both_ways_to_the_leftovers_agree(records: list[dict[str, object]]) -> None:
    taught = Learner(Login)
    usual = b'{"kind":"x","more":1,"a":2,"who":{"id":"u","name":"n","\\u00e9":"z"}}'
    for _ in range(40):
        taught.left(usual)
    extended = taught.extended
    assert extended is not None
    for record in records:
        body = json.dumps(record).encode()
        opened, kept = extended.open(body)
        assert opened.kind == record.get("kind", "")
        assert extended.left(opened, kept) == taught.left(body)


def test_keys_that_no_field_may_have_are_left_over_all_the_same() -> None:
    taught = Learner(Login)
    body = json.dumps({"kind": "x", 'a"\n\\': 1}).encode()
    assert {taught.left(body) for _ in range(100)} == {b'{"a\\"\\n\\\\":1}'}
    assert taught.extended is not None
