"""What is owed. All times are UTC."""

from __future__ import annotations

from django.db import models


class Kind(models.TextChoices):
    """``AUDIT``: journal ``body``, an OCSF event as JSON. ``PUBLISH``: give the master data to the data
    plane. ``JUDGE``: judge the stored past by them."""

    AUDIT = "audit"
    PUBLISH = "publish"
    JUDGE = "judge"


class Owed(models.Model):
    kind = models.CharField(max_length=8, choices=Kind.choices, db_index=True)
    at = models.DateTimeField()
    body = models.TextField(default="")

    def __str__(self) -> str:
        return f"{self.kind} {self.at:%Y-%m-%d %H:%M}"
