"""A2: success without a second factor on an account of which policy demands one."""

from sekisho.contract import Match, Rule, Told
from sekisho.model import Severity, Text

SCOPE = """
class_uid = 3002 AND status_id = 1 AND is_mfa IS DISTINCT FROM true AND activity_id IS DISTINCT FROM 2
"""

#: Events with the account rows that were valid then.
_HELD = """
WITH held AS (
  SELECT e.event_uid, bool_or(coalesce(k.privileged, false)) AS is_privileged
  FROM events e JOIN account_keys k ON k.key = e.account_ref AND k.source IN ('*', e.source)
  WHERE {which} AND e.time >= k.valid_from AND (k.valid_to IS NULL OR e.time < k.valid_to)
    AND coalesce(k.mfa_required, true)
  GROUP BY e.event_uid
)
"""

QUERY = f"""
{_HELD.replace("{which}", "is_mfa = false")},
role AS (
  SELECT e.event_uid, arg_max(p.role_class, p.employment_start) AS role_class,
         bool_or(coalesce(p.role_class IN ('privileged', 'wallet-operator'), false)) AS is_privileged
  FROM events e JOIN people p ON p.person_id = e.person_uid
       AND e.time >= p.employment_start AND (p.employment_end IS NULL OR e.time < p.employment_end)
  WHERE e.is_mfa = false GROUP BY e.event_uid
)
SELECT e.*, h.is_privileged OR coalesce(r.is_privileged, false) AS is_privileged, r.role_class
FROM events e JOIN held h USING (event_uid) LEFT JOIN role r USING (event_uid)
WHERE e.is_mfa = false
"""  # noqa: S608 - constant text

UNJUDGED = f"""
{_HELD.replace("{which}", "activity_id = 1 AND is_mfa IS NULL")}
SELECT 'the source does not record whether a second factor was used' AS reason, count(*) AS events
FROM held
UNION ALL
SELECT 'the account is in no row of the table accounts', count(*) FROM events
WHERE activity_id = 1 AND is_mfa = false AND person_uid IS NULL AND account IS NOT NULL AND account_ref IS NULL
"""  # noqa: S608 - constant text


def tell(match: Match) -> Told:
    privileged = bool(match["is_privileged"])
    factors = match["auth_factors"] or match["auth_protocol"]
    facts = {
        **match,
        "kind_ja": "特権・ウォレット操作の" if privileged else "",
        "kind_en": "privileged " if privileged else "",
        "service": match["service_name"] or match["source"],
        "factors_ja": f"、認証要素 {factors}" if factors else "",
        "factors_en": f", factors: {factors}" if factors else "",
    }
    what = Text(
        ja="{kind_ja}アカウント {account}（{who}）が多要素認証なしで {service} に認証されました。{when}{from_ja}{factors_ja}。",
        en="The {kind_en}account {account} of {who} signed in to {service} without a second factor. {when}{from_en}{factors_en}.",
    ).fill(facts)
    anchor = match["session_uid"] or f"{match['source']} {match['local_day']}"
    return Told(match["account"], anchor, Severity.HIGH if privileged else Severity.MEDIUM, what)


RULE = Rule(
    id="mfa-missing",
    title=Text(ja="多要素認証なしの認証成功", en="Sign-in without the second factor that policy demands"),
    advisory=("A2",),
    attack=("T1078", "T1556.006"),
    query=QUERY,
    scope=SCOPE,
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
