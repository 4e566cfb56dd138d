"""What a person does by a command, as an event for the journal: the platform's own audit."""

from __future__ import annotations

import getpass
from datetime import datetime
from typing import Any, Literal

Activity = Literal[1, 3, 4]
CREATE: Activity = 1
UPDATE: Activity = 3
DELETE: Activity = 4


def event(
    kind: str, name: str, activity: Activity, done: str, message: str, *, now: datetime
) -> dict[str, Any]:
    """OCSF Entity Management (class 3004): ``kind`` of thing, its ``name``, what was ``done`` to it.

    ``message`` is read by anyone who may search the logs: no secret goes into it.
    """
    by = getpass.getuser()
    return {
        "class_uid": 3004,
        "category_uid": 3,
        "activity_id": activity,
        "type_uid": 300400 + activity,
        "time": int(now.timestamp() * 1000),
        "severity_id": 1,
        "status_id": 1,
        "status": "Success",
        "message": f"{message} by {by}",
        "actor": {"user": {"name": by}},
        "entity": {"name": name, "type": kind},
        "metadata": {
            "version": "1.8.0",
            "uid": f"{kind}-{name}-{done}-{int(now.timestamp() * 1_000_000)}",
            "event_code": f"{kind}.{done}",
            "log_name": "commands",
            "product": {"name": "Sekisho", "vendor_name": "Sekisho"},
        },
    }
