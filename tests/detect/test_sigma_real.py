"""The public Sigma rules and their recordings: how many compile, how many fire. Floors were measured."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import yaml

from sekisho.contract import Context
from sekisho.contract.discovery import discover
from sekisho.detect import Detector
from sekisho.detect.sigma import SigmaRule, load
from sekisho.enrich import Enricher
from sekisho.model import ContentProblem, Frame, Records
from sekisho.normalise import Normaliser
from sekisho.settings import Enrich

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def unpacked(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sigma")
    for name in ("sigma-rules", "sigma-regression"):
        archive = shared_data / "sigma" / f"{name}.tar.zst"
        subprocess.run(["tar", "--zstd", "-xf", str(archive), "-C", str(folder)], check=True)
    return folder


def _load(folder: Path, path: Path) -> SigmaRule | list[ContentProblem]:
    return load(path, path.stem, shown=str(path.relative_to(folder)), own=False)


def test_most_public_rules_compile_and_the_others_say_why(unpacked: Path) -> None:
    outcome = [_load(unpacked, path) for path in sorted((unpacked / "rules").rglob("*.yml"))]
    compiled = [rule for rule in outcome if isinstance(rule, SigmaRule)]
    problems = [problem for found in outcome if not isinstance(found, SigmaRule) for problem in found]
    reasons = Counter(problem.why.split(":")[0].split(" product=")[0] for problem in problems)
    print(f"\n{len(compiled)} of {len(outcome)} compile; {reasons}")
    assert len(outcome) == 3141
    assert len(compiled) >= 2780
    assert all(problem.why and problem.remedy and ":" in problem.where for problem in problems)
    assert all(rule.author for rule in compiled)


def _records(path: Path) -> Iterator[bytes]:
    text, place = path.read_text(encoding="utf-8-sig"), 0
    while text[place:].strip():
        place += len(text[place:]) - len(text[place:].lstrip())
        value, place = json.JSONDecoder().raw_decode(text, place)
        for record in value if isinstance(value, list) else [value]:
            yield msgspec.json.encode(record)


def test_recordings_fire_their_rule(unpacked: Path) -> None:
    normaliser = Normaliser(discover().sources)
    enricher = Enricher(Enrich(), b"key", {})
    files = {path.stem: path for path in unpacked.glob("rules*/**/*.yml")}
    by_id = {str(yaml.safe_load(path.read_text(encoding="utf-8")).get("id")): path for path in files.values()}
    fired: list[str] = []
    silent: list[str] = []
    failed: list[str] = []
    received = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1e9)
    for info in sorted((unpacked / "regression_data").rglob("info.yml")):
        wanted = yaml.safe_load(info.read_text(encoding="utf-8"))["rule_metadata"][0]["id"]
        rule = _load(unpacked, by_id[wanted])
        if not isinstance(rule, SigmaRule):
            failed.append(f"{by_id[wanted].stem}: {rule[0].why}")
            continue
        bodies = tuple(body for path in sorted(info.parent.glob("*.json")) for body in _records(path))
        if not bodies:
            failed.append(f"{by_id[wanted].stem}: no JSON recording")
            continue
        frame = Frame(0, Records("auto", "file", "none", str(info), "", received, bodies))
        events = enricher.batch(normaliser.batch([frame]).events, Context())
        found = Detector([rule], threads=1).run(events, Context())
        (fired if found else silent).append(rule.id)
    print(f"\nfired {len(fired)}, silent {len(silent)}: {silent}\nnot tried {len(failed)}: {failed}")
    assert len(fired) + len(silent) + len(failed) == 203
    assert len(fired) >= 202
