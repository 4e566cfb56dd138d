"""The one place that knows everybody: it opens things, hands them to each other and reads the clock."""

from sekisho.wiring.ahead import serve_ahead
from sekisho.wiring.clock import now, now_ns
from sekisho.wiring.handing import appending, audit, drain, migrate, offline, publish
from sekisho.wiring.parts import Master, content, detector, open_enricher, systems
from sekisho.wiring.plane import Plane, open_plane, quiet_gc, raise_alerts, usual_gc
from sekisho.wiring.receivers import Receivers, receivers
from sekisho.wiring.trial import run_trial, trial

__all__ = [
    "Master",
    "Plane",
    "Receivers",
    "appending",
    "audit",
    "content",
    "detector",
    "drain",
    "migrate",
    "now",
    "now_ns",
    "offline",
    "open_enricher",
    "open_plane",
    "publish",
    "quiet_gc",
    "raise_alerts",
    "receivers",
    "run_trial",
    "serve_ahead",
    "systems",
    "trial",
    "usual_gc",
]
