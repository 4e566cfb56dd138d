"""The app's registration."""

from __future__ import annotations

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "sekisho.modules.alerts"
    label = "alerts"
