"""A10: a log that usually speaks says nothing. Whole sources, servers, and PCs that live without a record of their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from sekisho.contract import Mute, Past, Silence, StandingRule, Stated, Unjudged
from sekisho.model import Severity, Text, moment

#: Sources that a device itself writes (the EDR sensors have a rule of their own).
OF_DEVICES = ("windows", "sysmon", "linux_auth", "openssh")


def at(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1e6, UTC)


def find(past: Past) -> tuple[Sequence[Stated], Sequence[Unjudged]]:
    silences, unjudged = past.silences()
    groups: dict[tuple[str, str], list[Silence]] = defaultdict(list)
    for silence in silences:
        groups[subject(silence), day(past, silence.since)].append(silence)
    stated = [told(past, name, anchor, group) for (name, anchor), group in groups.items()]
    mutes, unknown = past.mutes(OF_DEVICES)
    stated += [mute_told(past, mute) for mute in mutes]
    return stated, [*unjudged, *unknown]


def day(past: Past, micros: int) -> str:
    return at(micros).astimezone(past.zone).date().isoformat()


def subject(silence: Silence) -> str:
    if silence.source == "*":
        return "all sources"
    return f"{silence.host} {silence.source}" if silence.host else silence.source


def told(past: Past, name: str, anchor: str, group: list[Silence]) -> Stated:
    """The weightiest silence of the day speaks; how many there were is said."""
    lead = max(group, key=lambda silence: (silence.missed, -silence.since))
    last = past.record(lead.last)
    facts = {
        "name": name,
        "last": moment(last.time, seconds=True),
        "missed": f"{lead.missed:,.0f}",
        "usual": f"{lead.usual:,.0f}",
        "again_ja": f"{moment(at(lead.until))} から再び届いています" if lead.until else "まだ途絶えています",
        "again_en": f"again since {moment(at(lead.until))}" if lead.until else "still silent",
        "more_ja": f"（この日、ほかに {len(group) - 1} 回）" if len(group) > 1 else "",
        "more_en": f" ({len(group) - 1} more on this day)" if len(group) > 1 else "",
        "holiday_ja": "平日だけ動くログのため、祝日の可能性があります。" if lead.alone else "",
        "holiday_en": " It follows working days: this may be a public holiday." if lead.alone else "",
    }
    if lead.source == "*":
        what = Text(
            ja="すべてのログの受信が途絶えました：最後の記録 {last}。いつもならこの間に5分枠で {missed} 回受信しています（普段の最長 {usual}）。"
            "{again_ja}{more_ja}。",
            en="No log at all was received: last record {last}. Usually there are records in {missed} stretches of 5 minutes"
            " (longest usual silence {usual}). {again_en}{more_en}.",
        ).fill(facts)
        return Stated(name, f"silent {anchor}", Severity.HIGH, what, (last,))
    what = Text(
        ja="{name} のログが途絶えました：最後の記録 {last}。いつもの同じ曜日・時間帯なら5分枠で {missed} 回は記録があります（普段の最長 {usual}）。"
        "{again_ja}{more_ja}。{holiday_ja}",
        en="{name} has fallen silent: last record {last}. At these hours of the week it usually has records in {missed} stretches"
        " of 5 minutes (longest usual silence {usual}). {again_en}{more_en}.{holiday_en}",
    ).fill(facts)
    severity = Severity.LOW if lead.alone else Severity.MEDIUM
    return Stated(name, f"silent {anchor}", severity, what, (last,))


def mute_told(past: Past, mute: Mute) -> Stated:
    last, life = past.record(mute.last), past.record(mute.life)
    facts = {
        "device": mute.device,
        "source": mute.source,
        "last": moment(last.time, seconds=True),
        "lived": ", ".join(mute.lived),
        "hours": mute.hours,
        "share": f"{100 * mute.share:.0f}",
        "again_ja": f"{moment(at(mute.until))} から再び届いています" if mute.until else "まだ途絶えています",
        "again_en": f"again since {moment(at(mute.until))}" if mute.until else "still silent",
    }
    what = Text(
        ja="端末 {device} は動いているのに {source} のログだけが途絶えました：最後の記録 {last}。その後 {hours} 時間分、{lived} に活動があります"
        "（普段は活動のある時間の {share}% で記録があります）。{again_ja}。",
        en="Device {device} lives, but its {source} log has fallen silent: last record {last}. Since then {lived} show it in {hours}"
        " different hours (usually there are records in {share} % of such hours). {again_en}.",
    ).fill(facts)
    return Stated(
        f"{mute.device} {mute.source}", f"mute {day(past, mute.since)}", Severity.HIGH, what, (last, life)
    )


RULE = StandingRule(
    id="source-silent",
    title=Text(ja="ログの途絶", en="A log has fallen silent"),
    advisory=("A10", "A5", "R1", "R2", "R3"),
    attack=("T1562.001", "T1562.008", "T1070"),
    find=find,
    why=Text(
        ja="注意喚起 A10「マルウェアに感染した後にログが消去されるリスクを考慮し…異常の把握と速やかな対処ができるようにしておく。」侵入者はまず記録を止めます"
        "（ATT&CK T1562.008）。届かないこと自体が手掛かりです。",
        en='Advisory A10: "considering … that logs may be erased after an infection … so that anomalies are seen and answered'
        ' promptly." An intruder first stops the records (ATT&CK T1562.008): that nothing comes is a trace.',
    ),
    todo=(
        Text(
            ja="送信元（転送エージェント、API の鍵・契約、ネットワーク）が動いているか確認する。計画停止なら記録して閉じる。",
            en="Check whether the sender works: shipper, API key and subscription, network. Planned work: note it and close.",
        ),
        Text(
            ja="途絶える直前の記録を調べる：管理者の操作、サービスの停止、設定変更。",
            en="Look at the last records before: acts of administrators, services stopped, settings changed.",
        ),
        Text(ja="説明がつかない端末は感染を疑い、電源を入れたままにする（R1）。", en="No explanation: suspect the device; keep its power on (R1)."),
        Text(ja="端末を速やかに隔離する（R2）。", en="Isolate the device promptly (R2)."),
        Text(ja="メモリを優先して保全する（R3）。", en="Preserve the memory first (R3)."),
    ),
    columns=("time",),
)  # fmt: skip
