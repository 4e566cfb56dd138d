"""The app's registration."""

from __future__ import annotations

from django.apps import AppConfig


class PeopleConfig(AppConfig):
    name = "sekisho.modules.people"
    label = "people"
