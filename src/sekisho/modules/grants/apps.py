"""The app's registration."""

from __future__ import annotations

from django.apps import AppConfig


class GrantsConfig(AppConfig):
    name = "sekisho.modules.grants"
    label = "grants"
