"""A10: a sign-in or access whose own time cannot be true. Who may choose the time of a record can hide it.

Rules judge an event by its own time: dated before an employment ended, or into 1970, the use of a leaver's
account would look right or belong to nobody. Files are exempt: old logs are ingested on purpose.

This is the one rule that also looks at the time of receipt (rules-of-detection.md, I2). Its anchor does not: it
is the month that the record states. A month, because who chooses times freely could make an alert of each day.
"""

from datetime import datetime

from sekisho.contract import Match, Rule, Told
from sekisho.model import Severity, Text

SCOPE = """
class_uid IN (3001, 3002, 3005, 3006, 6003) AND receiver NOT IN ('file', 'internal')
AND (time > ingested_at + INTERVAL 24 HOUR OR time < ingested_at - INTERVAL 35 DAY)
"""


def tell(match: Match) -> Told:
    time: datetime = match["time"]
    received: datetime = match["ingested_at"]
    ahead = time > received
    # what is dated ahead was never delayed: somebody chose it, or a clock is wrong
    severity = Severity.MEDIUM if ahead or time.year < 2000 else Severity.LOW
    facts = {**match, "received": f"{received:%Y-%m-%d %H:%M} UTC", "stated": f"{time:%Y-%m-%d %H:%M} UTC"}
    account = match["account"] or match["actor_account"]
    facts["account_ja"] = f"、アカウント {account}" if account else ""
    facts["account_en"] = f", account {account}" if account else ""
    what = Text(
        ja="{source} の記録の時刻が受信時刻と大きく食い違います：記録 {stated}、受信 {received}{account_ja}{from_ja}。",
        en="The time of a record of {source} is far from its receipt: stated {stated}, received {received}"
        "{account_en}{from_en}.",
    ).fill(facts)
    return Told(f"source:{match['source']}", f"stated {time:%Y-%m}", severity, what)


RULE = Rule(
    id="time-implausible",
    title=Text(ja="ありえない時刻の記録", en="A record with an implausible time"),
    advisory=("A10", "A8"),
    attack=("T1070.006",),
    query="SELECT * FROM events",
    scope=SCOPE,
    tell=tell,
    why=Text(
        ja="注意喚起 A10「異常の把握と速やかな対処ができるようにしておく。」ルールは記録自身の時刻で判定するため、時刻を偽れば退職者の利用などを"
        "隠せます（ATT&CK T1070.006）。",
        en='Advisory A10: "… so that anomalies are seen and answered promptly." Rules judge by the record\'s own time:'
        " a false one can hide the use of a leaver's account (ATT&CK T1070.006).",
    ),
    todo=(
        Text(
            ja="送信元の時計と、滞留していた記録の再送でないかを確認する。",
            en="Check the sender's clock, and whether it sent a backlog.",
        ),
        Text(
            ja="心当たりがなければ、記録のアカウントを受信時刻で調べる（退職者・ダミー・業務付与）。",
            en="Otherwise judge the account at the time of receipt: leaver, decoy, assignment.",
        ),
        Text(
            ja="その送信元のトークンを失効させ、送信元の端末を調べる。",
            en="End that sender's token and examine its machine.",
        ),
    ),
    columns=("time", "class_uid"),
    shown=("account", "actor_account", "src_endpoint_ip", "receiver", "metadata_event_code", "status_id"),
)
