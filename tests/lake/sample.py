"""Events for the tests of the lake, made from a seed."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from sekisho.ocsf import EVENT_SCHEMA

START = datetime(2026, 5, 14, 0, 0, tzinfo=UTC)


def uid(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows with what they say; the key columns are filled in where left out."""
    filled = [
        {
            "time": START + timedelta(seconds=number),
            "class_uid": 3002,
            "activity_id": 1,
            "event_uid": uid(f"row {number}"),
            "source": "okta",
            "journal_offset": number,
            "ingested_at": START + timedelta(days=1),
            "receiver": "hec",
            "raw": f'{{"n":{number}}}',
        }
        | dict(row)
        for number, row in enumerate(rows)
    ]
    return pa.Table.from_pylist(filled, schema=EVENT_SCHEMA)


def batch(start: int, count: int, **same: Any) -> pa.Table:
    return table(
        [
            {
                "time": START + timedelta(seconds=start + n),
                "event_uid": uid(f"event {start + n}"),
                "journal_offset": start + n,
                "user_name": f"emp{(start + n) % 40:04d}",
                "raw": f'{{"actor":"emp{(start + n) % 40:04d}","n":{start + n}}}',
                **same,
            }
            for n in range(count)
        ]
    )


def mixed(seed: int, count: int) -> pa.Table:
    """Events of several sources with addresses, hosts and texts, in no order of time."""
    dice = random.Random(seed)
    rows = []
    for number in range(count):
        person = f"emp{dice.randrange(40):04d}"
        address = dice.choice(["203.0.113.", "198.51.100.", "192.0.2."]) + str(dice.randrange(256))
        status = dice.choice([1, 2, None])
        rows.append(
            {
                "time": START + timedelta(seconds=dice.uniform(0, 3 * 86_400)),
                "event_uid": uid(f"{seed} {number}"),
                "source": dice.choice(["okta", "sshd", "squid", "sysmon"]),
                "class_uid": dice.choice([3002, 4002, 4003, 1007]),
                "severity_id": dice.choice([1, 2, 3, None]),
                "status_id": status,
                "status": {1: "SUCCESS", 2: "Failure", None: None}[status],
                "user_name": dice.choice([person, person.upper(), None]),
                "person_uid": dice.choice([person, None]),
                "account": f"{person}@example.jp",
                "src_endpoint_ip": dice.choice([address, None, "2001:db8::1"]),
                "dst_endpoint_ip": dice.choice([address, None]),
                "dst_endpoint_port": dice.choice([22, 443, 8080, None]),
                "query_hostname": dice.choice(["www.example.com", "evil.example", "cdn.example.net", None]),
                "is_mfa": dice.choice([True, False, None]),
                "src_country": dice.choice(["JP", "US", None]),
                "message": dice.choice(["Accepted publickey", "Failed password", "関所 を通過", None]),
                "raw": f'{{"u":"{person}","q":"{dice.choice(["Evil.Example", "ok", "50%_x"])}"}}',
                "journal_offset": number,
            }
        )
    return table(rows)
