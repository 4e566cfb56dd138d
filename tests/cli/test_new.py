"""`sekisho new`: the files load, their cases fail, nothing is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sekisho.cli.new import command
from sekisho.contract import discover
from sekisho.detect import rules
from sekisho.model import Refused


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_a_new_source_loads_and_its_case_is_empty(tmp_path: Path) -> None:
    result = _run("source", "bastion_host", "--root", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "bastion_host.py" in result.output
    assert list(discover(tmp_path).sources) == ["bastion_host"]
    assert (tmp_path / "sources/bastion_host.cases/example.in").read_bytes() == b""
    assert not (tmp_path / "sources/bastion_host.cases/example.out.json").exists()


@pytest.mark.parametrize("flags", [(), ("--sigma",)])
def test_a_new_rule_loads_and_has_no_case_yet(tmp_path: Path, flags: tuple[str, ...]) -> None:
    result = _run("rule", "admin-at-night", "--group", "accounts", "--root", str(tmp_path), *flags)
    assert result.exit_code == 0, result.output
    content = discover(tmp_path)
    assert [*content.rules, *content.sigma] == ["admin-at-night"]
    assert [rule.id for rule in rules(content)] == ["admin-at-night"]
    assert (tmp_path / "rules/accounts/admin_at_night.cases.yml").exists()


@pytest.mark.parametrize("kind", ["question", "action", "inspection"])
def test_what_the_platform_lacks_is_refused_clearly(tmp_path: Path, kind: str) -> None:
    result = _run(kind, "anything", "--root", str(tmp_path))
    assert isinstance(result.exception, Refused)
    assert "not yet part of the platform" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("source", "Bad Id"), "is no id"),
        (("source", "../../etc"), "is no id"),
        (("source", "x", "--group", "g"), "belong to rules"),
        (("rule", "x"), "needs a group"),
        (("rule", "x", "--group", "../up"), "needs a group"),
    ],
)
def test_wrong_orders_say_what_is_expected(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    result = _run(*arguments, "--root", str(tmp_path))
    assert isinstance(result.exception, Refused)
    assert told in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    assert _run("source", "mine", "--root", str(tmp_path)).exit_code == 0
    (tmp_path / "sources/mine.py").write_text("# my work\n")
    result = _run("source", "mine", "--root", str(tmp_path))
    assert isinstance(result.exception, Refused)
    assert "exists already" in str(result.exception)
    assert (tmp_path / "sources/mine.py").read_text() == "# my work\n"


def test_an_id_of_another_group_is_taken(tmp_path: Path) -> None:
    assert _run("rule", "one", "--group", "a", "--root", str(tmp_path)).exit_code == 0
    result = _run("rule", "one", "--group", "b", "--sigma", "--root", str(tmp_path))
    assert isinstance(result.exception, Refused)
    assert "is taken by" in str(result.exception)
