"""A2: success without a second factor on an account of which policy demands one."""

from sekisho.contract import Match, Rule, Told
from sekisho.model import Severity, Text

_KEYS = """k.source IN ('*', e.source)
       AND k.key IN (e.account, lower(e.user_email_addr), lower(e.user_name), lower(e.user_uid))
       AND e.time >= k.valid_from AND (k.valid_to IS NULL OR e.time < k.valid_to)"""

QUERY = f"""
SELECT e.*, coalesce(k.privileged, false) OR coalesce(p.role_class IN ('privileged', 'wallet-operator'), false) AS is_privileged,
       p.role_class
FROM events e
JOIN account_keys k ON {_KEYS} AND coalesce(k.mfa_required, true)
LEFT JOIN people p ON p.person_id = e.person_uid
     AND e.time >= p.employment_start AND (p.employment_end IS NULL OR e.time < p.employment_end)
WHERE e.class_uid = 3002 AND e.activity_id IS DISTINCT FROM 2 AND e.status_id = 1 AND e.is_mfa = false
"""  # noqa: S608 - constant text

UNJUDGED = f"""
SELECT 'the source does not record whether a second factor was used' AS reason, count(DISTINCT e.event_uid) AS events
FROM events e JOIN account_keys k ON {_KEYS} AND coalesce(k.mfa_required, true)
WHERE e.class_uid = 3002 AND e.activity_id = 1 AND e.status_id = 1 AND e.is_mfa IS NULL
UNION ALL
SELECT 'the account is in no row of the table accounts', count(*) FROM events e
WHERE e.class_uid = 3002 AND e.activity_id = 1 AND e.status_id = 1 AND e.is_mfa = false AND e.person_uid IS NULL
  AND e.account NOT IN (SELECT key FROM account_keys WHERE key IS NOT NULL)
"""  # noqa: S608 - constant text


def tell(match: Match) -> Told:
    privileged = bool(match["is_privileged"])
    facts = {
        **match,
        "kind_ja": "特権・ウォレット操作の" if privileged else "",
        "kind_en": "privileged " if privileged else "",
        "service": match["service_name"] or match["source"],
        "factors": match["auth_factors"] or match["auth_protocol"] or "-",
    }
    what = Text(
        ja="{kind_ja}アカウント {account}（{who}）が多要素認証なしで {service} に認証されました。{jst}（{local_time}）、"
        "接続元 {where}、認証要素 {factors}。",
        en="The {kind_en}account {account} of {who} signed in to {service} without a second factor. {jst} ({local_time}),"
        " from {where}, factors {factors}.",
    ).fill(facts)
    anchor = match["session_uid"] or f"{match['source']} {match['local_day']}"
    return Told(match["account"], anchor, Severity.HIGH if privileged else Severity.MEDIUM, what)


RULE = Rule(
    id="mfa-missing",
    title=Text(ja="多要素認証なしの認証成功", en="Sign-in without the second factor that policy demands"),
    advisory=("A2",),
    attack=("T1078", "T1556.006"),
    query=QUERY,
    unjudged=UNJUDGED,
    tell=tell,
    why=Text(
        ja="注意喚起 A2「多要素認証を導入する。」多要素認証を必須と定めたアカウントがパスワードだけで使えています。"
        "盗まれたパスワードで侵入できる状態です（ATT&CK T1556.006）。",
        en='Advisory A2: "Introduce multi-factor authentication." An account of which policy demands it can be used with one'
        " factor: a stolen password is enough (ATT&CK T1556.006).",
    ),
    todo=(
        Text(ja="本人に、この時刻と場所の認証に心当たりがあるか確認する。", en="Ask the person about this sign-in, its time and place."),
        Text(ja="心当たりがなければセッションを失効させ、パスワードを変更する。", en="If unknown to them: revoke sessions, change the password."),
        Text(
            ja="多要素認証を免れた経路（除外ポリシー、旧式プロトコル）を特定し、塞ぐ。",
            en="Find how the factor was avoided (exclusion, legacy protocol) and close it.",
        ),
    ),
    columns=("is_mfa", "account", "status_id"),
    tables=("accounts",),
    shown=("account", "service_name", "auth_factors", "auth_protocol", "src_endpoint_ip", "src_country", "src_net_class",
           "http_request_user_agent", "session_uid"),
)  # fmt: skip
