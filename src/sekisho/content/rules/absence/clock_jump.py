"""A10: a clock that moves. Records dated wrongly hide from every rule that asks when."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from sekisho.contract import Mark, Past, Shift, StandingRule, Stated, Unjudged
from sekisho.model import Evidence, Severity, Text, moment

#: Steps of less than so many seconds are a clock that is put right.
SMALL = 300.0
#: The Windows time service runs as LOCAL SERVICE; virtual machines are set by their host's tools as SYSTEM.
TIME_SERVICE = frozenset(["S-1-5-19"])
#: "System clock was stepped by -3600.012345 seconds", "time reset +12.3 s"
STEP = re.compile(r"(?:stepped by|reset|offset)\s+([+-]?\d+(?:\.\d+)?)\s*s")


def at(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1e6, UTC)


def find(past: Past) -> tuple[Sequence[Stated], Sequence[Unjudged]]:
    shifts, unjudged = past.shifts()
    stated = [shifted(past, shift) for shift in shifts]
    groups: dict[tuple[str, str], list[tuple[Mark, float]]] = defaultdict(list)
    for mark in past.marks("time-change"):
        step = size(mark)
        if mark.time >= past.since and step is not None and abs(step) >= SMALL and not by_service(mark):
            day = at(mark.time).astimezone(past.zone).date().isoformat()
            groups[mark.device or mark.source, day].append((mark, step))
    stated += [changed(device, day, group) for (device, day), group in groups.items()]
    return stated, unjudged


def by_service(mark: Mark) -> bool:
    return mark.source == "windows" and mark.actor_uid in TIME_SERVICE


def size(mark: Mark) -> float | None:
    """Seconds that the clock was put forward; None if the record does not say."""
    if found := STEP.search(mark.text):
        return float(found[1])
    try:
        held = json.loads(mark.text)
    except ValueError:
        return None
    if not isinstance(held, dict):
        return None
    old = held.get("PreviousTime") or held.get("OldTime")
    new = held.get("NewTime")
    try:
        return (read(str(new)) - read(str(old))).total_seconds()
    except ValueError:
        return None


def read(text: str) -> datetime:
    """Windows writes up to 9 decimals."""
    text = re.sub(r"(\.\d{6})\d+", r"\1", text.strip().replace("\u200e", "").replace("Z", "+00:00"))
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def span(seconds: float) -> str:
    whole = round(abs(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def shifted(past: Past, shift: Shift) -> Stated:
    first = past.record(shift.first)
    name = f"{shift.host} {shift.source}".strip()
    ahead = shift.by < 0
    facts = {
        "name": name,
        "hour": moment(at(shift.at)),
        "by": span(shift.by),
        "usual": f"{shift.usual:,.0f}",
        "records": f"{shift.records:,}",
        "way_ja": "進んで" if ahead else "遅れて",
        "way_en": "ahead" if ahead else "behind",
        "zone_ja": "ちょうど時間単位のずれで、タイムゾーンの設定誤りの可能性があります。"
        if whole_hours(shift.by)
        else "",
        "zone_en": " It is off by whole hours: perhaps a wrong time zone." if whole_hours(shift.by) else "",
    }
    what = Text(
        ja="{name} の時計が急に動きました：{hour} からの受信分で、記録の時刻が受信時刻より {by} {way_ja}います（普段の遅れ {usual} 秒、{records} 件）。{zone_ja}",
        en="The clock of {name} jumped: in what was received from {hour} on, records are {by} {way_en} of their receipt (usual delay"
        " {usual} s, {records} records).{zone_en}",
    ).fill(facts)
    day = at(shift.at).astimezone(past.zone).date().isoformat()
    way = "ahead" if ahead else "behind"
    return Stated(name, f"{way} {day}", Severity.MEDIUM, what, (first,))


def whole_hours(seconds: float) -> bool:
    hours = round(abs(seconds) / 3600)
    return hours > 0 and abs(abs(seconds) - hours * 3600) <= 120


def changed(device: str, day: str, group: Sequence[tuple[Mark, float]]) -> Stated:
    lead, step = max(group, key=lambda pair: (abs(pair[1]), -pair[0].time))
    facts = {
        "device": device,
        "when": moment(at(lead.time), seconds=True),
        "step": span(step),
        "way_ja": "進め" if step > 0 else "戻し",
        "way_en": "forward" if step > 0 else "back",
        "actor_ja": lead.actor or "不明",
        "actor_en": lead.actor or "somebody unknown",
        "with_ja": f"（{lead.process}）" if lead.process else "",
        "with_en": f" with {lead.process}" if lead.process else "",
        "more_ja": f"この日、ほかに {len(group) - 1} 回。" if len(group) > 1 else "",
        "more_en": f" {len(group) - 1} more on this day." if len(group) > 1 else "",
    }
    what = Text(
        ja="{device} の時計が {step} {way_ja}られました：実行者 {actor_ja}{with_ja}、{when}。{more_ja}",
        en="The clock of {device} was put {way_en} by {step}: by {actor_en}{with_en}, {when}.{more_en}",
    ).fill(facts)
    evidence = tuple(
        Evidence(
            at(mark.time),
            mark.uid,
            mark.source,
            (("metadata_event_code", mark.code or "-"), ("step", f"{by:+.0f} s")),
        )
        for mark, by in group
    )
    severity = Severity.HIGH if step < 0 and lead.source == "windows" else Severity.MEDIUM
    return Stated(device, f"set {day}", severity, what, evidence)


RULE = StandingRule(
    id="clock-jump",
    title=Text(ja="時計の急な変化", en="A clock jumped"),
    advisory=("A10", "A5"),
    attack=("T1070.006",),
    find=find,
    why=Text(
        ja="注意喚起 A5「EDRやPC内のログと矛盾がないか監視する。」A10「異常の把握と速やかな対処」時刻を動かせば、活動の順序と時間帯を偽れます"
        "（ATT&CK T1070.006）。",
        en="Advisory A5 (contradictions with the EDR's or the PC's own logs) and A10. Who moves a clock falsifies when things happened"
        " and in which order (ATT&CK T1070.006).",
    ),
    todo=(
        Text(
            ja="時刻同期（NTP、仮想基盤の時刻合わせ）と、その時刻の作業を確認する。",
            en="Check time synchronisation (NTP, the virtual machine's host) and whether somebody worked there then.",
        ),
        Text(
            ja="心当たりがなければ、ずれている間の記録を受信時刻で読み直す。",
            en="Otherwise read the records of that time by their receipt, not by their own time.",
        ),
        Text(ja="時刻を変えた利用者の前後の操作を検索する。", en="Search what the user who changed it did before and after."),
    ),
    columns=("time",),
)  # fmt: skip
