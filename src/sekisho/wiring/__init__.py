"""The one place that knows everybody: it opens things, hands them to each other and reads the clock.

Parts are imported when they are first asked for: the supervisor needs no DuckDB, the notifications no
receivers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sekisho.wiring.ahead import serve_ahead
    from sekisho.wiring.answering import Desk, socket_path
    from sekisho.wiring.asking import put
    from sekisho.wiring.clock import now, now_ns
    from sekisho.wiring.compacting import Compactor, open_compaction
    from sekisho.wiring.found import content
    from sekisho.wiring.handing import appending, audit, drain, migrate, offline, publish
    from sekisho.wiring.judging import Judged, judge_again, settle_judging
    from sekisho.wiring.owing import deliver_audit, judging_owed
    from sekisho.wiring.parts import Master, detector, open_enricher, systems
    from sekisho.wiring.plane import Plane, open_plane, quiet_gc, raise_alerts, usual_gc
    from sekisho.wiring.proving import place, prove
    from sekisho.wiring.questioning import Why, readable
    from sekisho.wiring.rebuilding import Rebuilt, rebuild
    from sekisho.wiring.receiving import Receivers, receivers
    from sekisho.wiring.seals import (
        key_files,
        seal_now,
        seal_offline,
        witness_dir,
        witness_key_files,
        witnessed_logs,
    )
    from sekisho.wiring.standing import Standing, Watch, watched
    from sekisho.wiring.unjudged import counted, still_unjudged

_PLACES = {
    "ahead": ("serve_ahead",),
    "answering": ("Desk", "socket_path"),
    "asking": ("put",),
    "clock": ("now", "now_ns"),
    "compacting": ("Compactor", "open_compaction"),
    "handing": ("appending", "audit", "drain", "migrate", "offline", "publish"),
    "found": ("content",),
    "judging": ("Judged", "judge_again", "settle_judging"),
    "owing": ("deliver_audit", "judging_owed"),
    "parts": ("Master", "detector", "open_enricher", "systems"),
    "plane": ("Plane", "open_plane", "quiet_gc", "raise_alerts", "usual_gc"),
    "proving": ("place", "prove"),
    "questioning": ("Why", "readable"),
    "rebuilding": ("Rebuilt", "rebuild"),
    "receiving": ("Receivers", "receivers"),
    "standing": ("Standing", "Watch", "watched"),
    "seals": (
        "key_files",
        "seal_now",
        "seal_offline",
        "witness_dir",
        "witness_key_files",
        "witnessed_logs",
    ),
    "unjudged": ("counted", "still_unjudged"),
}
_OF = {name: place for place, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_OF[name]}"), name)


__all__ = [
    "Compactor",
    "Desk",
    "Judged",
    "Master",
    "Plane",
    "Rebuilt",
    "Receivers",
    "Standing",
    "Watch",
    "Why",
    "appending",
    "audit",
    "content",
    "counted",
    "deliver_audit",
    "detector",
    "drain",
    "judge_again",
    "judging_owed",
    "key_files",
    "migrate",
    "now",
    "now_ns",
    "offline",
    "open_compaction",
    "open_enricher",
    "open_plane",
    "place",
    "prove",
    "publish",
    "put",
    "quiet_gc",
    "raise_alerts",
    "readable",
    "rebuild",
    "receivers",
    "seal_now",
    "seal_offline",
    "serve_ahead",
    "settle_judging",
    "socket_path",
    "still_unjudged",
    "systems",
    "usual_gc",
    "watched",
    "witness_dir",
    "witness_key_files",
    "witnessed_logs",
]
