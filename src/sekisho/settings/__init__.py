"""Settings of one installation: ``sekisho.toml`` in the data folder. Everything has a default."""

from sekisho.settings.load import FILE, load
from sekisho.settings.secret import secret
from sekisho.settings.shape import (
    Archive,
    Collect,
    Enrich,
    Keep,
    KeepSource,
    Lake,
    Mail,
    Network,
    Notify,
    Pipeline,
    Seal,
    SealFile,
    SealSyslog,
    SealWebhook,
    SealWitness,
    Settings,
    Tls,
    Webhook,
    Witness,
    WitnessLog,
)
from sekisho.settings.template import TEMPLATE

__all__ = [
    "FILE",
    "TEMPLATE",
    "Archive",
    "Collect",
    "Enrich",
    "Keep",
    "KeepSource",
    "Lake",
    "Mail",
    "Network",
    "Notify",
    "Pipeline",
    "Seal",
    "SealFile",
    "SealSyslog",
    "SealWebhook",
    "SealWitness",
    "Settings",
    "Tls",
    "Webhook",
    "Witness",
    "WitnessLog",
    "load",
    "secret",
]
