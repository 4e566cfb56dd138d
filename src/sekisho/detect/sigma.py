"""Sigma rules: read with pySigma, compiled to SQL over event columns (single-event rules)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import sigma.rule
import yaml
from sigma.exceptions import SigmaError

from sekisho.contract import ATTACK_ID, Match, Rule, Told
from sekisho.detect.sigma_fields import find
from sekisho.detect.sigma_sql import CannotSay, Compiler
from sekisho.model import ContentProblem, Severity, Text
from sekisho.ocsf import BY_NAME, EVENT_SCHEMA

_LEVELS = {
    "INFORMATIONAL": Severity.INFORMATIONAL,
    "LOW": Severity.LOW,
    "MEDIUM": Severity.MEDIUM,
    "HIGH": Severity.HIGH,
    "CRITICAL": Severity.CRITICAL,
}
#: Whom a match is about: the first of these that the event has.
_SUBJECTS = (
    "device_asset",
    "device_hostname",
    "account",
    "actor_user_name",
    "cloud_account_uid",
    "src_endpoint_ip",
)


@dataclass(frozen=True)
class SigmaRule(Rule):
    """``scope`` selects the log source. ``condition``: SQL over the aliases of ``fields`` (alias, SQL over
    event columns), NULL counts as false. The detector evaluates all conditions of a scope together."""

    condition: str = "false"
    fields: tuple[tuple[str, str], ...] = ()


class _Bad(Exception):  # noqa: N818 - collected into problems, never leaves this file
    def __init__(self, why: str, remedy: str, near: str = "") -> None:
        self.why, self.remedy, self.near = why, remedy, near
        super().__init__(why)


def load(path: Path, rule_id: str, *, shown: str, own: bool) -> SigmaRule | list[ContentProblem]:
    """Compile one file; problems with file (``shown``) and line if it cannot be.

    ``own``: the file must carry the ``sekisho:`` block (advisory IDs, texts in both languages).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        return [ContentProblem(f"{shown}:1", f"is not UTF-8: {error}", "save the file as UTF-8")]
    return parse(text, rule_id, shown=shown, own=own)


def parse(text: str, rule_id: str, *, shown: str, own: bool) -> SigmaRule | list[ContentProblem]:
    """As ``load``, from the file's text."""
    try:
        return _compiled(text, rule_id, own)
    except _Bad as bad:
        return [ContentProblem(f"{shown}:{_line(text, bad.near)}", bad.why, bad.remedy)]
    except CannotSay as cannot:
        remedy = "use a mapped field (docs/reference/sigma.md) or write the rule in Python"
        return [ContentProblem(f"{shown}:{_line(text, cannot.near)}", cannot.why, remedy)]


def _compiled(text: str, rule_id: str, own: bool) -> SigmaRule:
    rule = _read(text)
    logsource = rule.logsource
    source = find(logsource.product, logsource.category, logsource.service)
    if source is None:
        raise _Bad(
            f"no source of this platform gives the log source product={logsource.product}"
            f" category={logsource.category} service={logsource.service}",
            "choose a log source of docs/reference/sigma.md",
            "logsource",
        )
    compiler = Compiler(source)
    conditions = [compiler.condition(tree) for tree in _trees(rule)]
    condition = conditions[0] if len(conditions) == 1 else "(" + " OR ".join(conditions) + ")"
    fields = tuple(sorted(compiler.fields.items()))
    _try_out(source.scope, fields, condition)
    spoken = _spoken(rule, own)
    columns = {name for name in BY_NAME if _mentions(source.scope, name)}
    level = rule.level.name if rule.level is not None else "MEDIUM"
    return SigmaRule(
        id=rule_id,
        title=spoken.title,
        advisory=spoken.advisory,
        attack=tuple(dict.fromkeys(tag for tag in map(_technique, rule.tags) if tag)),
        query="",
        tell=_teller(spoken.what, _LEVELS[level]),
        why=spoken.why,
        todo=spoken.todo,
        columns=tuple(sorted(compiler.columns | columns)),
        author=str(rule.author or "unknown"),
        reference=str(rule.references[0]) if rule.references else "",
        scope=source.scope,
        condition=condition,
        fields=fields,
    )


def _read(text: str) -> sigma.rule.SigmaRule:
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise _Bad(f"is not YAML (line {line}): {error}".splitlines()[0], "mend the line") from error
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise _Bad("holds several documents or none", "one rule per file", "---")
    if "correlation" in documents[0]:
        raise _Bad(
            "is a correlation rule; the runner judges each event by itself, so that lateness changes nothing",
            "write a single-event rule, or a Python rule with an anchor",
            "correlation",
        )
    try:
        return sigma.rule.SigmaRule.from_dict(documents[0])
    except SigmaError as error:
        raise _Bad(f"is not a Sigma rule: {error}", "see the Sigma specification 2.1", "detection") from error


def _trees(rule: sigma.rule.SigmaRule) -> list[Any]:
    try:
        return [condition.parsed for condition in rule.detection.parsed_condition]
    except SigmaError as error:
        raise _Bad(
            f"condition cannot be read: {error}", "see the Sigma specification 2.1", "condition"
        ) from error


