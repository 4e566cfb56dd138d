"""The app's registration."""

from __future__ import annotations

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "sekisho.modules.ledger"
    label = "ledger"
