"""Saved searches. Times are UTC."""

from __future__ import annotations

from django.db import models


class Saved(models.Model):
    """``query`` may hold parameters: ``{user}``. ``kind``: the search language, or SQL."""

    class Kind(models.TextChoices):
        SEARCH = "search"
        SQL = "sql"

    name = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=6, choices=Kind.choices, default=Kind.SEARCH)
    query = models.TextField()
    since = models.CharField(max_length=64, blank=True)
    about_ja = models.CharField(max_length=500, blank=True)
    about_en = models.CharField(max_length=500, blank=True)
    made_by = models.CharField(max_length=200)
    made_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
