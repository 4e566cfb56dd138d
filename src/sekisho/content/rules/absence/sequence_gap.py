"""A10: record numbers that are missing, or that begin anew, in logs that number their records without a gap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from sekisho.contract import Hole, Mark, Past, StandingRule, Stated, Unjudged
from sekisho.model import Severity, Text, moment

#: Missing records of one day from which on it is grave.
MANY = 100
#: Gaps that are listed.
SHOWN = 10
#: A clearing or a stop of logging so near (µs) explains a gap or a restart.
NEAR = 3_600_000_000


def at(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1e6, UTC)


def find(past: Past) -> tuple[Sequence[Stated], Sequence[Unjudged]]:
    holes, unjudged = past.holes()
    marks = past.marks("cleared", "stopped") if holes else []
    groups: dict[tuple[str, str], list[Hole]] = defaultdict(list)
    for hole in holes:
        if hole.restart and hole.source == "syslog":
            continue  # RFC 5424, 7.3.1: a sender counts anew at every start
        day = at(hole.before.low).astimezone(past.zone).date().isoformat()
        groups[f"{hole.host} {hole.log or hole.source}".strip(), day].append(hole)
    return [told(past, subject, day, group, marks) for (subject, day), group in groups.items()], unjudged


def told(past: Past, subject: str, day: str, holes: Sequence[Hole], marks: Sequence[Mark]) -> Stated:
    missing = sum(hole.missing for hole in holes)
    restarts = [hole for hole in holes if hole.restart]
    near = [mark for mark in marks if any(close(mark, hole) for hole in holes)]
    said = [words(hole) for hole in holes[:SHOWN]]
    more = len(holes) - len(said)
    cleared = any(mark.kind == "cleared" for mark in near)
    facts = {
        "subject": subject,
        "missing": f"{missing:,}",
        "list_ja": "、".join(ja for ja, _ in said) + (f"、ほか {more} か所" if more else ""),
        "list_en": "; ".join(en for _, en in said) + (f"; {more} more" if more else ""),
        "cause_ja": "",
        "cause_en": "",
    }
    if cleared:
        facts["cause_ja"] = "同じころにログ消去の記録があります：消去された疑いが濃厚です。"
        facts["cause_en"] = " The log was cleared at about that time: the records were erased."
    elif near:
        facts["cause_ja"] = "同じころに記録停止の記録があります。"
        facts["cause_en"] = " Logging was stopped at about that time."
    elif restarts:
        facts["cause_ja"] = "消去の記録がないため、再インストールか、消去の記録ごと失われたかのどちらかです。"
        facts["cause_en"] = (
            " No clearing is on record: the machine was reinstalled, or that record is lost too."
        )
    what = Text(
        ja="{subject} の記録番号が途切れています：欠け {missing} 件（{list_ja}）。{cause_ja}",
        en="Record numbers of {subject} are broken: {missing} missing ({list_en}).{cause_en}",
    ).fill(facts)
    grave = missing >= MANY or bool(restarts) or bool(near)
    evidence = [past.record(spot) for hole in holes[:SHOWN] for spot in (hole.before, hole.after)]
    return Stated(
        subject, f"numbers {day}", Severity.HIGH if grave else Severity.MEDIUM, what, tuple(evidence)
    )


def words(hole: Hole) -> tuple[str, str]:
    low, high = moment(at(hole.before.low), seconds=True), moment(at(hole.after.low), seconds=True)
    if hole.restart:
        return (
            f"{hole.low} の次が {hole.high} に戻った（{low} と {high} の間）",
            f"after {hole.low} counting began again at {hole.high}, between {low} and {high}",
        )
    return (
        f"{hole.low}～{hole.high} の {hole.missing:,} 件（{low} と {high} の間）",
        f"{hole.low} to {hole.high}, {hole.missing:,} records between {low} and {high}",
    )


def close(mark: Mark, hole: Hole) -> bool:
    same = mark.host == hole.host or mark.host.partition(".")[0] == hole.host.partition(".")[0]
    return same and hole.before.low - NEAR <= mark.time <= hole.after.low + NEAR


RULE = StandingRule(
    id="sequence-gap",
    title=Text(ja="記録番号の欠け", en="Record numbers are missing"),
    advisory=("A10", "R1", "R2", "R3"),
    attack=("T1070.001", "T1562.002"),
    find=find,
    why=Text(
        ja="注意喚起 A10「マルウェアに感染した後にログが消去されるリスクを考慮し…」Windows と RFC 5424 の送信元は記録に連番を付けます。番号の穴は、届かなかったか"
        "消された記録です（ATT&CK T1070.001）。",
        en='Advisory A10: "considering … that logs may be erased after an infection …". Windows and senders of RFC 5424 number their'
        " records: a hole is a record that did not arrive or was erased (ATT&CK T1070.001).",
    ),
    todo=(
        Text(
            ja="欠けた番号が端末側のログに残っていれば送り直す。後から届けば、この警告は自動で取り下げられます。",
            en="If the device still has these numbers, send them again: this alert is withdrawn when they arrive.",
        ),
        Text(
            ja="端末にもなければ、前後の記録（消去 1102・104、サービス停止、時刻変更）を調べる。",
            en="If it has not, look at the records around: clearing (1102, 104), services stopped, time changed.",
        ),
        Text(ja="説明がつかなければ感染を疑い、電源を入れたままにする（R1）。", en="No explanation: suspect an infection; keep the power on (R1)."),
        Text(ja="端末を速やかに隔離する（R2）。", en="Isolate the device promptly (R2)."),
        Text(ja="メモリを優先して保全する（R3）。", en="Preserve the memory first (R3)."),
    ),
    columns=("metadata_sequence", "device_hostname"),
    reference="https://www.rfc-editor.org/rfc/rfc5424#section-7.3.1",
)  # fmt: skip
