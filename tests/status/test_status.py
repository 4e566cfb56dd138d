"""What the operator and Prometheus read, from the files that the processes write."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from sekisho import status


def said(name: str, at: float, **words: object) -> status.Said:
    words = {"counts": {}, "numbers": {}, "last_seen": {}} | words
    return status.Said(name, os.getpid(), at - 5, at, 1_000_000, **words)  # type: ignore[arg-type]


def test_the_exposition_is_prometheus_text_with_every_label(tmp_path: Path) -> None:
    counts = {
        "received": status.counts(Counter({("okta", "hec"): 3, ('a"b\n', "x\\y"): 1}).items()),
        "events": status.counts(Counter({"okta": 2}).items()),
    }
    status.write(tmp_path, said("collect", 100.0, counts=counts, last_seen={"okta": 99.0}))
    status.write(tmp_path, said("pipeline", 100.0, numbers={"backlog_frames": 7.0}))
    text = status.exposition(tmp_path, 101.0).decode()
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["sekisho_received_total", ("receiver", "hec"), ("source", "okta")] == 3
    assert found["sekisho_received_total", ("receiver", "x\\y"), ("source", 'a"b\n')] == 1
    assert found["sekisho_events_total", ("source", "okta")] == 2
    assert found[("sekisho_backlog_frames",)] == 7
    assert found["sekisho_last_seen_seconds", ("source", "okta")] == 99
    assert found["sekisho_process_up", ("process", "collect")] == 1
    assert found["sekisho_process_up", ("process", "notify")] == 0


def test_a_silent_or_broken_file_means_not_running(tmp_path: Path) -> None:
    status.write(tmp_path, said("collect", 100.0))
    assert status.alive(status.read(tmp_path, "collect"), 101.0)
    assert not status.alive(status.read(tmp_path, "collect"), 100.0 + status.STALE_SECONDS + 1)
    (tmp_path / "pipeline.json").write_text("{ torn")
    assert status.read(tmp_path, "pipeline") is None
    assert not status.alive(None, 100.0)


def test_a_process_that_is_silent_may_still_be_there() -> None:
    now = time.time()
    assert status.process_lives(said("pipeline", now))
    assert not status.process_lives(said("pipeline", 100.0)), "its number is another's by now"
    gone = subprocess.Popen(["true"])
    gone.wait()
    words = said("pipeline", now)
    words.pid = gone.pid
    assert not status.process_lives(words)


def test_rates_are_of_the_last_minute() -> None:
    rates = status.Rates(60.0)
    assert rates.note(0.0, Counter({"okta": 100})) == {}
    assert rates.note(10.0, Counter({"okta": 600, "github": 10})) == {"okta": 50.0, "github": 1.0}
    for second in range(11, 131):
        last = rates.note(float(second), Counter({"okta": 600, "github": 10}))
    assert last == {"okta": 0.0, "github": 0.0}
