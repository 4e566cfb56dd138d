"""An alert as text for a person: what happened, who and where and when, why it matters, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sekisho.contract.advisory import ADVISORY
from sekisho.model import Language, Severity, Text
from sekisho.modules.alerts.models import Alert, AlertEvidence

_JST = ZoneInfo("Asia/Tokyo")
_ROWS = 20

SEVERITY = {
    Severity.INFORMATIONAL: Text(ja="情報", en="informational"),
    Severity.LOW: Text(ja="低", en="low"),
    Severity.MEDIUM: Text(ja="中", en="medium"),
    Severity.HIGH: Text(ja="高", en="high"),
    Severity.CRITICAL: Text(ja="重大", en="critical"),
}
STATE = {
    "new": Text(ja="未対応", en="new"),
    "acknowledged": Text(ja="対応中", en="acknowledged"),
    "closed": Text(ja="完了", en="closed"),
}
REASON = {
    "true-positive": Text(ja="攻撃・不正と判断", en="true positive"),
    "false-positive": Text(ja="誤検知", en="false positive"),
    "benign": Text(ja="正当な行為", en="benign"),
    "test": Text(ja="試験", en="test"),
    "duplicate": Text(ja="重複", en="duplicate"),
    "withdrawn": Text(ja="取下げ（訂正による）", en="withdrawn (after a correction)"),
}
_WORDS = {
    "what": Text(ja="何が起きたか", en="What happened"),
    "facts": Text(ja="誰が・いつ・どこで", en="Who, when, where"),
    "why": Text(ja="なぜ問題か", en="Why it matters"),
    "todo": Text(ja="今すぐ行うこと", en="What to do now"),
    "evidence": Text(ja="根拠となるイベント", en="Evidence"),
    "links": Text(ja="さらに調べる", en="Look further"),
    "history": Text(ja="経過", en="History"),
    "rule": Text(ja="規則", en="Rule"),
    "subject": Text(ja="対象", en="Subject"),
    "person": Text(ja="従業員番号", en="Person"),
    "unknown": Text(ja="不明", en="unknown"),
    "first": Text(ja="最初", en="First"),
    "last": Text(ja="最後", en="Last"),
    "count": Text(ja="件数", en="Events"),
    "state": Text(ja="状態", en="State"),
    "attack": Text(ja="攻撃手法（MITRE ATT&CK）", en="Technique (MITRE ATT&CK)"),
    "advisory": Text(ja="注意喚起（令和6年12月24日）", en="Advisory of 24 December 2024"),
    "author": Text(ja="規則の作成者", en="Rule by"),
}


def when(time: datetime, zone: str = "") -> str:
    """Japan's time first, the person's own zone beside it where that is another."""
    first = f"{time.astimezone(_JST):%Y-%m-%d %H:%M:%S} JST"
    if not zone or zone == _JST.key:
        return first
    try:
        own = time.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError):
        return first
    return f"{first} ({own:%Y-%m-%d %H:%M:%S} {zone})"


def count(alert: Alert, language: Language) -> str:
    if not alert.more:
        return f"{alert.count:,}"
    return f"{alert.count:,} 件以上" if language == "ja" else f"{alert.count:,} or more"


def headline(alert: Alert, language: Language) -> str:
    """One line: severity, title, subject, when."""
    severity = SEVERITY[Severity(alert.severity)].get(language)
    title = f"[{severity}] {alert.title.get(language)}"
    return plain(f"{title}: {alert.subject} ({when(alert.first_time, alert.zone)})")


def text(alert: Alert, language: Language, console_url: str = "", *, history: bool = False) -> str:
    """The whole alert. What comes from logs is shown with control characters made visible."""
    pieces = list(alert.evidence.all()[:_ROWS])
    lines = [headline(alert, language), f"  id {alert.uid}", ""]
    lines += [_head("what", language), f"  {plain(alert.what.get(language))}", ""]
    lines += [_head("facts", language), *_facts(alert, language), ""]
    lines += [_head("why", language), *_why(alert, language), ""]
    steps = enumerate(alert.steps(language), 1)
    lines += [_head("todo", language), *(f"  {number}. {plain(step)}" for number, step in steps), ""]
    lines += [_head("evidence", language), *_evidence(alert, pieces, language), ""]
    lines += [_head("links", language), *_links(alert, pieces, console_url)]
    if history:
        lines += ["", _head("history", language), *_history(alert)]
    return "\n".join(lines) + "\n"


def plain(value: str) -> str:
    """Control characters and direction marks from logs must not reach a terminal or a mail."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in value)


# -- parts -----------------------------------------------------------------------------------------


def _head(word: str, language: Language) -> str:
    return f"■ {_WORDS[word].get(language)}"


def _line(word: str, value: str, language: Language) -> str:
    return f"  {_WORDS[word].get(language)}: {plain(value)}"


def _facts(alert: Alert, language: Language) -> list[str]:
    state = STATE[alert.state].get(language)
    if alert.reason:
        state += f" – {REASON[alert.reason].get(language)} ({alert.closed_by})"
    return [
        _line("subject", alert.subject, language),
        _line("person", alert.person or _WORDS["unknown"].get(language), language),
        _line("first", when(alert.first_time, alert.zone), language),
        _line("last", when(alert.last_time, alert.zone), language),
        _line("count", count(alert, language), language),
        _line("state", state, language),
    ]


def _why(alert: Alert, language: Language) -> list[str]:
    lines = [f"  {plain(alert.why.get(language))}"]
    for item in alert.advisory:
        sentence = ADVISORY.get(item)
        if sentence is None:
            continue
        lines.append(f"  {_WORDS['advisory'].get(language)} {item}: 「{sentence.ja}」")
        if language == "en":
            lines.append(f"    {sentence.en}")
    if alert.attack:
        lines.append(_line("attack", ", ".join(alert.attack), language))
    lines.append(_line("rule", alert.rule, language))
    if alert.author:
        lines.append(_line("author", alert.author, language))
    return lines


def _evidence(alert: Alert, pieces: Sequence[AlertEvidence], language: Language) -> list[str]:
    lines = []
    for piece in pieces:
        facts = " ".join(f"{name}={value}" for name, value in piece.facts)
        lines.append(
            plain(f"  {when(piece.time, alert.zone)}  {piece.source}  {piece.event_uid[:12]}  {facts}")
        )
    rest = alert.count - len(pieces)
    if rest > 0 or alert.more:
        more = "+" if alert.more else ""
        lines.append(f"  … 他 {rest:,}{more} 件" if language == "ja" else f"  … {rest:,}{more} more")
    return lines


def _links(alert: Alert, pieces: Sequence[AlertEvidence], console_url: str) -> list[str]:
    uids = " OR ".join(f"event_uid:{piece.event_uid}" for piece in pieces[:5])
    lines = [f"  sekisho search '{uids}'"]
    if alert.person and alert.person.isascii() and alert.person.replace("-", "").isalnum():
        lines.append(f"  sekisho search 'person_uid:{alert.person}'")
    lines.append(f"  sekisho alerts show {alert.uid[:8]}")
    if console_url:
        lines.append(f"  {console_url.rstrip('/')}/alerts/{alert.uid}")
    return lines


def _history(alert: Alert) -> list[str]:
    return [
        plain(f"  {when(entry.at)}  {entry.by}  {entry.action}  {entry.note}").rstrip()
        for entry in alert.history.all()
    ]
