"""A10: the journal cannot be sealed, or a witness refuses to sign it. Logs were altered, removed or put back."""

from __future__ import annotations

from datetime import datetime

from sekisho.contract import Match, Rule, Told
from sekisho.model import Severity, Text

SCOPE = "source = 'sekisho' AND metadata_event_code IN ('seal.failed', 'seal.refused', 'witness.refused')"


def tell(match: Match) -> Told:
    time: datetime = match["time"]
    code = str(match["metadata_event_code"])
    what = Text(
        ja="ジャーナルを封印できない、または証人が署名を拒否しました（{metadata_event_code}）：{message}",
        en="The journal cannot be sealed, or a witness refused to sign it ({metadata_event_code}): {message}",
    ).fill(dict(match))
    return Told("journal", f"{code} {time:%Y-%m-%d}", Severity.CRITICAL, what)


RULE = Rule(
    id="journal-altered",
    title=Text(ja="ログの改ざん・消去の疑い", en="Logs altered or removed"),
    advisory=("A10",),
    attack=("T1070",),
    query="SELECT * FROM events",
    scope=SCOPE,
    tell=tell,
    why=Text(
        ja="注意喚起 A10「マルウェアに感染した後にログが消去されるリスク」。保存したログが、以前に署名された状態の続きになっていません（ATT&CK T1070）。",
        en="Advisory A10: logs may be erased after an infection. What is stored does not continue what was signed"
        " before (ATT&CK T1070).",
    ),
    todo=(
        Text(
            ja="Sekisho のサーバーの電源を入れたまま、ネットワークから隔離し、データフォルダを保全する。",
            en="Keep the Sekisho server powered on, isolate it from the network, preserve its data folder.",
        ),
        Text(
            ja="控えておいた検証鍵と証人の記録で sekisho verify を実行し、改ざんされた最初の箇所を確かめる。",
            en="Run sekisho verify with the pinned key and the witness's record: it names the first altered place.",
        ),
        Text(
            ja="バックアップからの復元や鍵の作業が原因でないか、作業の記録と照合する。",
            en="Compare with the records of work: was a backup or a key brought back?",
        ),
    ),
    columns=("metadata_event_code",),
    shown=("metadata_event_code", "message"),
)