@cache
def _bench() -> duckdb.DuckDBPyConnection:
    """An empty ``events`` against which a compiled condition is tried (syntax, regular expressions)."""
    connection = duckdb.connect(
        ":memory:",
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False, "threads": 1},
    )
    connection.register("sample", EVENT_SCHEMA.empty_table())
    connection.execute("CREATE TABLE sigma_events AS SELECT * FROM sample")
    connection.execute("INSERT INTO sigma_events (raw) VALUES ('')")
    return connection


def _try_out(scope: str, fields: tuple[tuple[str, str], ...], condition: str) -> None:
    named = ", ".join(f"{sql} AS {alias}" for alias, sql in fields) or "1 AS one"
    try:
        _bench().execute(
            f"SELECT {condition} FROM (SELECT {named} FROM sigma_events WHERE ({scope}) OR raw = '')"  # noqa: S608 - compiled, values escaped
        ).fetchall()
    except duckdb.Error as error:
        raise _Bad(
            f"cannot be evaluated: {str(error).splitlines()[0]}",
            "regular expressions are RE2: no look-around, no back-references",
            "|re",
        ) from error


@dataclass(frozen=True)
class _Spoken:
    title: Text
    what: Text
    why: Text
    todo: tuple[Text, ...]
    advisory: tuple[str, ...]


_FACTS_JA = "{when}{device_ja}{user_ja}{from_ja}。{detail}"
_FACTS_EN = "{when}{device_en}{user_en}{from_en}. {detail}"


def _spoken(rule: sigma.rule.SigmaRule, own: bool) -> _Spoken:
    block = rule.custom_attributes.get("sekisho")
    if block is None and not own:
        description = str(rule.description or rule.title).strip()
        return _Spoken(
            title=Text(ja=f"Sigma：{rule.title}", en=f"Sigma: {rule.title}"),
            what=Text(ja=_FACTS_JA, en=_FACTS_EN),
            why=Text(ja=description, en=description),
            todo=(
                Text(
                    ja="証跡の行を確認し、本人に事実を確かめる。",
                    en="Check the evidence rows; ask the person.",
                ),
            ),
            advisory=("A10",),
        )
    if not isinstance(block, dict):
        raise _Bad("has no `sekisho:` block", "add advisory, ja and en (title, what, why, todo)", "title")
    texts = {language: _language(block, language) for language in ("ja", "en")}
    if len(texts["ja"]["todo"]) != len(texts["en"]["todo"]):
        raise _Bad("sekisho: todo has not the same steps in ja and en", "translate every step", "sekisho")
    advisory = block.get("advisory")
    if not isinstance(advisory, list) or not advisory:
        raise _Bad("sekisho: names no ID of the advisory", "e.g. advisory: [T2.2, A10]", "sekisho")

    def both(name: str, after: str = "") -> Text:
        ja, en = texts["ja"][name], texts["en"][name]
        return Text(ja=ja + (_FACTS_JA if after else ""), en=en + (" " + _FACTS_EN if after else ""))

    todo = tuple(Text(ja=ja, en=en) for ja, en in zip(texts["ja"]["todo"], texts["en"]["todo"], strict=True))
    return _Spoken(both("title"), both("what", "facts"), both("why"), todo, tuple(map(str, advisory)))


def _language(block: Mapping[str, Any], language: str) -> Mapping[str, Any]:
    texts = block.get(language)
    if not isinstance(texts, dict):
        raise _Bad(f"sekisho: has no `{language}`", "add title, what, why, todo in ja and en", "sekisho")
    for name in ("title", "what", "why"):
        if not isinstance(texts.get(name), str) or not texts[name].strip():
            raise _Bad(f"sekisho.{language}: has no `{name}`", "a sentence is needed", f"{language}:")
    todo = texts.get("todo")
    if not isinstance(todo, list) or not todo or not all(isinstance(step, str) and step for step in todo):
        raise _Bad(f"sekisho.{language}: has no `todo`", "a list of steps is needed", f"{language}:")
    return texts


def _teller(what: Text, severity: Severity) -> Callable[[Match], Told]:
    def tell(match: Match) -> Told:
        subject = next((str(match[name]) for name in _SUBJECTS if match.get(name)), "-")
        detail = next(
            (
                str(match[name])
                for name in ("process_cmd_line", "api_operation", "message")
                if match.get(name)
            ),
            "",
        )
        device = match.get("device_asset") or match.get("device_hostname")
        user = match.get("person_name") or match.get("account")
        facts = {
            **match,
            "device_ja": f"、端末 {device}" if device else "",
            "device_en": f", device {device}" if device else "",
            "user_ja": f"、利用者 {user}" if user else "",
            "user_en": f", user {user}" if user else "",
            "detail": detail[:500],
        }
        return Told(subject, f"{match['source']} {match['local_day']}", severity, what.fill(facts))

    return tell


def _technique(tag: Any) -> str:
    name = str(tag.name).upper()
    return name if tag.namespace == "attack" and ATTACK_ID.fullmatch(name) else ""


def _mentions(sql: str, name: str) -> bool:
    return name in sql.replace("(", " ").replace(")", " ").replace(",", " ").split()


def _line(text: str, near: str) -> int:
    lines = text.splitlines()
    return next((number for number, line in enumerate(lines, start=1) if near and near in line), 1)
