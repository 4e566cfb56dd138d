"""One bad field hides no record: what may be absent may be junk, and the rest is mapped all the same."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sekisho.normalise import Normaliser
from sekisho.normalise.mending import sound
from tests.content.cases import Case, cases, run
from tests.normalise.conftest import frame

SOURCES = ("okta", "entra_signin", "cloudtrail", "github", "google_login", "windows")
#: Who and when: what a junk field elsewhere must not change.
SAME = (
    "time", "user_name", "user_email_addr", "user_uid",
    "actor_user_name", "actor_user_email_addr", "actor_user_uid",
)  # fmt: skip
MARK = "spoilt-here"
JUNK: dict[str, bytes] = {
    "text": b'"x"',
    "number": b"7",
    "huge number": b"1" + b"0" * 400,
    "infinite": b"1e999",
    "not a number": b"NaN",
    "list": b'[1,"x"]',
    "object": b'{"a":{"b":[]}}',
    "lone surrogate": b'"Moz\\ud800"',
    "low surrogate": b'"\\udc00\\ud800x"',
    "byte ff": b'"Moz\xff"',
    "surrogate in UTF-8": b'"\xed\xa0\x80"',
    "control": b'"a\x1b[31m\x07\nb"',
    "no escape": b'"a\\x41"',
    "deep": b"[" * 2_000 + b"]" * 2_000,
    "deep objects": b'{"a":' * 1_500 + b"1" + b"}" * 1_500,
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in inner for place in ((*path, key), *places(item, (*path, key)))]


def holder(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path[:-1]:
        value = value[part]
    return value


def spoilt(case: Case, path: tuple[Any, ...], junk: bytes) -> bytes:
    value = json.loads(case.body)
    holder(value, path)[path[-1]] = MARK
    return json.dumps(value).encode().replace(f'"{MARK}"'.encode(), junk)


def told(result: dict[str, Any]) -> dict[str, Any]:
    return {name: result.get(name) for name in ("reject", *SAME)}


@cache
def spoilable() -> list[tuple[Case, tuple[Any, ...]]]:
    """Fields that may be absent, or hold another text or number, without changing who and when."""
    found = []
    for source in SOURCES:
        for case in cases(source):
            if case.wrapping != "none" or case.body[:1] != b"{" or "reject" in (whole := run(case)):
                continue
            for path in places(json.loads(case.body)):
                value = json.loads(case.body)
                del holder(value, path)[path[-1]]
                others = [json.dumps(value).encode(), *(spoilt(case, path, x) for x in (b'"another"', b"8"))]
                if all(told(run(case._replace(body=other))) == told(whole) for other in others):
                    found.append((case, path))
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_junk_in_a_field_that_may_be_absent_changes_neither_user_nor_time(data: st.DataObject) -> None:
    case, path = data.draw(st.sampled_from(spoilable()))
    name = data.draw(st.sampled_from(sorted(JUNK)))
    result = run(case._replace(body=spoilt(case, path, JUNK[name])))
    assert told(result) == told(run(case)), f"{case.name} {path} {name}: {result.get('why')}"


def test_enough_fields_are_tried() -> None:
    tried = {source: sum(case.source == source for case, _ in spoilable()) for source in SOURCES}
    assert min(tried.values()) > 50, tried


def okta(**more: Any) -> dict[str, Any]:
    case = next(case for case in cases("okta") if case.path.stem == "session-start-success")
    return run(case._replace(body=json.dumps({**json.loads(case.body), **more}).encode()))


def test_what_does_not_fit_is_told_under_its_key() -> None:
    row = okta(securityContext={"asNumber": "x", "isp": "i"}, transaction={"detail": "x", "id": "t1"})
    left = json.loads(row["unmapped"])
    assert left["securityContext"] == {"asNumber": "x", "isp": "i"}
    assert left["transaction"] == {"detail": "x"}
    assert (row["metadata_correlation_uid"], "src_endpoint_autonomous_system_number" in row) == ("t1", False)


def test_the_other_items_of_a_list_are_mapped() -> None:
    app = {"type": "AppInstance", "displayName": "Wallet console", "id": "0oa"}
    row = okta(target=[7, app, {"type": []}], eventType="user.authentication.sso")
    assert row["service_name"] == "Wallet console"
    assert json.loads(row["unmapped"])["target"] == [7, app, {"type": []}], "a list stays whole"


def test_a_number_that_no_column_holds_is_told_and_hides_nothing() -> None:
    row = okta(securityContext={"asNumber": 2**70})
    assert row["user_name"] == told(okta())["user_name"]
    assert "src_endpoint_autonomous_system_number" not in row
    left = json.loads(row["unmapped"])
    assert left["misfit.src_endpoint_autonomous_system_number"] == str(2**70)


@pytest.mark.parametrize("missing", ["published", "uuid", "eventType"])
def test_without_its_core_a_record_is_refused_with_the_reason(missing: str) -> None:
    result = okta(**{missing: []})
    assert result["reject"] == "wrong-shape"
    assert missing in result["why"]


@pytest.mark.parametrize(
    "body", [b'{"kind":"x","a":"\xff', b'{"kind":"x",}', b'{"kind":"x"} more', b"{" * 4000]
)
def test_what_is_no_json_stays_no_json(normaliser: Normaliser, body: bytes) -> None:
    result = normaliser.batch([frame([body], source="login")])
    assert [reject.code for reject in result.rejects] == ["not-json"]


@pytest.mark.parametrize("text", ["\\ud800", "\x01", "[" * 2000 + "]" * 2000])
@pytest.mark.parametrize("wrapping", ["hec", "otlp"])
def test_a_wrapping_is_opened_in_spite_of_a_bad_text(
    normaliser: Normaliser, text: str, wrapping: str
) -> None:
    junk = text if text[0] == "[" else f'"{text}"'
    inner = f'{{"kind":"x","who":{{"id":"u1"}},"junk":{junk}}}'
    outer = f'{{"event":{inner},"fields":{{"a":"b"}}}}'
    if wrapping == "otlp":
        attribute = f'{{"key":"junk","value":{{"stringValue":{junk}}}}}'
        record = json.dumps({"stringValue": '{"kind":"x","who":{"id":"u1"}}'})
        outer = f'{{"logRecord":{{"body":{record},"attributes":[{attribute}]}}}}'
    result = normaliser.batch([frame([outer.encode()], wrapping=wrapping, source="login")])
    assert not result.rejects, result.rejects
    assert result.events["user_uid"].to_pylist() == ["u1"]


def test_a_row_of_csv_that_is_not_utf8_is_read(normaliser: Normaliser) -> None:
    one = frame([b"x,\xff"], wrapping="csv", source="login", attributes={"csv_header": "kind,other"})
    row = normaliser.batch([one]).events.to_pylist()[0]
    assert json.loads(row["unmapped"]) == {"other": "�"}


@given(st.binary(max_size=200))
def test_any_bytes_are_made_sound_once(payload: bytes) -> None:
    once = sound(payload)
    assert sound(once) == once
    once.decode()


@given(st.recursive(st.text(max_size=9) | st.integers() | st.floats(allow_nan=False), st.lists, max_leaves=9))
def test_what_is_json_means_the_same_when_sound(value: Any) -> None:
    text = json.dumps({"a": value}, ensure_ascii=False).encode("utf-8", "replace")
    assert json.loads(sound(text)) == json.loads(text) or b"Infinity" in text


def test_it_takes_time_in_proportion_to_the_size() -> None:
    for hostile in (
        b'{"a":"' + b'\\"' * 500_000,
        b'"' * 999_999,
        b"[" * 1_000_000,
        b"[]" * 500_000,
        b"9" * 10**6,
    ):
        sound(hostile)
