"""Settings of one installation: ``sekisho.toml`` in the data folder. Everything has a default."""

from sekisho.settings.load import FILE, load
from sekisho.settings.secret import secret
from sekisho.settings.shape import (
    Access,
    Collect,
    Enrich,
    Lake,
    Mail,
    Network,
    Notify,
    Pipeline,
    Role,
    Settings,
    Tls,
    Webhook,
)
from sekisho.settings.template import TEMPLATE

__all__ = [
    "FILE",
    "TEMPLATE",
    "Access",
    "Collect",
    "Enrich",
    "Lake",
    "Mail",
    "Network",
    "Notify",
    "Pipeline",
    "Role",
    "Settings",
    "Tls",
    "Webhook",
    "load",
    "secret",
]
