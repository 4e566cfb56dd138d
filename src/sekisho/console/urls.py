"""Addresses of the console. The screens bring theirs; without screens there is none."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
