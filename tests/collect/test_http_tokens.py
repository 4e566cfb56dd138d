"""The file of tokens and its command."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from sekisho import first_run
from sekisho.cli.main import Global
from sekisho.cli.tokens import command
from sekisho.collect.tokens import Tokens
from sekisho.model import Refused


def test_only_the_hash_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "tokens.json"
    tokens = Tokens(path)
    running = Tokens(path)
    clear = tokens.create("one", now=1.5, source="okta")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert clear not in path.read_text()
    found = running.find(clear)
    assert found is not None
    assert (found.name, found.source, found.created) == ("one", "okta", 1.5)
    assert running.find(clear[:-1]) is None
    running.revoke("one")
    assert tokens.find(clear) is None


def test_faults_are_named(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    tokens = Tokens(path)
    clear = tokens.create("one", now=1.0)
    for name in ("one", "", "a b", "../x"):
        with pytest.raises(Refused):
            tokens.create(name, now=1.0)
    with pytest.raises(Refused, match="tokens there are: one"):
        tokens.revoke("two")
    assert tokens.find(clear) is not None
    path.chmod(0o644)
    with pytest.raises(Refused, match="can be read by others"):
        Tokens(path)
    path.chmod(0o600)
    path.write_text("{broken")
    assert tokens.find(clear) is not None  # a running server keeps what it knew
    with pytest.raises(Refused, match="not a file of tokens"):
        Tokens(path)


def test_command(tmp_path: Path) -> None:
    data = Global(tmp_path)
    runner = CliRunner()
    refused = runner.invoke(command, ["create", "one"], obj=data)
    assert isinstance(refused.exception, Refused)
    first_run.prepare(tmp_path, 0)
    clear = runner.invoke(command, ["create", "one"], obj=data).stdout.strip()
    assert Tokens(tmp_path / "secrets" / "tokens.json").find(clear) is not None
    listed = json.loads(runner.invoke(command, ["list", "--json"], obj=data).stdout)
    assert [token["name"] for token in listed] == ["one"]
    assert "one" in runner.invoke(command, ["list"], obj=data).stdout
    assert runner.invoke(command, ["revoke", "one"], obj=data).exit_code == 0
    assert "no tokens" in runner.invoke(command, ["list"], obj=data).stdout
