"""A10, A5: the EDR sensor of a device that still lives says nothing, or was switched off."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from sekisho.contract import Mark, Mute, Past, StandingRule, Stated, Unjudged
from sekisho.model import Evidence, Severity, Text, moment

EDR = ("edr_crowdstrike", "edr_defender")
#: A sensor event so near to the last heartbeat explains it (µs).
NEAR = 2 * 3_600_000_000


def at(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1e6, UTC)


def find(past: Past) -> tuple[Sequence[Stated], Sequence[Unjudged]]:
    mutes, unjudged = past.mutes(EDR)
    marks = [mark for mark in past.marks("sensor") if past.since <= mark.time]
    stated = [told(past, mute, marks) for mute in mutes]
    groups: dict[tuple[str, str], list[Mark]] = defaultdict(list)
    for mark in marks:
        groups[mark.device, at(mark.time).astimezone(past.zone).date().isoformat()].append(mark)
    stated += [switched_off(device, anchor, group) for (device, anchor), group in groups.items()]
    return stated, unjudged


def told(past: Past, mute: Mute, marks: Sequence[Mark]) -> Stated:
    last, life = past.record(mute.last), past.record(mute.life)
    near = [mark for mark in marks if mark.device == mute.device and abs(mark.time - mute.since) < NEAR]
    facts = {
        "device": mute.device,
        "source": mute.source,
        "last": moment(last.time, seconds=True),
        "lived": ", ".join(mute.lived),
        "hours": mute.hours,
        "share": f"{100 * mute.share:.0f}",
        "off_ja": f"直前に停止・無効化の記録があります（イベント {near[0].code}、実行者 {near[0].actor or '不明'}）。"
        if near
        else "",
        "off_en": f" It was stopped or disabled just before (event {near[0].code}, by {near[0].actor or 'somebody unknown'})."
        if near
        else "",
        "again_ja": f"{moment(at(mute.until))} から再び届いています" if mute.until else "まだ途絶えています",
        "again_en": f"again since {moment(at(mute.until))}" if mute.until else "still silent",
    }
    what = Text(
        ja="端末 {device} は動いているのに EDR（{source}）の報告が途絶えました：最後の報告 {last}。その後 {hours} 時間分、{lived} に活動があります"
        "（普段は活動のある時間の {share}% で報告があります）。{again_ja}。{off_ja}",
        en="Device {device} lives, but its EDR sensor ({source}) reports nothing: last report {last}. Since then {lived} show it in"
        " {hours} different hours (usually it reports in {share} % of such hours). {again_en}.{off_en}",
    ).fill(facts)
    anchor = f"stopped {at(mute.since).astimezone(past.zone).date().isoformat()}"
    severity = Severity.CRITICAL if near else Severity.HIGH
    return Stated(f"{mute.device} {mute.source}", anchor, severity, what, (last, life))


def switched_off(device: str, day: str, marks: Sequence[Mark]) -> Stated:
    lead = marks[0]
    facts = {
        "device": device or "?",
        "when": moment(at(lead.time), seconds=True),
        "code": lead.code,
        "told": lead.text or lead.source,
        "actor_ja": lead.actor or "不明",
        "actor_en": lead.actor or "somebody unknown",
    }
    what = Text(
        ja="端末 {device} の EDR・ウイルス対策が停止または無効化されました：{told}（イベント {code}）、実行者 {actor_ja}。{when}。",
        en="EDR or antivirus was stopped or disabled on device {device}: {told} (event {code}), by {actor_en}. {when}.",
    ).fill(facts)
    evidence = tuple(
        Evidence(
            at(mark.time),
            mark.uid,
            mark.source,
            (("metadata_event_code", mark.code), ("actor_user_name", mark.actor or "?")),
        )
        for mark in marks
    )
    return Stated(device or "?", f"disabled {day}", Severity.HIGH, what, evidence)


RULE = StandingRule(
    id="edr-sensor-stopped",
    title=Text(ja="EDR センサーの停止", en="EDR sensor stopped"),
    advisory=("A10", "A5", "R1", "R2", "R3"),
    attack=("T1562.001",),
    find=find,
    why=Text(
        ja="注意喚起 A5「EDRやPC内のログと矛盾がないか監視する。」A10「…ログが消去されるリスクを考慮し…」端末が動いているのに EDR だけが黙るのは、"
        "検知を避けるために止められた疑いがあります（ATT&CK T1562.001）。",
        en='Advisory A5: "watch for contradictions with the EDR\'s or the PC\'s own logs"; A10. A sensor that is silent while its device'
        " lives was probably stopped to avoid detection (ATT&CK T1562.001).",
    ),
    todo=(
        Text(
            ja="EDR の管理画面で端末の状態（最終接続、アンインストール、改ざん防止）を確認する。",
            en="Look the device up in the EDR's console: last contact, uninstallation, tamper protection.",
        ),
        Text(ja="計画作業でなければ感染を疑い、電源を入れたままにする（R1）。", en="Unless planned suspect an infection; keep the power on (R1)."),
        Text(ja="端末を速やかに隔離する（R2）。", en="Isolate the device promptly (R2)."),
        Text(ja="メモリを優先して保全する（R3）。", en="Preserve the memory first (R3)."),
        Text(
            ja="止まっている間のサインインと通信を検索し、セッションを失効させる。",
            en="Search sign-ins and traffic of the time without sensor; revoke the sessions.",
        ),
    ),
    columns=("time", "device_hostname"),
)  # fmt: skip
