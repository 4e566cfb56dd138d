"""Sigma to SQL: each modifier by values; any text is matched exactly; refusals are located."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sekisho.contract import Context
from sekisho.detect import Detector
from sekisho.detect.sigma import SigmaRule, parse
from tests.detect.events import enriched


def rule(selection: Any, condition: str = "s", **more: Any) -> str:
    document = {
        "title": "t", "id": "6f0d7a11-5c0e-4f6b-9a55-0b5b3c1f0aff", "status": "test", "author": "A. Author",
        "logsource": {"category": "process_creation", "product": "windows"},
        "detection": {"s": selection, "condition": condition}, "level": "high", **more,
    }  # fmt: skip
    return yaml.safe_dump(document, sort_keys=False)


def compiled(text: str) -> SigmaRule:
    found = parse(text, "r", shown="r.yml", own=False)
    assert isinstance(found, SigmaRule), found
    return found


def fires(text: str, **columns: Any) -> bool:
    row = {
        "time": "2026-05-20T01:00:00+00:00",
        "source": "sysmon",
        "class_uid": 1007,
        "activity_id": 1,
        **columns,
    }
    return bool(Detector([compiled(text)], threads=1).run(enriched([row]), Context()))


@pytest.mark.parametrize(
    ("selection", "value", "wanted"),
    [
        ({"CommandLine": "ABC"}, "abc", True),
        ({"CommandLine": "abc"}, "abcd", False),
        ({"CommandLine|contains": "b%c_d"}, "aB%C_Da", True),
        ({"CommandLine|contains": "b%c"}, "bxc", False),
        ({"CommandLine|startswith": "ab"}, "ABc", True),
        ({"CommandLine|endswith": "bc"}, "aBC", True),
        ({"CommandLine|contains|all": ["a", "c"]}, "abc", True),
        ({"CommandLine|contains|all": ["a", "z"]}, "abc", False),
        ({"CommandLine": "a*c?e"}, "abbbcde", True),
        ({"CommandLine": "a*c?e"}, "abbbcddе", False),
        ({"CommandLine|cased": "ABC"}, "abc", False),
        ({"CommandLine|contains|cased": "BC"}, "aBC", True),
        ({"CommandLine|re": "a.+c$"}, "abc", True),
        ({"CommandLine|re|i": "A.+C"}, "abc", True),
        ({"CommandLine|re": "A.+C"}, "abc", False),
        ({"CommandLine|contains|windash": " -enc "}, "x /enc y", True),
        ({"CommandLine|base64offset|contains": "http://"}, "xx aHR0cDovLw yy", True),
        ({"CommandLine|exists": True}, None, False),
        ({"CommandLine|exists": False}, None, True),
        ({"CommandLine": None}, None, True),
        ({"CommandLine": ""}, None, True),
        ({"CommandLine": "Ärger"}, "äRGER", True),
    ],
)  # fmt: skip
def test_modifiers(selection: dict[str, Any], value: str | None, wanted: bool) -> None:
    assert fires(rule(selection), process_cmd_line=value) is wanted


def test_not_holds_for_a_missing_field() -> None:
    text = rule({"CommandLine|contains": "a"}, "not s")
    assert fires(text, process_cmd_line=None)
    assert not fires(text, process_cmd_line="a")


def test_numbers_networks_keywords_and_left_over_fields() -> None:
    network = {"product": "windows", "category": "network_connection"}
    here: dict[str, Any] = {"metadata_log_provider": "Microsoft-Windows-Sysmon", "metadata_event_code": "3"}
    cidr = rule({"DestinationIp|cidr": "198.51.100.0/23"}, logsource=network)
    assert fires(cidr, dst_endpoint_ip="198.51.101.255", **here)
    assert not fires(cidr, dst_endpoint_ip="198.51.102.0", **here)
    assert not fires(cidr, dst_endpoint_ip="not.an.address.x", **here)
    six = rule({"DestinationIp|cidr": "fe80::/10"}, logsource=network)
    assert fires(six, dst_endpoint_ip="FEBF::1", **here)
    assert not fires(six, dst_endpoint_ip="2001:db8::1", **here)
    port = rule({"DestinationPort|gte": 8000}, logsource=network)
    assert fires(port, dst_endpoint_port=8000, **here)
    assert not fires(port, dst_endpoint_port=443, **here)
    assert fires(rule({"DestinationPort": 443}, logsource=network), dst_endpoint_port=443, **here)
    assert fires(rule({"OriginalFileName": "CMD.EXE"}), unmapped='{"OriginalFileName":"Cmd.Exe"}')
    assert fires(rule(["needle", "x'y"]), raw='{"a":"a NEEDLE b"}')


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20) | st.text(
    "'\"%_\\*?!x\x00", min_size=1
)


@settings(max_examples=60, deadline=None)
@given(_TEXT, _TEXT)
@example("\x85", " ")  # NEL: a line break to YAML 1.1
@example("a\x85\u2028b", "a\nb")
def test_any_text_is_matched_exactly_and_nothing_else(value: str, other: str) -> None:
    escaped = "".join("\\" + letter if letter in "\\*?" else letter for letter in value)
    if value == "-":
        return
    text = rule({"CommandLine|cased": escaped})
    assert fires(text, process_cmd_line=value)
    assert fires(text, process_cmd_line=other) is (other == value)
    assert fires(rule({"CommandLine|contains|cased": escaped}), process_cmd_line=f"a{value}b")


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (rule({"CommandLine|re": "(?=x)"}), None, "invalid perl operator"),
        (rule({"NoSuchField": "x"}), 10, "the rule can never match: field 'NoSuchField'"),
        (rule({"CommandLine|expand": "%list%"}), None, "placeholder"),
        (rule({"a": "x"}, logsource={"product": "toaster"}), 5, "no source of this platform"),
        ("title: t\ncorrelation:\n  type: event_count\n", 2, "correlation"),
        ("title: [", None, "is not YAML"),
        (rule({"CommandLine": "x"}, "s and nothing"), None, "condition"),
    ],
)
def test_what_cannot_be_said_is_refused_with_the_place(text: str, line: int | None, why: str) -> None:
    found = parse(text, "r", shown="r.yml", own=False)
    assert isinstance(found, list)
    assert why in found[0].why
    if line is not None:
        assert found[0].where == f"r.yml:{line}"
    assert found[0].remedy


def test_our_own_rules_need_texts_in_both_languages() -> None:
    found = parse(rule({"CommandLine": "x"}), "r", shown="r.yml", own=True)
    assert isinstance(found, list)
    assert "sekisho" in found[0].why


def test_the_author_is_shown() -> None:
    assert compiled(rule({"CommandLine": "x"})).author == "A. Author"
