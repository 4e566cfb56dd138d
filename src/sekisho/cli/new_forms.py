"""What `sekisho new` writes. The files load as they are; their cases fail until somebody fills them."""

SOURCE = '''"""NEW_ID: say whose log this is, and where a record comes from."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from sekisho.contract import Hints, Json, Recognise, Source
from sekisho.model import Text
from sekisho.ocsf import Event


class Record(Struct, gc=False):
    """Only what is mapped; everything else stays visible as ``unmapped``."""

    time: datetime
    user: str | None = None
    ip: str | None = None
    result: str | None = None


def to_event(record: Record, hints: Hints) -> Event:
    """OCSF class and columns (docs/reference/columns.md). A key left out means: not recorded."""
    return {
        "time": record.time,
        "class_uid": 3002,
        "activity_id": 1,
        "severity_id": 1,
        "status_id": {"success": 1, "failure": 2}.get(record.result or "", 0),
        "user_name": record.user,
        "service_name": "NEW_ID",
        "src_endpoint_ip": record.ip,
    }


SOURCE = Source(
    id="NEW_ID",
    title=Text(ja="NEW_ID のログ", en="Log of NEW_ID"),
    vendor="vendor",
    product="product",
    decode=Json(Record),
    map=to_event,
    recognise=Recognise(marks=(b'"NEW_ID"',)),
    reference="https://example.com/documentation-of-the-format",
    switch_on=Text(ja="有効にする方法を書く", en="Say how to switch it on"),
    advisory=("A10",),
)
'''

RULE = '''"""NEW_ID: say what it finds, and which sentence of the advisory asks for it."""

from __future__ import annotations

from sekisho.contract import Match, Rule, Told
from sekisho.model import Severity, Text


def tell(match: Match) -> Told:
    return Told(
        subject=str(match["account"] or match["user_name"]),
        anchor=str(match["local_day"]),
        severity=Severity.MEDIUM,
        what=Text(
            ja="{who} が {service_name} を使いました（{when}{from_ja}）。",
            en="{who} used {service_name} ({when}{from_en}).",
        ).fill(dict(match)),
    )


RULE = Rule(
    id="NEW_ID",
    title=Text(ja="何を見つけるか", en="What it finds"),
    advisory=("A10",),
    attack=("T1078",),
    # Each event by itself and by master data only: batch size and order must not matter.
    query="SELECT e.* FROM events e WHERE false",
    tell=tell,
    why=Text(ja="なぜ重要か", en="Why it matters"),
    todo=(
        Text(ja="今すべきこと", en="What to do now"),
        Text(ja="その次にすべきこと", en="What to do next"),
    ),
    columns=("time", "user_name"),
    shown=("user_name", "src_endpoint_ip"),
)
'''

SIGMA = """title: What it finds
id: NEW_UUID
status: experimental
description: Say why it matters.
author: Sekisho
date: 2026-01-01
tags:
    - attack.t1059
logsource:
    product: windows
    category: process_creation
detection:
    selection:
        Image|endswith: '\\nobody-yet.exe'
    condition: selection
level: medium
sekisho:
    advisory: [A10]
    ja:
        title: 何を見つけるか
        what: 何が起きたか。
        why: なぜ重要か
        todo: [今すべきこと, その次にすべきこと]
    en:
        title: What it finds
        what: What happened.
        why: Why it matters
        todo: [What to do now, What to do next]
"""

RULE_CASES = """# At least one case that fires and one that is silent, e.g.
#   - name: a logon at night
#     fires: {severity: medium, subject: emp0042}
#     events:
#       - {time: "2026-06-05T01:00:00+00:00", source: okta, class_uid: 3002, activity_id: 1, user_name: x}
tables: {}
systems: {}
cases: []
"""
