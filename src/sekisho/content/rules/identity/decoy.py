"""A9: any use of a dummy credential, in any log, failures included; it names the PC it was planted on."""

from sekisho.contract import Match, Rule, Told
from sekisho.contract.results import Secret, secret
from sekisho.model import Severity, Text, moment

#: Whoever shows one of these has stolen it: it cannot be guessed.
NOT_GUESSED = frozenset(["cookie", "cloud-key", "token"])
#: ``user`` is somebody to whom something is done by another: account and role management, calls of interfaces.
TARGETED = frozenset([3001, 3004, 3005, 3006, 6003])

QUERY = """
SELECT e.*, d.kind AS decoy_kind, d.asset_tag AS decoy_asset, d.place AS decoy_place, d.valid_from AS planted_at,
       v.hostname AS decoy_host, v.person_id AS decoy_holder, p.name AS decoy_holder_name
FROM events e JOIN decoys d ON d.decoy_id = e.decoy_uid
LEFT JOIN devices v ON v.asset_tag = d.asset_tag
     AND e.time >= v.valid_from AND (v.valid_to IS NULL OR e.time < v.valid_to)
LEFT JOIN people p ON p.person_id = v.person_id
     AND e.time >= p.employment_start AND (p.employment_end IS NULL OR e.time < p.employment_end)
"""


_PROOF = {
    Secret.RIGHT: Text(
        ja="正しい秘密情報が使われており、盗まれたことが確実です",
        en="the right secret was shown: it was stolen",
    ),
    Secret.WRONG: Text(
        ja="一致したのは名前のみで、秘密情報は誤りでした", en="only the name fits, the secret was wrong"
    ),
    Secret.UNKNOWN: Text(
        ja="秘密情報が正しかったかどうかは、記録からは分かりません",
        en="the record does not say whether the secret was right",
    ),
}
_USED = Text(
    ja="端末 {decoy_asset}{device_ja}{place_ja}に {planted} に仕掛けたダミーの認証情報 {decoy_uid} が"
    "使われました。{proof_ja}。{jst}{from_ja}、ログ {source}{outcome_ja}。",
    en="Dummy credential {decoy_uid}, planted on {planted} on {decoy_asset}{device_en}{place_en}, was"
    " used; {proof_en}. {jst}{from_en}, log {source}{outcome_en}.",
)
_MANAGED = Text(
    ja="端末 {decoy_asset}{device_ja}{place_ja}に {planted} に仕掛けたダミーの認証情報 {decoy_uid} のアカウントが、"
    "{actor_ja}管理操作を受けました。認証に使われた記録ではありません。正規の作業か確認してください。"
    "{jst}{from_ja}、ログ {source}{outcome_ja}。",
    en="The account of dummy credential {decoy_uid}, planted on {planted} on {decoy_asset}{device_en}{place_en}, was"
    " changed or managed{actor_en}. This is no record of its use: ask whether the work was legitimate."
    " {jst}{from_en}, log {source}{outcome_en}.",
)


def by_itself(match: Match) -> bool:
    """The decoy is what acted, not what something was done to."""
    return (match["decoy_in"] or "").startswith(("actor_", "session_"))


def managed(match: Match) -> bool:
    """Somebody administers the decoy's account; that shows nothing of its secret."""
    if by_itself(match) or match["class_uid"] not in TARGETED:
        return False
    return match["class_uid"] != 6003 or match["actor_account"] is not None


def shown(match: Match) -> Secret:
    """Whether the secret itself was shown, not only the name."""
    if match["decoy_kind"] in NOT_GUESSED:
        return Secret.RIGHT
    if by_itself(match) and match["class_uid"] in TARGETED and match["status_id"] == 1:
        return Secret.RIGHT
    return secret(match)


def tell(match: Match) -> Told:
    host, place = match["decoy_host"], match["decoy_place"]
    holder = match["decoy_holder_name"] or match["decoy_holder"]
    proof = shown(match)
    outcome = match["status_detail"] or match["status"] or match["status_code"]
    actor = match["actor_account"]
    device_ja = "、".join(part for part in (host, holder and f"利用者 {holder}") if part)
    device_en = ", ".join(part for part in (host, holder and f"held by {holder}") if part)
    facts = {
        **match,
        "device_ja": device_ja and f"（{device_ja}）",
        "device_en": device_en and f" ({device_en})",
        "place_ja": f"の {place} " if place else "",
        "place_en": f", in {place}" if place else "",
        "planted": moment(match["planted_at"])[:10],
        "proof_ja": _PROOF[proof].ja,
        "proof_en": _PROOF[proof].en,
        "actor_ja": f"{actor} による" if actor else "",
        "actor_en": f" by {actor}" if actor else "",
        "outcome_ja": f"、結果 {outcome}" if outcome else "",
        "outcome_en": f", outcome: {outcome}" if outcome else "",
    }
    if managed(match):
        anchor = f"managed {match['source']} {match['local_day']}"
        return Told(match["decoy_uid"], anchor, Severity.MEDIUM, _MANAGED.fill(facts))
    severity = Severity.CRITICAL if proof is Secret.RIGHT else Severity.MEDIUM
    return Told(match["decoy_uid"], f"{match['network']} {match['local_day']}", severity, _USED.fill(facts))


RULE = Rule(
    id="decoy",
    title=Text(ja="ダミーの認証情報の使用", en="A dummy credential was used"),
    advisory=("A9", "R1", "R2", "R3"),
    attack=("T1555.003", "T1078"),
    query=QUERY,
    scope="decoy_uid IS NOT NULL AND source <> 'sekisho'",
    tell=tell,
    why=Text(
        ja="注意喚起 A9「ダミーの認証情報をWebブラウザに記憶させる等しておき、認証試行があった際は、速やかに検知・対処ができる"
        "ようにしておく。」この認証情報はその端末にしかなく、正規の利用はありません。端末の情報が盗まれた疑いがあります（ATT&CK T1555.003）。",
        en='Advisory A9: "have dummy credentials remembered by web browsers, and be ready to detect and respond promptly to any'
        ' attempt to use them." It exists only on that PC and has no legitimate use: the PC is suspected of infection'
        " (ATT&CK T1555.003).",
    ),
    todo=(
        Text(
            ja="仕掛けた端末の電源を切らず、入れたままにする（R1）。",
            en="Keep the power of the PC on which it was planted on (R1).",
        ),
        Text(
            ja="端末を速やかにインターネットと業務用ネットワークから隔離する（R2）。",
            en="Isolate that PC promptly from the internet and the business network (R2).",
        ),
        Text(
            ja="メモリダンプを含む揮発性情報を優先して保全する（R3）。",
            en="Preserve the evidence, volatile information and memory dump first (R3).",
        ),
        Text(
            ja="端末の利用者の全アカウントのセッションとトークンを失効させ、パスワードを別の端末から変更する。",
            en="Revoke all sessions and tokens of its user; change the passwords from another device.",
        ),
        Text(
            ja="同じ接続元が前後24時間に触れた他のアカウントを検索する。",
            en="Search what else the same origin touched within 24 hours before and after.",
        ),
    ),
    columns=("account",),
    tables=("decoys",),
    shown=("decoy_uid", "decoy_in", "account", "actor_account", "status_id", "status_code", "status_detail", "policy_name", "src_endpoint_ip", "src_country",
           "src_net_class", "http_request_user_agent", "service_name", "api_operation"),
)  # fmt: skip
