"""A2: a second factor was removed or reset, or the demand for one was switched off."""

from sekisho.contract import Match, Rule, Told
from sekisho.model import Severity, Text
from sekisho.model.folding import fold

SCOPE = """
source <> 'sekisho' AND status_id IS DISTINCT FROM 2
  AND ((class_uid = 3001 AND activity_id = 11)
       OR metadata_event_code IN ('user.two_factor_requirement_removed', 'org.disable_two_factor_requirement',
                                    'business.disable_two_factor_requirement'))
"""

QUERY = """
SELECT e.*,
       EXISTS (SELECT 1 FROM account_keys k WHERE k.privileged AND k.source IN ('*', e.source)
               AND k.key = e.account_ref)
       OR EXISTS (SELECT 1 FROM people p WHERE p.person_id = e.person_uid
                  AND p.role_class IN ('privileged', 'wallet-operator')) AS is_privileged
FROM events e
"""


def tell(match: Match) -> Told:
    actor = match["actor_user_email_addr"] or match["actor_user_name"] or match["actor_user_uid"]
    target = match["user_email_addr"] or match["user_name"] or match["user_uid"]
    code = match["metadata_event_code"] or ""
    demand = match["class_uid"] == 3004 or "requirement" in code
    known = match["class_uid"] == 3001 and match["actor_account_ref"] is not None
    same_row = known and match["actor_account_ref"] == match["account_ref"]
    self_done = bool(actor and target) and (same_row or fold(actor) == fold(target))
    facts = {
        **match,
        "actor": actor or "?",
        "target": target or match["entity_name"] or "?",
        "by_ja": "本人" if self_done else f"別の利用者 {actor}" if actor else "実行者不明",
        "by_en": "by themselves"
        if self_done
        else f"by another user, {actor}"
        if actor
        else "by an unknown actor",
        "code_ja": f"、{code}" if code else "",
        "code_en": f", {code}" if code else "",
        "code_only_ja": f"（{code}）" if code else "",
        "code_only_en": f" ({code})" if code else "",
        "holder": f" ({match['person_name']})" if match["person_name"] else "",
    }
    what = Text(
        ja="多要素認証の必須設定が外されました：対象 {target}（{by_ja}{code_ja}）。{jst}{from_ja}。"
        if demand
        else "{target}{holder} の多要素認証の要素が{by_ja}により削除またはリセットされました{code_only_ja}。{when}{from_ja}。",
        en="The demand for a second factor was switched off: {target} ({by_en}{code_en}). {jst}{from_en}."
        if demand
        else "A second factor of {target}{holder} was removed or reset {by_en}{code_only_en}. {when}{from_en}.",
    ).fill(facts)
    severity = Severity.HIGH if match["is_privileged"] or demand else Severity.MEDIUM
    return Told(str(facts["target"]).casefold(), f"{match['source']} {match['local_day']}", severity, what)


RULE = Rule(
    id="mfa-factor-removed",
    title=Text(ja="多要素認証の要素の削除・リセット", en="Second factor removed or reset"),
    advisory=("A2",),
    attack=("T1556.006",),
    query=QUERY,
    scope=SCOPE,
    tell=tell,
    why=Text(
        ja="注意喚起 A2「多要素認証を導入する。」攻撃者は要素を外すか自分の要素に替えて居座ります（ATT&CK T1556.006）。",
        en='Advisory A2: "Introduce multi-factor authentication." Attackers remove factors, or put in their own, to stay'
        " (ATT&CK T1556.006).",
    ),
    todo=(
        Text(ja="対象者に電話等の別経路で、依頼したか確認する。", en="Ask the person over another channel whether they asked for it."),
        Text(ja="実行者の直前の認証（場所・端末）を検索する。", en="Search where and with what device the actor had signed in."),
        Text(ja="心当たりがなければ要素を登録し直し、全セッションを失効させる。", en="If unexplained: enrol anew, revoke all sessions."),
    ),
    columns=("class_uid", "activity_id"),
    shown=("account", "user_name", "user_email_addr", "actor_user_name", "actor_user_email_addr", "metadata_event_code",
           "src_endpoint_ip", "src_net_class", "http_request_user_agent"),
)  # fmt: skip
