"""The app's registration."""

from __future__ import annotations

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    name = "sekisho.modules.outbox"
    label = "outbox"
