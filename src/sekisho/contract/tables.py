"""Master data: the tables that a person fills (CSV, xlsx) and that enrichment and rules read.

Each ``Table`` is declared once. The import, the export, the Arrow schema of the published context
and the reference page are computed from it. Every published row also carries ``known_from`` (when
Sekisho was told).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from sekisho.model import Text
from sekisho.ocsf import TIME

Kind = Literal["text", "time", "date-or-time", "bool", "choice", "zone", "country", "cidr", "email"]


@dataclass(frozen=True)
class Field:
    """One column. ``time`` needs a UTC offset; a bare date (``date-or-time``) means local midnight
    in the row's ``zone``: the start of that day in a ``*_start``/``valid_from`` column, its end in a
    ``*_end``/``valid_to`` column."""

    name: str
    kind: Kind
    doc: Text
    example: str
    required: bool = False
    choices: tuple[str, ...] = ()
    default: str = ""


@dataclass(frozen=True)
class Table:
    """``key`` names the columns that identify a row over its history. ``refers`` maps a column to the
    table whose first key column it must name. ``interval`` names the validity columns."""

    name: str
    title: Text
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    interval: tuple[str, str]
    refers: tuple[tuple[str, str], ...] = ()
    #: columns that are stored and published only as a keyed hash (never in clear)
    hashed: tuple[str, ...] = ()

    def schema(self) -> pa.Schema:
        """Arrow schema of the published context: times in UTC µs, texts, booleans; + known_from."""
        kinds = {"time": TIME, "date-or-time": TIME, "bool": pa.bool_()}
        fields = [pa.field(f.name, kinds.get(f.kind, pa.string())) for f in self.fields]
        return pa.schema([*fields, pa.field("known_from", TIME)])


_FROM = Field(
    "valid_from",
    "time",
    Text(ja="有効期間の開始", en="start of validity"),
    "2026-04-01T09:00:00+09:00",
    required=True,
)
_TO = Field(
    "valid_to",
    "time",
    Text(ja="有効期間の終了（空欄：未定）", en="end of validity (empty: open)"),
    "2026-09-30T18:00:00+09:00",
)
_PERSON = Field("person_id", "text", Text(ja="従業員番号", en="employee number"), "emp0042", required=True)

PEOPLE = Table(
    name="people",
    title=Text(ja="従業員", en="People"),
    fields=(
        _PERSON,
        Field("name", "text", Text(ja="氏名", en="name"), "関 守", required=True),
        Field("email", "email", Text(ja="メールアドレス", en="mail address"), "mamoru.seki@example.jp"),
        Field(
            "role_class",
            "choice",
            Text(ja="職務区分", en="role class"),
            "developer",
            choices=("office", "developer", "privileged", "wallet-operator"),
            default="office",
        ),
        Field("country", "country", Text(ja="居住国", en="country of residence"), "JP", required=True),
        Field("prefecture", "text", Text(ja="居住都道府県", en="prefecture or state"), "東京都"),
        Field(
            "zone", "zone", Text(ja="勤務地の時間帯", en="work time zone (IANA)"), "Asia/Tokyo", required=True
        ),
        Field(
            "employment_start",
            "date-or-time",
            Text(ja="在籍開始", en="start of employment"),
            "2024-04-01",
            required=True,
        ),
        Field(
            "employment_end",
            "date-or-time",
            Text(ja="在籍終了（空欄：在籍中）", en="end of employment (empty: employed)"),
            "2026-03-31T18:00:00+09:00",
        ),
    ),
    key=("person_id", "employment_start"),
    interval=("employment_start", "employment_end"),
)

ACCOUNTS = Table(
    name="accounts",
    title=Text(ja="アカウント", en="Accounts"),
    fields=(
        Field(
            "system",
            "text",
            Text(ja="システム（* はすべて）", en="system (* = every system)"),
            "okta",
            required=True,
        ),
        Field(
            "account",
            "text",
            Text(
                ja="ログに現れるアカウント名・ID・メールアドレス・アクセスキー",
                en="name, id, mail address or access key as it appears in logs",
            ),
            "mamoru.seki@example.jp",
            required=True,
        ),
        Field(
            "person_id",
            "text",
            Text(ja="従業員番号（空欄：システム用）", en="holder (empty: service account)"),
            "emp0042",
        ),
        Field(
            "kind",
            "choice",
            Text(ja="種別", en="kind"),
            "human",
            choices=("human", "service", "token"),
            default="human",
        ),
        Field("privileged", "bool", Text(ja="特権", en="privileged"), "no", default="no"),
        Field(
            "mfa_required",
            "bool",
            Text(ja="多要素認証を必須とするか", en="multi-factor authentication demanded"),
            "yes",
            default="yes",
        ),
        _FROM,
        _TO,
    ),
    key=("system", "account", "valid_from"),
    interval=("valid_from", "valid_to"),
    refers=(("person_id", "people"),),
)

DEVICES = Table(
    name="devices",
    title=Text(ja="端末", en="Devices"),
    fields=(
        Field("asset_tag", "text", Text(ja="資産番号", en="asset tag"), "PC-0042", required=True),
        Field(
            "form",
            "choice",
            Text(ja="種類", en="form"),
            "pc",
            choices=("pc", "phone", "server", "vdi"),
            default="pc",
        ),
        Field("hostname", "text", Text(ja="ホスト名", en="host name"), "tyo-pc-0042", required=True),
        Field("agent_id", "text", Text(ja="EDR・MDM の端末 ID", en="EDR or MDM id"), "7f3a9c1e5b2d4f60"),
        Field("os", "text", Text(ja="OS", en="operating system"), "Windows 11"),
        Field("person_id", "text", Text(ja="貸与先の従業員番号", en="issued to"), "emp0042"),
        _FROM,
        _TO,
    ),
    key=("asset_tag", "valid_from"),
    interval=("valid_from", "valid_to"),
    refers=(("person_id", "people"),),
)

ASSIGNMENTS = Table(
    name="assignments",
    title=Text(ja="業務付与", en="Assignments"),
    fields=(
        Field(
            "assignment_id",
            "text",
            Text(ja="業務付与番号", en="assignment number"),
            "ASG-2026-017",
            required=True,
        ),
        _PERSON,
        Field(
            "resource",
            "text",
            Text(
                ja="対象（ログに現れるサービス名・リソース名・グループ名）",
                en="service, resource or group as it appears in logs",
            ),
            "Wallet Console",
            required=True,
        ),
        Field("right", "text", Text(ja="権限", en="right granted"), "operator"),
        Field("approver", "text", Text(ja="承認者の従業員番号", en="approver"), "emp0003"),
        Field("ticket", "text", Text(ja="申請番号", en="ticket"), "REQ-1182"),
        _FROM,
        Field(
            "valid_to",
            "time",
            Text(ja="業務付与期間の終了", en="end of the assignment"),
            "2026-09-30T18:00:00+09:00",
            required=True,
        ),
    ),
    key=("assignment_id",),
    interval=("valid_from", "valid_to"),
    refers=(("person_id", "people"), ("approver", "people")),
)

NETWORKS = Table(
    name="networks",
    title=Text(ja="ネットワーク", en="Networks"),
    fields=(
        Field("cidr", "cidr", Text(ja="アドレス範囲", en="address range"), "203.0.113.0/24", required=True),
        Field("name", "text", Text(ja="名称", en="name"), "東京本社", required=True),
        Field(
            "net_class",
            "choice",
            Text(ja="区分", en="class"),
            "own-egress",
            required=True,
            choices=(
                "own-egress",
                "own-vpn",
                "relay",
                "vpn",
                "tor",
                "hosting",
                "satellite",
                "mobile",
                "fixed",
            ),
        ),
        Field("country", "country", Text(ja="国", en="country"), "JP"),
        _FROM,
        _TO,
    ),
    key=("cidr", "valid_from"),
    interval=("valid_from", "valid_to"),
)

DECOYS = Table(
    name="decoys",
    title=Text(ja="ダミーの認証情報", en="Decoys"),
    fields=(
        Field("decoy_id", "text", Text(ja="ダミー番号", en="decoy number"), "DCY-0042", required=True),
        Field(
            "kind",
            "choice",
            Text(ja="種別", en="kind"),
            "password",
            choices=("password", "cookie", "cloud-key", "token", "ssh-key"),
            default="password",
        ),
        Field(
            "identifier",
            "text",
            Text(
                ja="ログに現れる利用者名またはキー（鍵付きハッシュとしてのみ保存）",
                en="user name or key as it would appear in logs (stored only as a keyed hash)",
            ),
            "svc-treasury-bk",
            required=True,
        ),
        Field(
            "asset_tag",
            "text",
            Text(ja="仕掛けた端末の資産番号", en="PC on which it was planted"),
            "PC-0042",
            required=True,
        ),
        Field("place", "text", Text(ja="仕掛けた場所", en="where on the PC"), "Chrome"),
        _FROM,
        _TO,
    ),
    key=("decoy_id",),
    interval=("valid_from", "valid_to"),
    refers=(("asset_tag", "devices"),),
    hashed=("identifier",),
)

TABLES: dict[str, Table] = {
    table.name: table for table in (PEOPLE, ACCOUNTS, DEVICES, ASSIGNMENTS, NETWORKS, DECOYS)
}
