"""A10: a log was cleared, or logging was stopped or weakened. Each event is judged by itself."""

from sekisho.contract import Match, Rule, Told
from sekisho.model import Severity, Text

SCOPE = """
source <> 'sekisho' AND (
  (class_uid = 1008 AND activity_id IN (1, 2, 7, 10)
   AND NOT (metadata_log_provider = 'EventLog' AND metadata_event_code = '6006'))
  OR (class_uid = 1008 AND activity_id = 5 AND metadata_log_provider = 'systemd-journald')
  OR (source = 'sysmon' AND metadata_event_code = '16')
  OR (source = 'cloudtrail' AND api_operation IN
      ('StopLogging', 'DeleteTrail', 'UpdateTrail', 'PutEventSelectors', 'PutInsightSelectors', 'DeleteEventDataStore',
       'StopEventDataStoreIngestion', 'DeleteFlowLogs', 'DeleteLogGroup', 'DeleteLogStream', 'DeleteDetector',
       'StopConfigurationRecorder', 'DeleteConfigurationRecorder', 'PutBucketLogging'))
  OR metadata_event_code IN ('audit_log_streaming.destroy', 'system.log_stream.lifecycle.delete',
                               'system.log_stream.lifecycle.deactivate', 'business.disable_audit_log_streaming')
)
"""

#: Also written by every orderly shutdown of a PC: worth keeping, not worth waking anybody.
AT_SHUTDOWN = frozenset(["1100"])
CLEARED = frozenset([1, 2])


def tell(match: Match) -> Told:
    code = match["metadata_event_code"] or ""
    failed = match["status_id"] == 2
    log = match["resource_name"] or match["metadata_log_name"] or match["policy_name"] or match["source"]
    host = (
        match["device_asset"]
        or match["device_hostname"]
        or match["cloud_account_uid"]
        or match["actor_user_domain"]
    )
    actor = match["actor_user_name"] or match["actor_user_email_addr"] or match["actor_user_uid"]
    facts = {
        **match,
        "log": log,
        "host_ja": f"、端末・環境 {host}" if host else "",
        "host_en": f" on {host}" if host else "",
        "actor_ja": actor or "不明",
        "actor_en": actor or "somebody unknown",
        "code_ja": f"、イベント {code}" if code else "",
        "code_en": f", event {code}" if code else "",
        "did_ja": "試みられました（失敗）" if failed else "行われました",
        "did_en": "was tried and refused" if failed else "was done",
    }
    cleared = match["class_uid"] == 1008 and match["activity_id"] in CLEARED
    what = Text(
        ja=("ログの消去" if cleared else "ログ記録の停止または設定変更")
        + "が{did_ja}：対象 {log}{host_ja}、実行者 {actor_ja}{code_ja}。{jst}{from_ja}。",
        en=("Clearing of a log" if cleared else "Stopping or changing of logging")
        + " {did_en}: {log}{host_en}, by {actor_en}{code_en}. {jst}{from_en}.",
    ).fill(facts)
    severity = Severity.HIGH
    if match["source"] == "windows" and code in AT_SHUTDOWN:
        severity = Severity.LOW
    elif (
        failed
        or match["source"] == "sysmon"
        or match["activity_id"] == 5  # rotated by hand: the step before the old journals are deleted
        or code in ("UpdateTrail", "PutEventSelectors", "PutInsightSelectors")
    ):
        severity = Severity.MEDIUM
    return Told(str(host or "-"), f"{log} {match['local_day']}", severity, what)


RULE = Rule(
    id="log-cleared",
    title=Text(ja="ログの消去・記録停止", en="Log cleared or logging stopped"),
    advisory=("A10", "R1", "R2", "R3"),
    attack=("T1070.001", "T1562.002", "T1562.008"),
    query="SELECT * FROM events",
    scope=SCOPE,
    tell=tell,
    why=Text(
        ja="注意喚起 A10「マルウェアに感染した後にログが消去されるリスクを考慮し、ログを集中的に保存・検索できる仕組みを構築し」。"
        "消去前のログは Sekisho に残っています。消去は侵害を隠す行為の典型です（ATT&CK T1070.001、T1562.008）。",
        en='Advisory A10: "considering … that logs may be erased after an infection, build a system that stores and searches'
        ' logs centrally." What was logged before is still in Sekisho. Erasing logs hides a compromise'
        " (ATT&CK T1070.001, T1562.008).",
    ),
    todo=(
        Text(
            ja="計画された作業でなければ端末の感染を疑い、電源を入れたままにする（R1）。",
            en="Unless it was planned work suspect an infection; keep the PC's power on (R1).",
        ),
        Text(ja="端末を速やかに隔離する（R2）。", en="Isolate the PC promptly (R2)."),
        Text(ja="メモリを優先して保全する（R3）。", en="Preserve the memory first (R3)."),
        Text(ja="消去前24時間のその端末・利用者のログを検索する。", en="Search the 24 hours before, for that host and user."),
        Text(ja="ログ記録を元に戻し、止まっていた期間を記録する。", en="Switch logging on again; note the gap."),
    ),
    columns=("class_uid", "activity_id", "metadata_event_code"),
    shown=("device_hostname", "actor_user_name", "metadata_event_code", "metadata_log_name", "resource_name", "api_operation",
           "status", "status_code", "src_endpoint_ip", "cloud_account_uid"),
)  # fmt: skip
