"""`sekisho sources`: list, show, and a try of files that nobody labelled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sekisho.cli.main import Global
from sekisho.cli.sources import command
from sekisho.model import Refused
from tests.content.cases import cases, content


def _run(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, obj=Global(tmp_path))


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Sound Okta and GitHub records, one unknown one, one broken Okta one."""
    bodies = [c.body for c in cases("okta") if c.path.stem in ("sso", "mfa-success", "no-zone")]
    bodies += [
        c.body for c in cases("github") if c.path.stem == "git-push" or c.path.stem == "push-with-ssh-key"
    ]
    path = tmp_path / "mixed.ndjson"
    path.write_bytes(b"\n".join([*bodies, b'{"nobody":"knows"}']) + b"\n")
    return path


def test_list_names_every_source(tmp_path: Path) -> None:
    listed = json.loads(_run(tmp_path, "list", "--json").output)
    assert [source["id"] for source in listed] == list(content().sources)
    assert "Okta" in _run(tmp_path, "list").output


def test_show_says_how_to_switch_it_on_in_the_readers_language(tmp_path: Path) -> None:
    shown = _run(tmp_path, "show", "okta")
    assert content().sources["okta"].switch_on.ja in shown.output
    (tmp_path / "sekisho.toml").write_text('language = "en"\n')
    assert content().sources["okta"].switch_on.en in _run(tmp_path, "show", "okta").output


def test_an_unknown_id_is_refused_with_the_list(tmp_path: Path) -> None:
    result = _run(tmp_path, "show", "oktaa")
    assert isinstance(result.exception, Refused)
    assert "okta" in str(result.exception)


def test_try_tells_sources_confidence_rejects_and_what_is_left_over(tmp_path: Path, mixed: Path) -> None:
    tried = json.loads(_run(tmp_path, "try", str(mixed), "--json").output)
    assert tried["records"] == 5
    assert tried["sources"]["okta"] == {"events": 2, "confidence": 0.4}
    assert tried["sources"]["github"]["events"] == 1
    assert {reject["code"] for reject in tried["rejects"]} == {"no-zone", "unknown-format"}
    assert tried["events"] + sum(reject["count"] for reject in tried["rejects"]) == tried["records"]
    assert tried["unmapped"]["legacyEventType"] == 2
    assert tried["first"]["source"] == "okta"


def test_try_in_words(tmp_path: Path, mixed: Path) -> None:
    output = _run(tmp_path, "try", str(mixed), "--event").output
    for told in (
        "5 records (ndjson",
        "okta: 2 events, confidence 40%",
        "no-zone",
        "Authentication: Logon",
        "first event",
    ):
        assert told in output


def test_try_as_a_source_that_it_is_not(tmp_path: Path, mixed: Path) -> None:
    tried = json.loads(_run(tmp_path, "try", "--source", "cloudtrail", str(mixed), "--json").output)
    assert tried["events"] == 0
    assert {reject["code"] for reject in tried["rejects"]} == {"wrong-shape"}


def test_try_reads_no_more_than_asked(tmp_path: Path, mixed: Path) -> None:
    assert json.loads(_run(tmp_path, "try", "--limit", "2", str(mixed), "--json").output)["records"] == 2


def test_try_of_nothing_says_so(tmp_path: Path) -> None:
    empty = tmp_path / "empty.log"
    empty.write_bytes(b"")
    assert "0 records" in _run(tmp_path, "try", str(empty)).output


SSHD = (
    b"<86>May 18 10:00:00 gate sshd[77]: Accepted publickey for ops from 192.0.2.7 port 50022 ssh2: "
    b"ED25519 SHA256:abc\n"
)


@pytest.mark.parametrize(("zone", "hour"), [("Asia/Tokyo", "01:00"), ("America/New_York", "14:00")])
def test_try_takes_times_in_the_zone_of_the_platform(tmp_path: Path, zone: str, hour: str) -> None:
    (tmp_path / "sekisho.toml").write_text(f'zone = "{zone}"\n')
    path = tmp_path / "auth.log"
    path.write_bytes(SSHD)
    result = _run(tmp_path, "try", str(path), "--json")
    assert result.exit_code == 0
    assert hour in json.loads(result.stdout)["first"]["time"]


def test_try_ends_with_1_when_a_record_was_rejected(tmp_path: Path, mixed: Path) -> None:
    assert _run(tmp_path, "try", str(mixed)).exit_code == 1
    assert _run(tmp_path, "try", str(mixed), "--json").exit_code == 1


def test_what_nothing_recognises_is_offered_to_the_sources_that_can_read_it(tmp_path: Path) -> None:
    bare = {"time": "2026-05-20T01:00:00Z", "class_uid": 3002, "activity_id": 1, "user": {"name": "taro"}}
    path = tmp_path / "bare.json"
    path.write_text("".join(json.dumps(bare | {"n": n}) + "\n" for n in range(3)))
    tried = json.loads(_run(tmp_path, "try", str(path), "--json").output)
    assert tried["events"] == 0
    assert [(one["code"], one["count"]) for one in tried["rejects"]] == [("unknown-format", 3)]
    assert tried["offers"] == {"ocsf": {"share": 1.0, "values": 1.0}}
    assert "ocsf: 100% of 3 records" in _run(tmp_path, "try", str(path)).output
