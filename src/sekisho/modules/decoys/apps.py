"""The app's registration."""

from __future__ import annotations

from django.apps import AppConfig


class DecoysConfig(AppConfig):
    name = "sekisho.modules.decoys"
    label = "decoys"
