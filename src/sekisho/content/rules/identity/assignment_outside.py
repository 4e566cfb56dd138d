"""A3: access to a resource that assignments govern, outside every assignment of that person (+ 30 min)."""

from sekisho.contract import Match, Rule, Told
from sekisho.model import Severity, Text, moment

#: where a log names what was accessed
_NAMES = ("service_name", "resource_name", "resource_uid", "group_name", "dst_endpoint_hostname",
          "http_request_url_hostname")  # fmt: skip

SCOPE = """
source <> 'sekisho' AND status_id IS DISTINCT FROM 2 AND class_uid NOT IN (3001, 3004, 3005, 3006)
AND NOT (class_uid = 3002 AND activity_id IS NOT DISTINCT FROM 2)
"""

#: Every name by which an event says what was accessed, beside what assignments govern. Both queries below
#: read it, so that what is judged and what is counted as not judged are the same events.
_NAMED = f"""
governed AS (SELECT DISTINCT lower(trim(resource)) AS name FROM assignments),
named AS (
  SELECT event_uid, person_uid, account, unnest(list_distinct([{", ".join(f"lower(trim({name}))" for name in _NAMES)}])) AS name
  FROM events
)"""  # noqa: S608 - constant names

#: ``covered`` only saves work: whoever held the assignment all through the batch is inside.
#: Of assignments that end together the one with the greatest number is the last: always the same one (I5).
QUERY = f"""
WITH span AS (SELECT min(time) AS first, max(time) AS last FROM events),
{_NAMED},
covered AS (
  SELECT DISTINCT person_id, lower(trim(resource)) AS name FROM assignments, span
  WHERE valid_from <= first AND last <= valid_to + INTERVAL 30 MINUTE
),
outside AS (
  SELECT DISTINCT n.event_uid, n.name FROM named n SEMI JOIN governed g ON g.name = n.name
  ANTI JOIN covered c ON c.person_id = n.person_uid AND c.name = n.name
  WHERE n.person_uid IS NOT NULL
),
used AS (SELECT e.*, o.name AS governed FROM outside o JOIN events e USING (event_uid)),
given AS (
  SELECT u.event_uid, u.governed,
         bool_or(u.time >= a.valid_from AND u.time <= a.valid_to + INTERVAL 30 MINUTE) AS inside,
         arg_max(a.assignment_id, (a.valid_to, a.assignment_id)) FILTER (a.valid_to < u.time) AS last_assignment,
         max(a.valid_to) FILTER (a.valid_to < u.time) AS last_end,
         arg_max(coalesce(a.approver, ''), (a.valid_to, a.assignment_id)) FILTER (a.valid_to < u.time) AS last_approver,
         min(a.valid_from) FILTER (a.valid_from > u.time) AS next_start
  FROM used u JOIN assignments a ON a.person_id = u.person_uid AND lower(trim(a.resource)) = u.governed
  GROUP BY u.event_uid, u.governed
)
SELECT u.*, g.last_assignment, g.last_end, g.last_approver, g.next_start
FROM used u LEFT JOIN given g USING (event_uid, governed)
WHERE NOT coalesce(g.inside, false)
"""  # noqa: S608 - constant text

UNJUDGED = f"""
WITH {_NAMED}
SELECT CASE WHEN account IS NULL THEN 'access to a governed resource of which the log names no account'
       ELSE 'access to a governed resource by an account that no person holds' END AS reason,
       count(DISTINCT event_uid) AS events
FROM named SEMI JOIN governed USING (name) WHERE person_uid IS NULL GROUP BY 1
"""  # noqa: S608 - constant text


def tell(match: Match) -> Told:
    approver = match["last_approver"]
    by_ja, by_en = (f"（承認者 {approver}）", f" (approved by {approver})") if approver else ("", "")
    if match["last_end"] is not None:
        end = moment(match["last_end"], match["zone"])
        ja = f"最後の業務付与 {match['last_assignment']}{by_ja}は {end} に終了"
        en = f"the last assignment, {match['last_assignment']}{by_en}, ended {end}"
    elif match["next_start"] is not None:
        start = moment(match["next_start"], match["zone"])
        ja, en = f"業務付与の開始は {start}", f"the assignment begins only on {start}"
    else:
        ja, en = "この対象の業務付与は一度もない", "there never was an assignment to it"
    what = Text(
        ja="{who} が業務付与期間外に「{used}」へアクセスしました（{ja}）。{when}、アカウント {account}{from_ja}、"
        "ログ {source}。",
        en='{who} accessed "{used}" outside every assignment: {en}. {when}, account {account}{from_en}, log {source}.',
    ).fill({**match, "ja": ja, "en": en, "used": _as_logged(match)})
    anchor = f"{match['last_assignment'] or 'none'} {match['local_day']}"
    return Told(f"{match['person_uid']} {match['governed']}", anchor, Severity.HIGH, what)


def _as_logged(match: Match) -> str:
    """The resource in the log's own letters."""
    names = (str(match[name]) for name in _NAMES if match[name])
    return next((name for name in names if name.lower() == match["governed"]), match["governed"])


RULE = Rule(
    id="assignment-outside",
    title=Text(ja="業務付与期間外のアクセス", en="Access outside the period of the assignment"),
    advisory=("A3",),
    attack=("T1078",),
    query=QUERY,
    scope=SCOPE,
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
            ja="正当な延長であれば、業務付与を登録したうえで、このアラートを「正当」として閉じる。",
            en="If it is a legitimate extension: register the assignment, then close this alert as legitimate.",
        ),
    ),
    columns=("person_uid",),
    tables=("assignments", "accounts"),
    shown=("account", "service_name", "resource_name", "group_name", "api_operation", "src_endpoint_ip", "src_net_class",
           "device_asset", "session_uid"),
)  # fmt: skip
