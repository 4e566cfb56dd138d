"""The cases of a standing rule: streams of events over weeks, through the real lake, digest and rule."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sekisho.contract import StandingRule
from sekisho.detect.standing import Judgement
from sekisho.journal import Rejects
from sekisho.model import Offset, Reject
from sekisho.settings import Settings
from sekisho.wiring.standing import Standing
from tests.detect import streams


def load(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict), f"{path}: expected `streams`, `cases`"
    assert set(found) <= {"streams", "cases"}, f"{path}: unknown keys {set(found)}"
    return found


def run(rule: StandingRule, file: Mapping[str, Any], case: Mapping[str, Any], folder: Path) -> Judgement:
    """What the rule states at ``now``. ``streams`` of the file are there in every case."""
    assert set(case) <= {"name", "now", "streams", "rejects", "fires", "silent", "unjudged"}, case["name"]
    settings = Settings(data=folder)
    rows = streams.rows_of([*(file.get("streams") or ()), *(case.get("streams") or ())])
    streams.store(settings.lake_dir, rows)
    _reject(settings, case.get("rejects") or ())
    now = streams.at(case["now"])
    standing = Standing(settings, [rule])
    try:
        (judged,) = standing.look(now, upto=now)
        (again,) = standing.look(now, upto=now)
    finally:
        standing.close()
    assert again == judged, "asked twice, it says something else"
    return judged


def _reject(settings: Settings, rejects: Any) -> None:
    if not rejects:
        return
    held = Rejects(settings.journal_dir)
    for frame, each in enumerate(rejects):
        moment = int(streams.at(each["at"]).timestamp() * 1e9)
        held.settle(
            [Reject(Offset(frame, n), each["source"], each["code"], "made") for n in range(each["n"])],
            {frame: moment},
            (frame, frame),
            (0, each["n"]),
        )
    held.close()


def check(rule: StandingRule, file: Mapping[str, Any], case: Mapping[str, Any], folder: Path) -> None:
    judged = run(rule, file, case, folder)
    told = [(f.subject, f.anchor, f.what.en) for f in judged.findings]
    if "unjudged" in case:
        reasons = dict(judged.unjudged)
        assert {name: reasons.get(name) for name in case["unjudged"]} == case["unjudged"]
    if case.get("silent"):
        assert not told, f"should be silent: {told}"
        return
    promised = case["fires"]
    assert len(told) == 1, f"{len(told)} findings: {told}"
    finding = judged.findings[0]
    assert finding.severity.name.lower() == promised["severity"], told
    for name in ("subject", "anchor"):
        if name in promised:
            assert getattr(finding, name) == promised[name]
    said = finding.what.ja + finding.what.en
    for part in promised.get("says", ()):
        assert str(part) in said, f"{part!r} is not said: {said}"
    assert "{" not in said, f"a fact is missing: {said}"
    assert not any(piece.event_uid.startswith("unreadable") for piece in finding.evidence)
