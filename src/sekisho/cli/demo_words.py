"""What the demo says, in both languages."""

from __future__ import annotations

from sekisho.model import Text

WORDS: dict[str, Text] = {
    "making": Text(
        ja="架空の暗号資産交換業者「例示取引所」（従業員 {people} 名、うち海外2名）の2週間を作っています…",
        en="Making two weeks of a fictional exchange, Reiji Exchange ({people} people in Tokyo, two abroad)…",
    ),
    "made": Text(
        ja="{records} 件のログ（{start} ～ {end}）、攻撃 {acts} 場面、紛らわしいが無害な {alike} 場面。",
        en="{records} records ({start} to {end}), {acts} acts of an attack, {alike} harmless look-alikes.",
    ),
    "starting": Text(
        ja="関所を起動しています（sekisho --data {data} up）…",
        en="Starting Sekisho (sekisho --data {data} up)…",
    ),
    "importing": Text(
        ja="従業員・アカウント・端末・業務付与・ネットワーク・ダミーの台帳を取り込んでいます…",
        en="Importing people, accounts, devices, assignments, networks and decoys…",
    ),
    "sending": Text(
        ja="実際の受信口へ送っています（HEC、_bulk、OTLP、NDJSON、syslog TCP）。",
        en="Sending through the real receivers (HEC, _bulk, OTLP, NDJSON, syslog TCP).",
    ),
    "processing": Text(ja="処理", en="processed"),
    "account": Text(
        ja="収支：送信 {sent} = イベント {events} + 拒否 {rejects} + 重複として畳んだもの {duplicates}",
        en="Account: sent {sent} = events {events} + rejects {rejects} + folded as repeated {duplicates}",
    ),
    "account_off": Text(
        ja="収支が合いません：送信 {sent}、イベント {events}、拒否 {rejects}、重複 {duplicates}、"
        "残り {backlog}",
        en="The account does not balance: sent {sent}, events {events}, rejects {rejects}, "
        "folded {duplicates}, backlog {backlog}",
    ),
    "rate": Text(
        ja="送信開始から検索・検知の完了まで {seconds} 秒（毎秒 {rate} 件）",
        en="{seconds} s from the first record sent until all were searchable and judged ({rate} a second)",
    ),
    "reject": Text(ja="拒否 {count} 件：{source} {code}", en="{count} rejected: {source} {code}"),
    "alerts": Text(ja="アラート（読むべき順）", en="Alerts, in the order in which to read them"),
    "why": Text(ja="なぜ重要か", en="Why"),
    "evidence": Text(ja="根拠", en="Evidence"),
    "todo": Text(ja="今すべきこと", en="Now"),
    "more": Text(ja="全文：{command}", en="In full: {command}"),
    "compare": Text(ja="正解との照合（仕込んだ場面 → 見つけたアラート）", en="Planted act → found by alert"),
    "when": Text(ja="日時 (JST)", en="when (JST)"),
    "act": Text(ja="仕込んだ場面", en="planted act"),
    "ids": Text(ja="注意喚起", en="advisory"),
    "by": Text(ja="見つけたアラート", en="found by"),
    "not_yet": Text(ja="同梱の規則ではまだ検知できない", en="not yet detectable by shipped rules"),
    "missed": Text(ja="見逃し（期待した規則：{rules}）", en="MISSED (expected: {rules})"),
    "alike": Text(ja="紛らわしいが無害（沈黙が正解）", en="Harmless look-alikes (silence is right)"),
    "silent": Text(ja="沈黙", en="silent"),
    "spoke": Text(ja="誤報：{rules}", en="FALSE ALARM: {rules}"),
    "strays": Text(
        ja="仕込みに無い記録へのアラート（誤報として数えます）",
        en="Alerts on records that were not planted (counted as false alarms)",
    ),
    "no_strays": Text(
        ja="日常のログ {records} 件に対するアラートはありません。",
        en="No alert on {records} everyday records.",
    ),
    "score": Text(
        ja="検知できるはずの {required} 場面のうち {found} 場面を発見、誤報 {false} 件、"
        "まだ検知できない {not_yet} 場面。",
        en="{found} of {required} detectable acts found, {false} false alarms, "
        "{not_yet} acts not yet detectable.",
    ),
    "searches": Text(ja="検索を三つ試してください", en="Three searches to try"),
    "search1": Text(
        ja="攻撃者の住宅回線のアドレスが触れたものすべて", en="All that the intruder's home line touched"
    ),
    "search2": Text(ja="登録されたばかりのドメインへの通信", en="Traffic to the young domain"),
    "search3": Text(
        ja="被害者の深夜の行動", en="What the victim's accounts did in the night after the infection"
    ),
    "running": Text(
        ja="関所は動き続けています。Ctrl-C で終了します。", en="Sekisho keeps running. Ctrl-C ends it."
    ),
    "stopped": Text(ja="終了しました。", en="Stopped."),
    "died": Text(ja="関所が止まりました。記録：{log}", en="Sekisho has stopped; see {log}"),
    "kept": Text(ja="データは {data} に残しました。", en="The data stays in {data}."),
    "sev1": Text(ja="情報", en="informational"),
    "sev2": Text(ja="低", en="low"),
    "sev3": Text(ja="中", en="medium"),
    "sev4": Text(ja="高", en="high"),
    "sev5": Text(ja="重大", en="critical"),
}
