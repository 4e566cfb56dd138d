"""A Windows event, whatever shipped it: EVTX, event XML, Winlogbeat JSON, NXLog JSON."""

from __future__ import annotations

from datetime import datetime

import msgspec


class WindowsEvent(msgspec.Struct, gc=False):
    """System part as fields, EventData/UserData in ``rest``.

    A mapping *pops* what it uses from ``rest``; what is left becomes the event's ``unmapped``.
    ``time`` carries its offset (Windows writes UTC in ``SystemTime``).
    """

    provider: str
    event_id: int
    channel: str
    computer: str
    time: datetime
    rest: dict[str, str]
    record_id: int | None = None
    level: int | None = None
    opcode: int | None = None
    process_id: int | None = None
    user_sid: str | None = None
    activity_id: str | None = None
    message: str | None = None
