"""Settings of one installation: ``sekisho.toml`` in the data folder. Everything has a default."""

from sekisho.settings.load import load
from sekisho.settings.shape import (
    Collect,
    Enrich,
    Lake,
    Mail,
    Network,
    Notify,
    Pipeline,
    Settings,
    Tls,
    Webhook,
)

__all__ = [
    "Collect",
    "Enrich",
    "Lake",
    "Mail",
    "Network",
    "Notify",
    "Pipeline",
    "Settings",
    "Tls",
    "Webhook",
    "load",
]
