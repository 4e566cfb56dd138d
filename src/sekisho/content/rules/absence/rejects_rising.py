"""A10: records of a source suddenly cannot be read, so no rule sees them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from sekisho.contract import Past, Rise, StandingRule, Stated, Unjudged
from sekisho.model import Severity, Text, moment


def at(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * 3600, UTC)


def find(past: Past) -> tuple[Sequence[Stated], Sequence[Unjudged]]:
    rises, unjudged = past.rises()
    groups: dict[tuple[str, str], list[Rise]] = defaultdict(list)
    for rise in rises:
        groups[rise.source, at(rise.hour).astimezone(past.zone).date().isoformat()].append(rise)
    return [told(source, day, group) for (source, day), group in groups.items()], unjudged


def told(source: str, day: str, group: Sequence[Rise]) -> Stated:
    bad, records = sum(rise.rejects for rise in group), sum(rise.records for rise in group)
    first = min(group, key=lambda rise: rise.hour)
    codes = ", ".join(f"{code} {n:,}" for code, n in max(group, key=lambda rise: rise.rejects).codes)
    facts = {
        "source": "送信元の表示がないログ (auto)" if source == "auto" else source,
        "name": "logs without a label (auto)" if source == "auto" else source,
        "bad": f"{bad:,}",
        "records": f"{records:,}",
        "share": f"{100 * bad / records:.0f}",
        "usual": f"{100 * first.usual:.1f}",
        "since": moment(at(first.hour)),
        "codes": codes,
    }
    what = Text(
        ja="{source} の記録が急に読み取れなくなりました：{since} からの {records} 件中 {bad} 件（{share}%、普段の多い時で {usual}%）。理由：{codes}。",
        en="Records of {name} suddenly cannot be read: since {since} {bad} of {records} ({share} %, usually at most {usual} %). Reasons:"
        " {codes}.",
    ).fill(facts)
    grave = bad * 2 >= records
    evidence = tuple(rise.first for rise in group)
    return Stated(source, f"rejects {day}", Severity.HIGH if grave else Severity.MEDIUM, what, evidence)


RULE = StandingRule(
    id="rejects-rising",
    title=Text(ja="読み取れない記録の急増", en="Records suddenly cannot be read"),
    advisory=("A10",),
    attack=("T1562.006",),
    find=find,
    why=Text(
        ja="注意喚起 A10「…異常の把握と速やかな対処ができるようにしておく。」形式が変わったログは保存されていますが、検索と検知の対象になりません。"
        "転送設定を壊すのも検知を避ける手口です（ATT&CK T1562.006）。",
        en='Advisory A10: "… so that anomalies are seen and answered promptly." Records of another form are kept, but neither searched nor'
        " judged; breaking a shipper is also a way to blind detection (ATT&CK T1562.006).",
    ),
    todo=(
        Text(
            ja="`sekisho rejects list` で理由と例を見る。製品の更新・転送設定の変更を確認する。",
            en="See the reasons and examples: `sekisho rejects list`. Was the product or the shipper changed?",
        ),
        Text(
            ja="読み取れるようにしてから `sekisho rejects retry` で取り込み直す。記録はジャーナルに残っています。",
            en="Mend the source, then take them in again: `sekisho rejects retry`. The journal still has them.",
        ),
        Text(ja="変更の心当たりがなければ、送信元の機器を調べる。", en="If nobody changed anything, examine the sender's machine."),
    ),
    columns=("time",),
)  # fmt: skip
