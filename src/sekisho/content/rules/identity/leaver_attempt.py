"""A8: any use of an account, or attempt to use it, outside its holder's employment or its own validity."""

from sekisho.contract import Match, Rule, Told
from sekisho.contract.results import Secret, secret
from sekisho.model import Severity, Text, moment

SCOPE = """
source <> 'sekisho' AND (class_uid IN (3002, 6003)
  OR (actor_account IS NOT NULL AND class_uid BETWEEN 3001 AND 3006)
  OR (actor_user_credential_uid IS NOT NULL AND class_uid NOT BETWEEN 3001 AND 3006))
"""

#: ``suspects`` only saves work: whoever was employed, with valid accounts, all through the batch is not one.
#: ``used``: by whom an event is about; and by who acted, where that is somebody else or changes accounts or rights.
QUERY = """
WITH span AS (SELECT min(time) AS first, max(time) AS last FROM events),
suspects AS (
  SELECT person_id FROM people, span GROUP BY person_id
  HAVING NOT bool_or(employment_start <= first AND (employment_end IS NULL OR last < employment_end))
  UNION SELECT person_id FROM account_keys, span WHERE NOT (valid_from <= first AND (valid_to IS NULL OR last < valid_to))
),
used AS (
  SELECT event_uid, time, source, device_uid, src_endpoint_uid, false AS acting,
         person_uid AS about_person, account_ref AS ref
  FROM events
  WHERE person_uid IN (SELECT person_id FROM suspects WHERE person_id IS NOT NULL)
    AND NOT (class_uid = 3002 AND activity_id IS NOT DISTINCT FROM 2)
    AND (class_uid = 3002 OR class_uid NOT BETWEEN 3001 AND 3006)
  UNION ALL
  SELECT event_uid, time, source, device_uid, src_endpoint_uid, true, actor_person_uid,
         actor_account_ref
  FROM events
  WHERE actor_person_uid IN (SELECT person_id FROM suspects WHERE person_id IS NOT NULL)
    AND class_uid BETWEEN 3001 AND 3006
    AND (class_uid <> 3002 OR (activity_id IS DISTINCT FROM 2 AND actor_account_ref IS DISTINCT FROM account_ref))
),
jobs AS (
  SELECT u.event_uid, u.acting,
         bool_or(u.time >= p.employment_start AND (p.employment_end IS NULL OR u.time < p.employment_end)) AS employed,
         max(p.employment_end) FILTER (p.employment_end <= u.time) AS employment_ended,
         min(p.employment_start) FILTER (p.employment_start > u.time) AS employment_begins
  FROM used u JOIN people p ON p.person_id = u.about_person GROUP BY ALL
),
named AS (
  SELECT u.event_uid, u.acting,
         bool_or(u.time >= k.valid_from AND (k.valid_to IS NULL OR u.time < k.valid_to)) AS account_valid,
         max(k.valid_to) FILTER (k.valid_to <= u.time) AS account_ended
  FROM used u JOIN account_keys k ON k.key = u.ref AND k.source IN ('*', u.source) AND k.person_id = u.about_person
  GROUP BY ALL
),
enrolled AS (  -- by an agent's id only: the name of a workstation is what its sender says it is (NTLM)
  SELECT u.event_uid, u.acting, min(d.asset_tag) AS former_device
  FROM used u JOIN devices d ON d.person_id = u.about_person
       AND lower(d.agent_id) IN (lower(u.device_uid), lower(u.src_endpoint_uid))
  GROUP BY ALL
)
SELECT e.*, u.acting, u.about_person, j.employed, j.employment_ended, j.employment_begins, n.account_valid,
       n.account_ended, f.former_device
FROM used u JOIN events e USING (event_uid) LEFT JOIN jobs j USING (event_uid, acting)
     LEFT JOIN named n USING (event_uid, acting) LEFT JOIN enrolled f USING (event_uid, acting)
WHERE NOT coalesce(j.employed, true) OR NOT coalesce(n.account_valid, true)
"""

#: Whom the query above would have looked up, had a person held the account.
UNJUDGED = """
SELECT 'the account is in no row of the table accounts' AS reason, count(*) AS events FROM events
WHERE CASE
  WHEN class_uid = 3002 OR class_uid NOT BETWEEN 3001 AND 3006 THEN
    person_uid IS NULL AND account IS NOT NULL AND account_ref IS NULL
    AND coalesce(if(class_uid = 3002, user_type, actor_user_type), '') NOT IN ('System', 'Service')
  ELSE
    actor_person_uid IS NULL AND actor_account IS NOT NULL AND actor_account_ref IS NULL
    AND coalesce(actor_user_type, '') NOT IN ('System', 'Service')
END
"""


