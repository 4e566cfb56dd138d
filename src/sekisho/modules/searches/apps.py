"""The app's registration."""

from __future__ import annotations

from django.apps import AppConfig


class SearchesConfig(AppConfig):
    name = "sekisho.modules.searches"
    label = "searches"
