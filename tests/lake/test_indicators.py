"""Lists of indicators: what of them can be used, and why the rest cannot."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sekisho.lake import indicators, stix
from sekisho.model import Refused

MD5, SHA1, SHA256 = "a" * 32, "b" * 40, "c" * 64


def read(text: str | dict[str, object] | list[object]) -> indicators.Listed:
    data = text if isinstance(text, str) else json.dumps(text)
    return indicators.read(data.encode(), "list")


def pairs(listed: indicators.Listed) -> list[tuple[str, str]]:
    return [(held.kind, held.value) for held in listed.indicators]


def test_a_plain_list_in_all_forms() -> None:
    listed = read(
        "# comment\n203.0.113.7\n198.51.100.0/24\n2001:DB8::1\n2001:db8::/32\nEvil.Example\n*.bad.example.\n"
        "hxxps://evil[.]example/a?b#c\nhttp://EVIL.example:80\nx[at]evil[.]example\nexample[.]net/path\n"
        f"{MD5.upper()}\n{SHA1}\n{SHA256}\n日本語.example\n203[.]0[.]113[.]7\n198.51.100.9:443\n"
    )
    assert pairs(listed) == [
        ("ip", "203.0.113.7"),
        ("net", "198.51.100.0/24"),
        ("ip", "2001:db8::1"),
        ("net", "2001:db8::/32"),
        ("domain", "evil.example"),
        ("domain", "bad.example"),
        ("url", "https://evil.example/a?b"),
        ("url", "http://evil.example/"),
        ("email", "x@evil.example"),
        ("url", "http://example.net/path"),
        ("md5", MD5),
        ("sha1", SHA1),
        ("sha256", SHA256),
        ("domain", "xn--wgv71a119e.example"),
        ("ip", "198.51.100.9"),
    ]
    assert not listed.unusable


def test_every_entry_that_is_no_use_is_named_with_its_line() -> None:
    listed = read("203.0.113.7\n0.0.0.0/0\nnot an indicator\nabc\n::/0\n" + "x" * 5000 + "\n")
    assert [entry.where for entry in listed.unusable] == [f"line {n}" for n in range(2, 7)]
    assert all(entry.why for entry in listed.unusable)


def test_csv_with_types_names_and_quotes() -> None:
    listed = read(
        'type,value,name\nip,203.0.113.7,"C2, first"\nfilename,C:\\Temp\\Evil.EXE,dropper\n'
        "user-agent,Evil Agent/1.0,\nregistry,HKLM\\x,\nsha256,abc,short\n,evil.example,\n"
    )
    assert pairs(listed) == [
        ("ip", "203.0.113.7"),
        ("file", "evil.exe"),
        ("agent", "evil agent/1.0"),
        ("domain", "evil.example"),
    ]
    assert listed.indicators[0].name == "C2, first"
    assert [(entry.where, entry.text) for entry in listed.unusable] == [
        ("line 5", "HKLM\\x"),
        ("line 6", "abc"),
    ]


def _bundle(*patterns: str, **more: object) -> dict[str, object]:
    objects = [
        {"type": "indicator", "id": f"indicator--{n}", "pattern": p, **more} for n, p in enumerate(patterns)
    ]
    return {"type": "bundle", "id": "bundle--1", "objects": [{"type": "malware", "name": "x"}, *objects]}


def test_stix_patterns_of_single_values() -> None:
    listed = read(
        _bundle(
            f"[file:hashes.'SHA-256' = '{SHA256}' OR file:hashes.MD5 = '{MD5}']",
            "[ipv4-addr:value = '198.51.100.0/24'] OR [domain-name:value IN ('a.example', 'b.example')]",
            r"[url:value = 'http://x.example/it\'s']",
            "[network-traffic:dst_ref.value = '203.0.113.9']",
            pattern_type="stix",
        )
    )
    assert pairs(listed) == [
        ("sha256", SHA256),
        ("md5", MD5),
        ("net", "198.51.100.0/24"),
        ("domain", "a.example"),
        ("domain", "b.example"),
        ("url", "http://x.example/it's"),
        ("ip", "203.0.113.9"),
    ]
    assert not listed.unusable


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (f"[file:hashes.MD5 = '{MD5}' AND file:name = 'x.exe']", "uses AND"),
        ("[url:value LIKE '%x%']", "uses LIKE"),
        ("[domain-name:value = 'a.example'] FOLLOWEDBY [domain-name:value = 'b.example']", "uses FOLLOWEDBY"),
        ("[domain-name:value != 'a.example']", "uses !="),
        ("[windows-registry-key:key = 'x']", "cannot be looked for"),
        ("[domain-name:value = 'a.example'", "expected OR or ']'"),
        ("domain-name:value = 'a.example'", "expected '['"),
        ("", "expected '['"),
    ],
)
def test_other_patterns_are_named_with_their_id(pattern: str, why: str) -> None:
    listed = read(_bundle(pattern))
    assert not listed.indicators
    assert [entry.where for entry in listed.unusable] == ["indicator--0"]
    assert why in listed.unusable[0].why


def test_revoked_and_foreign_patterns() -> None:
    assert (
        read(_bundle("[domain-name:value = 'a.example']", revoked=True)).unusable[0].why
        == "revoked by its author"
    )
    assert "of type yara" in read(_bundle("rule x {}", pattern_type="yara")).unusable[0].why


def test_misp() -> None:
    event: dict[str, object] = {
        "Event": {
            "info": "campaign",
            "Attribute": [
                {"type": "ip-dst|port", "value": "203.0.113.7|443", "uuid": "u1", "to_ids": True},
                {"type": "filename|sha256", "value": f"evil.exe|{SHA256}", "uuid": "u2", "to_ids": True},
                {"type": "domain", "value": "evil.example", "uuid": "u3", "to_ids": False},
                {"type": "comment", "value": "hello", "uuid": "u4"},
            ],
            "Object": [{"Attribute": [{"type": "url", "value": "http://evil.example/x", "uuid": "u5"}]}],
        }
    }
    listed = read(event)
    assert pairs(listed) == [
        ("ip", "203.0.113.7"),
        ("file", "evil.exe"),
        ("sha256", SHA256),
        ("url", "http://evil.example/x"),
    ]
    assert [(entry.where, entry.why.split()[0]) for entry in listed.unusable] == [
        ("u3", "its"),
        ("u4", "attributes"),
    ]
    assert pairs(read({"response": [event]})) == pairs(listed)


@pytest.mark.parametrize("text", ["", "# nothing\n", "{", '{"a": 1}', "[1]", '{"type":"bundle"}', "\n\n"])
def test_files_that_hold_no_list_are_refused(text: str) -> None:
    with pytest.raises(Refused):
        read(text)


def test_not_utf8() -> None:
    with pytest.raises(Refused, match="not UTF-8"):
        indicators.read(b"\xff\xfe\x00", "list")


_NASTY = st.text(alphabet=st.sampled_from("ab.1:/[]()'\",|@#\\ \n\t{}-=x\x00é"), max_size=200)


@given(_NASTY | st.text(max_size=200))
@hypothesis_settings(max_examples=300, deadline=2000)
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        listed = indicators.read(text.encode("utf-8", "surrogatepass"), "list")
    except Refused:
        return
    for held in listed.indicators:
        again = indicators.make(held.kind, held.value)
        assert again[:2] == held[:2], "the canonical form is canonical"


@given(_NASTY)
@hypothesis_settings(max_examples=300, deadline=2000)
def test_no_pattern_breaks_the_reader(text: str) -> None:
    for pattern in (text, f"[{text}]", f"[url:value = '{text}']"):
        with contextlib.suppress(stix.Unreadable):
            assert stix.terms(pattern)


def test_public_bundles(shared_data: Path) -> None:
    """Unit 42's published bundles: every indicator is used or named."""
    total: Counter[str] = Counter()
    for path in sorted((shared_data / "stix" / "unit42-iocs").glob("*.json")):
        listed = indicators.read(path.read_bytes(), path.name)
        total.update(held.kind for held in listed.indicators)
        raw = json.loads(path.read_text())
        ids = {o["id"] for o in raw["objects"] if o.get("type") == "indicator"}
        assert {entry.where for entry in listed.unusable} <= ids
    assert total["sha256"] > 60
    assert total["url"] > 50
    assert total["domain"] > 30