def did(match: Match) -> Text:
    """What became of it, as far as the event says."""
    if match["status_id"] == 1:
        return Text(ja="あり、成功しました", en="used, which succeeded")
    if secret(match) is Secret.RIGHT:
        return Text(
            ja="試みられました（秘密情報は正しいが、拒否）", en="tried with the right secret, but refused"
        )
    if match["status_id"] == 2:
        return Text(ja="試みられました（失敗）", en="tried and refused")
    return Text(ja="ありました（結果は記録されていません）", en="used or tried (outcome not recorded)")


def target(match: Match) -> str:
    """On whom or what the account acted."""
    names = ("user_email_addr", "user_name", "user_uid", "group_name", "resource_name", "entity_name")
    return " ".join(str(match[name]) for name in names if match[name])[:200] if match["acting"] else ""


def tell(match: Match) -> Told:
    success = match["status_id"] == 1
    right = secret(match) is Secret.RIGHT
    account = match["actor_account"] if match["acting"] else match["account"]
    on = target(match)
    before = match["employment_ended"] is None and match["employment_begins"] is not None
    left = match["employed"] is False and match["employment_ended"] is not None
    ended = match["employment_ended"] if match["employed"] is False else match["account_ended"]
    end = moment(ended, match["zone"]) if ended else ""
    detail = (
        match["status_detail"]
        or match["status_code"]
        or match["api_operation"]
        or match["metadata_event_code"]
    )
    facts = {
        **match,
        "end_ja": f"{end} に在籍終了" if left else f"{end} にアカウントの有効期間終了" if end else "在籍開始前" if before else "有効期間外",
        "end_en": f"employment ended {end}" if left else f"account valid until {end}" if end else "not yet employed" if before
        else "outside its validity",
        "account": account,
        "did_ja": did(match).ja,
        "did_en": did(match).en,
        "on_ja": f"、操作の対象 {on}" if on else "",
        "on_en": f", acting on {on}" if on else "",
        "detail_ja": f"、内容 {detail}" if detail else "",
        "detail_en": f", detail: {detail}" if detail else "",
    }  # fmt: skip
    what = Text(
        ja="{who} の在籍・有効期間外のアカウント {account} による認証または利用が{did_ja}（{end_ja}）。"
        "{when}{from_ja}{on_ja}、ログ {source}{detail_ja}。",
        en="Account {account} of {who} ({end_en}) was {did_en}. {when}{from_en}{on_en}, log {source}{detail_en}.",
    ).fill(facts)
    anchor = f"{match['network']} {match['local_day']}"
    severity = Severity.CRITICAL if success and not before else Severity.MEDIUM
    recent = ended is not None and (match["time"] - ended).days < 14
    if match["former_device"] and match["status_id"] == 2 and not right and recent and not match["acting"]:
        # a leaver's old phone goes on asking for mail; one notice a day and device
        return Told(account, f"{match['former_device']} {match['local_day']}", Severity.LOW, what)
    return Told(account, anchor, severity, what)


RULE = Rule(
    id="leaver-attempt",
    title=Text(
        ja="在籍期間外のアカウントへの認証試行または利用", en="Account tried or used outside its holder's employment"
    ),
    advisory=("A8",),
    attack=("T1078",),
    query=QUERY,
    scope=SCOPE,
    unjudged=UNJUDGED,
    tell=tell,
    why=Text(
        ja="注意喚起 A8「退職した従業員のアカウントは速やかにロックするとともに、認証試行があった際は、速やかに検知・対処が"
        "できるようにしておく。」誰も使うはずのないアカウントであり、成功していれば第三者が権限を得ています（ATT&CK T1078）。",
        en='Advisory A8: "Promptly lock the accounts of employees who left, and be ready to detect and respond promptly to'
        ' any authentication attempt on them." Nobody may use this account; a success means a third party has its rights'
        " (ATT&CK T1078).",
    ),
    todo=(
        Text(
            ja="アカウントを直ちに無効化し、セッション・トークン・鍵をすべて失効させる。",
            en="Disable the account now; revoke all its sessions, tokens and keys.",
        ),
        Text(
            ja="成功していた場合、その後の操作（ウォレット・コード・権限変更）を検索し、被害範囲を確認する。",
            en="If it succeeded, search what was done afterwards (wallets, code, rights) and establish the extent.",
        ),
        Text(
            ja="本人（元従業員）と所属部門に心当たりを確認し、返却されていない端末がないか確かめる。",
            en="Ask the former employee and the team, and check that no device is still out.",
        ),
        Text(ja="同じ接続元からの他のアカウントへの試行を検索する。", en="Search the same origin for attempts on other accounts."),
    ),
    columns=("account", "person_uid", "class_uid", "status_id"),
    tables=("people", "accounts"),
    shown=("account", "activity_id", "status_id", "status", "status_code", "status_detail", "src_endpoint_ip", "src_country",
           "src_net_class", "http_request_user_agent", "api_operation", "actor_account", "actor_user_credential_uid"),
)  # fmt: skip
