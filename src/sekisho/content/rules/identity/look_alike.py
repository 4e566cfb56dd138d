"""A8, A9: a name that shows like an account or a decoy, written with letters of another script."""

from sekisho.contract import Match, Rule, Told
from sekisho.model import Severity, Text
from sekisho.model.spelling import FROM, TO

SCOPE = """
source <> 'sekisho' AND class_uid BETWEEN 3001 AND 6003 AND (account IS NOT NULL OR actor_account IS NOT NULL)
"""

#: Names that are written otherwise than they show, beside the accounts (or the decoy) as which they show.
QUERY = f"""
WITH names AS (
  SELECT event_uid, account AS written, account_ref AS ref, decoy_uid FROM events WHERE account IS NOT NULL
  UNION ALL
  SELECT event_uid, actor_account, actor_account_ref, decoy_uid FROM events
  WHERE actor_account IS NOT NULL AND actor_account IS DISTINCT FROM account
),
odd AS (
  SELECT *, translate(written, '{FROM}', '{TO}') AS look FROM names
  WHERE ref IS NULL AND translate(written, '{FROM}', '{TO}') <> written
),
listed AS (
  SELECT key, min(person_id) AS person_id FROM account_keys GROUP BY key
),
found AS (
  SELECT o.event_uid, o.written, l.key AS resembles, l.person_id AS resembled_person, NULL AS decoy
  FROM odd o JOIN listed l ON l.key = o.look
    OR split_part(l.key, chr(92), -1) = o.look
  UNION ALL
  SELECT event_uid, written, look, NULL, decoy_uid FROM odd WHERE decoy_uid IS NOT NULL
),
best AS (
  SELECT event_uid, written, min(resembles) AS resembles, min(resembled_person) AS resembled_person, max(decoy) AS decoy
  FROM found GROUP BY event_uid, written
)
SELECT e.*, b.written, b.resembles, b.decoy, p.name AS resembled_name, b.resembled_person
FROM best b JOIN events e USING (event_uid)
LEFT JOIN (SELECT person_id, max(name) AS name FROM people GROUP BY person_id) p ON p.person_id = b.resembled_person
"""  # noqa: S608 - constant text


def letters(written: str) -> str:
    """The foreign letters with their numbers: nobody sees them otherwise."""
    return " ".join(f"{mark} (U+{ord(mark):04X})" for mark in dict.fromkeys(written) if mark in FROM)


def tell(match: Match) -> Told:
    person = match["resembled_person"]
    holder = f"{match['resembled_name']} ({person})" if match["resembled_name"] else person or ""
    of = f"{match['resembles']}"
    decoy = match["decoy"]
    facts = {
        **match,
        "of_ja": f"ダミーの認証情報 {decoy}（{of}）"
        if decoy
        else f"アカウント {of}" + (f"（{holder}）" if holder else ""),
        "of_en": f"dummy credential {decoy} ({of})"
        if decoy
        else f"account {of}" + (f" of {holder}" if holder else ""),
        "letters": letters(match["written"]),
        "did_ja": "成功しました" if match["status_id"] == 1 else "記録されました",
        "did_en": "succeeded" if match["status_id"] == 1 else "was recorded",
    }
    what = Text(
        ja="{of_ja}に見せかけた別の名前 {written} による操作が{did_ja}。別の文字体系の文字 {letters} を含みます。"
        "{when}{from_ja}、ログ {source}。",
        en="The name {written}, a look-alike of {of_en}, is another name: it has letters of another script, {letters}."
        " What it did {did_en}. {when}{from_en}, log {source}.",
    ).fill(facts)
    severity = Severity.HIGH if match["status_id"] == 1 or decoy else Severity.MEDIUM
    return Told(match["written"], f"{match['network']} {match['local_day']}", severity, what)


RULE = Rule(
    id="look-alike",
    title=Text(ja="アカウント名に見せかけた別の名前", en="A name that only looks like an account's"),
    advisory=("A8", "A9"),
    attack=("T1036",),
    query=QUERY,
    scope=SCOPE,
    tell=tell,
    why=Text(
        ja="注意喚起 A8・A9 は、退職者のアカウントやダミーの認証情報への認証試行の速やかな検知を求めています。キリル文字・ギリシャ文字など、"
        "見た目が同じ別の文字で書いた名前は別のアカウントであり、台帳との照合を逃れます。なりすましに使われます（ATT&CK T1036）。",
        en="Advisory A8 and A9 ask for prompt detection of attempts on leavers' accounts and dummy credentials. A name written"
        " with letters that only look the same (Cyrillic, Greek) is another account, which no register knows: a means of"
        " impersonation (ATT&CK T1036).",
    ),
    todo=(
        Text(
            ja="このアカウントが存在するか、誰がいつ作ったかを確認する。存在すれば停止し、セッション・トークンを失効させる。",
            en="Find whether this account exists, who made it and when; if so, suspend it and revoke its sessions and tokens.",
        ),
        Text(
            ja="似せられたアカウントの本人に、この名前に心当たりがあるか確認する。",
            en="Ask the holder of the account that it imitates about this name.",
        ),
        Text(
            ja="同じ接続元と、この名前を含む招待・メール・コミットを検索する。",
            en="Search the same origin, and invitations, mail and commits with this name.",
        ),
    ),
    columns=("account",),
    tables=("accounts",),
    shown=("account", "actor_account", "activity_id", "status_id", "status_detail", "src_endpoint_ip", "src_country",
           "service_name", "api_operation", "decoy_uid"),
)  # fmt: skip
