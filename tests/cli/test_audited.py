"""Who made or ended a token, and who had rejects tried again, is in the logs; no secret is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sekisho import first_run, wiring
from sekisho.cli.main import group
from sekisho.journal import JournalReader, Rejects
from sekisho.lake import reader
from sekisho.model import Records
from sekisho.settings import Settings, load


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    first_run.prepare(tmp_path / "data", 0)
    wiring.migrate(load(tmp_path / "data"))
    return load(tmp_path / "data")


def run(settings: Settings, *words: str) -> str:
    done = CliRunner().invoke(group, ["--data", str(settings.data), *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def told(settings: Settings) -> list[bytes]:
    frames = JournalReader(settings.journal_dir).read(0, 1000).frames
    return [body for frame in frames if frame.records.source == "sekisho" for body in frame.records.bodies]


def codes(settings: Settings) -> list[str]:
    return [json.loads(body)["metadata"]["event_code"] for body in told(settings)]


def test_tokens_are_audited_without_the_token(settings: Settings) -> None:
    token = json.loads(run(settings, "tokens", "create", "filebeat-01", "--json"))["token"]
    run(settings, "tokens", "revoke", "filebeat-01")
    assert codes(settings) == ["token.created", "token.revoked"]
    everything = b" ".join(told(settings)).decode()
    assert token not in everything
    assert hashlib.sha256(token.encode()).hexdigest() not in everything
    refused = CliRunner().invoke(group, ["--data", str(settings.data), "tokens", "revoke", "nobody"])
    assert refused.exit_code != 0
    assert len(told(settings)) == 2, "what is refused changed nothing"
    wiring.drain(settings)
    assert reader.snapshot(settings.lake_dir).rows == 2
    assert Rejects(settings.journal_dir).total() == 0, "they are sound OCSF"


def test_trying_rejects_again_is_audited(settings: Settings) -> None:
    with wiring.offline(settings) as append:
        append(Records("ocsf", "file", "none", "f", "", wiring.now_ns(), (b"no JSON",)))
    assert Rejects(settings.journal_dir).total() == 1
    run(settings, "rejects", "retry", "--dry-run")
    assert told(settings) == []
    run(settings, "rejects", "retry", "--source", "ocsf")
    assert codes(settings) == ["rejects.retried"]
    said = json.loads(told(settings)[0])
    assert said["message"].startswith("1 rejects (source ocsf, code any) are tried again as before by ")
    wiring.drain(settings)
    assert reader.snapshot(settings.lake_dir).rows == 1
