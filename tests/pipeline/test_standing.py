"""What is absent raises an alert; what comes late, in whatever batches, changes nothing but what it
should."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sekisho import first_run, wiring
from sekisho.detect.standing import Judgement
from sekisho.model import Finding
from sekisho.modules import database
from sekisho.settings import Settings, load
from sekisho.wiring.standing import Standing
from tests.detect import streams

NOW = streams.at("2026-05-20T12:00:00")
OTHER = {"source": "github", "every": "5m", "from": "2026-05-10", "to": "2026-05-20T12:00:00"}
#: A server whose log stops for three hours in the night, a PC whose Security log has a hole.
QUIET = [["2026-05-20T02:00:00", "2026-05-20T05:00:00"]]
SERVER = {"source": "okta", "every": "4m", "from": "2026-05-10", "to": "2026-05-20T12:00:00", "except": QUIET}
NUMBERED = {
    "source": "windows", "device_hostname": "pc-0042", "metadata_log_name": "Security", "every": "2m",
    "sequence": 1000, "skip": [[1300, 1339]], "from": "2026-05-19T18:00:00", "to": "2026-05-20T11:00:00",
}  # fmt: skip
MISSING = {
    "source": "windows", "device_hostname": "pc-0042", "metadata_log_name": "Security", "every": "2m",
    "sequence": 1300, "delay": "6h", "from": "2026-05-20T04:00:00", "to": "2026-05-20T05:20:00",
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    first_run.prepare(tmp_path / "data", 0)
    settings = load(tmp_path / "data")
    database.start(settings.data)
    database.migrate()
    return settings


def look(settings: Settings, now: datetime = NOW, *, carry_out: bool = False) -> list[Judgement]:
    standing = Standing(settings)
    try:
        judged = standing.look(now, upto=now)
        if carry_out:
            standing.carry_out(now, judged)
    finally:
        standing.close()
    return judged


def found(judged: Sequence[Judgement]) -> list[Finding]:
    return [finding for each in judged for finding in each.findings]


def alerts(*fields: str) -> list[tuple[Any, ...]]:
    from sekisho.modules.alerts.models import Alert

    return sorted(Alert.objects.values_list("rule", *fields))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_batches_order_and_looks_in_between_change_nothing(
    settings: Settings, tmp_path: Path, seed: int
) -> None:
    rows = streams.rows_of(
        [OTHER, SERVER, NUMBERED, MISSING | {"sequence": 1310, "from": "2026-05-20T04:20:00"}]
    )
    streams.store(settings.lake_dir, rows)
    whole = found(look(settings))
    assert {finding.rule for finding in whole} == {"source-silent", "sequence-gap"}

    dice = random.Random(seed)
    other = Settings(data=tmp_path / "other")
    shuffled = rows[:]
    dice.shuffle(shuffled)
    frame = 0
    standing = Standing(other)
    for start in range(0, len(shuffled), 1_500):
        frame = streams.store(
            other.lake_dir, shuffled[start : start + 1_500], batch=dice.choice([400, 900]), frame=frame
        )
        standing.look(NOW, upto=NOW)
    assert found(standing.look(NOW, upto=NOW)) == whole
    standing.close()
    (other.data / "standing" / "digest.sqlite3").unlink()
    assert found(look(other)) == whole, "the digest is never the truth: rebuilt, it says the same"


@pytest.mark.slow
def test_what_was_said_of_a_day_stays_while_time_goes_on(settings: Settings) -> None:
    """Asked every eight hours for a week: the same alerts, once."""
    later = {**OTHER, "from": "2026-05-20T12:00:00", "to": "2026-05-27T12:00:00"}
    rows = streams.rows_of(
        [OTHER, later, SERVER, {**SERVER, "from": "2026-05-20T12:00:00", "to": later["to"], "except": []}]
    )
    frame = streams.store(settings.lake_dir, [row for row in rows if row["ingested_at"] < NOW])
    look(settings, carry_out=True)
    before = alerts("uid", "state", "what_ja")
    assert [row[0] for row in before] == ["source-silent"]
    moment = NOW
    for _ in range(20):
        end = moment + timedelta(hours=8)
        frame = streams.store(
            settings.lake_dir, [row for row in rows if moment <= row["ingested_at"] < end], frame=frame
        )
        moment = end
        look(settings, moment, carry_out=True)
        assert alerts("uid", "state", "what_ja") == before


def test_the_missing_records_arrive_and_the_alert_is_withdrawn(settings: Settings) -> None:
    frame = streams.store(settings.lake_dir, streams.rows_of([OTHER, NUMBERED]))
    look(settings, carry_out=True)
    assert alerts("state", "reason") == [("sequence-gap", "new", "")]
    look(settings, carry_out=True)
    assert alerts("state", "reason") == [("sequence-gap", "new", "")], "repeating it changes nothing"

    half = {**MISSING, "to": "2026-05-20T04:30:00"}
    frame = streams.store(settings.lake_dir, streams.rows_of([half]), frame=frame)
    look(settings, carry_out=True)
    ((_, state, what),) = alerts("state", "what_en")
    assert state == "new"
    assert "1315 to 1339, 25 records" in what, "what is left of the hole is said"

    streams.store(
        settings.lake_dir,
        streams.rows_of([MISSING | {"sequence": 1315, "from": "2026-05-20T04:30:00"}]),
        frame=frame,
    )
    look(settings, carry_out=True)
    assert alerts("state", "reason") == [("sequence-gap", "closed", "withdrawn")]


def test_a_source_that_is_back_is_told_in_the_same_alert(settings: Settings) -> None:
    from sekisho.modules.alerts import flows
    from sekisho.modules.alerts.models import Alert

    until = "2026-05-20T09:00:00"
    frame = streams.store(settings.lake_dir, streams.rows_of([OTHER, {**SERVER, "to": until, "except": []}]))
    look(settings, carry_out=True)
    alert = Alert.objects.get()
    assert "still silent" in alert.what_en
    assert alert.evidence.get().source == "okta"
    flows.close(alert.uid, "person", "benign", "known outage", now=NOW)

    back = {**SERVER, "from": "2026-05-20T11:00:00", "except": []}
    streams.store(settings.lake_dir, streams.rows_of([back]), frame=frame)
    look(settings, carry_out=True)
    alert = Alert.objects.get()
    assert "again since 2026-05-20 11:00 JST" in alert.what_en
    assert alert.state == "closed", "the end of a silence opens no alert again"
    assert alert.history.filter(action="restated").count() == 1


def test_future_dates_cannot_hide_a_silence(settings: Settings) -> None:
    """Who may write records cannot fill the hours to come."""
    hours = {"source": "okta", "every": "4m", "from": "2026-05-10", "to": "2026-05-20T09:00:00"}
    ahead = {"source": "okta", "every": "4m", "from": "2026-05-20T09:00:00", "to": "2026-05-20T12:00:00"}
    rows = streams.rows_of([OTHER, hours, ahead])
    for row in rows:
        row["ingested_at"] = (
            min(row["ingested_at"], streams.at("2026-05-20T08:59:00"))
            if row["source"] == "okta"
            else row["ingested_at"]
        )
    streams.store(settings.lake_dir, rows)
    assert "okta" in {finding.subject for finding in found(look(settings))}


def test_rejects_tried_again_are_read_although_their_place_is_old(settings: Settings) -> None:
    from sekisho.lake import Lake
    from sekisho.settings import Lake as LakeSettings

    rows = streams.rows_of([OTHER, NUMBERED])
    frame = streams.store(settings.lake_dir, rows)
    assert found(look(settings))
    with Lake(settings.lake_dir, LakeSettings(), now=lambda: NOW) as lake:
        late = streams.table(streams.rows_of([MISSING]), 0)
        lake.commit(late, frame - 1, late=True)
    assert not [finding for finding in found(look(settings)) if finding.rule == "sequence-gap"]


def test_nothing_stored_yet_states_nothing(settings: Settings) -> None:
    assert found(look(settings)) == []


def test_a_torn_digest_is_made_anew(settings: Settings) -> None:
    streams.store(settings.lake_dir, streams.rows_of([OTHER, NUMBERED]))
    whole = found(look(settings))
    path = settings.data / "standing" / "digest.sqlite3"
    path.write_bytes(b"torn" * 2000)
    for beside in path.parent.glob("digest.sqlite3-*"):
        beside.unlink()
    assert found(look(settings)) == whole
    assert wiring.watched(settings.run_dir) is None
