"""A3: access to a resource that assignments govern, outside every assignment of that person (+ 30 min)."""

from sekisho.contract import Match, Rule, Told
from sekisho.model import Severity, Text

QUERY = """
WITH governed AS (SELECT DISTINCT lower(trim(resource)) AS name FROM assignments),
used AS (
  SELECT e.*, g.name AS governed
  FROM events e JOIN governed g
    ON g.name IN (lower(e.service_name), lower(e.resource_name), lower(e.resource_uid), lower(e.group_name),
                  lower(e.dst_endpoint_hostname), lower(e.http_request_url_hostname))
  WHERE e.person_uid IS NOT NULL AND e.source <> 'sekisho' AND e.status_id IS DISTINCT FROM 2
    AND e.class_uid NOT IN (3001, 3004, 3005, 3006) AND NOT (e.class_uid = 3002 AND e.activity_id = 2)
),
given AS (
  SELECT u.event_uid, u.governed,
         bool_or(u.time >= a.valid_from AND u.time <= a.valid_to + INTERVAL 30 MINUTE) AS inside,
         arg_max(a.assignment_id, a.valid_to) FILTER (a.valid_to < u.time) AS last_assignment,
         max(a.valid_to) FILTER (a.valid_to < u.time) AS last_end,
         arg_max(a.approver, a.valid_to) FILTER (a.valid_to < u.time) AS last_approver,
         min(a.valid_from) FILTER (a.valid_from > u.time) AS next_start
  FROM used u JOIN assignments a ON a.person_id = u.person_uid AND lower(trim(a.resource)) = u.governed
  GROUP BY u.event_uid, u.governed
)
SELECT u.*, g.last_assignment, g.last_end, g.last_approver, g.next_start
FROM used u LEFT JOIN given g USING (event_uid, governed)
WHERE NOT coalesce(g.inside, false)
"""

UNJUDGED = """
SELECT 'access to a governed resource by an account that no person holds' AS reason, count(*) AS events FROM events
WHERE person_uid IS NULL AND status_id IS DISTINCT FROM 2 AND class_uid NOT IN (3001, 3004, 3005, 3006)
  AND lower(coalesce(service_name, resource_name)) IN (SELECT lower(trim(resource)) FROM assignments)
"""


def tell(match: Match) -> Told:
    if match["last_end"] is not None:
        since = f"{match['last_end']:%Y-%m-%d %H:%M} UTC"
        ja = f"最後の業務付与 {match['last_assignment']}（承認者 {match['last_approver'] or '-'}）は {since} に終了"
        en = f"the last assignment {match['last_assignment']} (approver {match['last_approver'] or '-'}) ended {since}"
    elif match["next_start"] is not None:
        since = f"{match['next_start']:%Y-%m-%d %H:%M} UTC"
        ja, en = f"業務付与は {since} に開始予定", f"the assignment begins only {since}"
    else:
        ja, en = "この対象の業務付与は一度もない", "there never was an assignment to it"
    what = Text(
        ja="{who} が業務付与期間外に「{governed}」へアクセスしました（{ja}）。{jst}（{local_time}）、アカウント {account}、"
        "接続元 {where}、ログ {source}。",
        en="{who} accessed '{governed}' outside every assignment ({en}). {jst} ({local_time}), account {account},"
        " from {where}, in the log {source}.",
    ).fill({**match, "ja": ja, "en": en})
    anchor = f"{match['last_assignment'] or 'none'} {match['local_day']}"
    return Told(f"{match['person_uid']} {match['governed']}", anchor, Severity.HIGH, what)


RULE = Rule(
    id="assignment-outside",
    title=Text(ja="業務付与期間外のアクセス", en="Access outside the period of the assignment"),
    advisory=("A3",),
    attack=("T1078",),
    query=QUERY,
    unjudged=UNJUDGED,
    tell=tell,
    why=Text(
        ja="注意喚起 A3「業務付与期間に限定した必要最小限のアクセス範囲と権限を付与する。（業務付与期間終了後、速やかに縮小・削除する。）」"
        "期間外に使える権限が残っており、奪われれば悪用されます（ATT&CK T1078）。",
        en='Advisory A3: "Grant the least access and rights needed, limited to the period of the assignment (and promptly shrink'
        ' or remove them when it ends)." A right that outlives its period is one that a thief can use (ATT&CK T1078).',
    ),
    todo=(
        Text(ja="権限を直ちに取り消し、開いているセッションを終了させる。", en="Remove the right now; end its open sessions."),
        Text(ja="本人と承認者に、作業の申請と承認の有無を確認する。", en="Ask the person and the approver about request and approval."),
        Text(ja="期間外に行われた操作を検索し、正当性を確かめる。", en="Search what was done outside the period; verify it."),
        Text(
            ja="正当な延長であれば業務付与を登録する（警告は取り下げられる）。",
            en="If it is a legitimate extension, register the assignment.",
        ),
    ),
    columns=("person_uid", "service_name"),
    tables=("assignments", "accounts"),
    shown=("account", "service_name", "resource_name", "group_name", "api_operation", "src_endpoint_ip", "src_net_class",
           "device_asset", "session_uid"),
)  # fmt: skip
