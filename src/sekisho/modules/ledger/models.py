"""The import of a file, and the version of a row. All times are UTC."""

from __future__ import annotations

from django.db import models


class Import(models.Model):
    """One file taken into one table, or the undoing of one (``undoes``). ``digest``: SHA-256 of the file."""

    table = models.CharField(max_length=40, db_index=True)
    at = models.DateTimeField()
    by = models.TextField()
    file = models.TextField()
    digest = models.CharField(max_length=64)
    complete = models.BooleanField(default=False)
    added = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    closed = models.PositiveIntegerField(default=0)
    withdrawn = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    undoes = models.OneToOneField("self", null=True, on_delete=models.PROTECT, related_name="undone_by")

    def __str__(self) -> str:
        return f"{self.table} {self.file} {self.at:%Y-%m-%d %H:%M}"


class Version(models.Model):
    """A row as Sekisho knew it from ``known_from`` until ``superseded_at`` (null: still)."""

    known_from = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)
    added_by = models.ForeignKey(Import, on_delete=models.PROTECT, related_name="+")
    superseded_by = models.ForeignKey(Import, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        abstract = True
