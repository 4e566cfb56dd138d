"""Versions of decoys (columns: ``sekisho.contract.tables``)."""

from __future__ import annotations

from django.db import models

from sekisho.modules.ledger.models import Version


class Decoy(Version):
    """A planted dummy credential. ``identifier`` holds its keyed hash (hexadecimal), never the clear text."""

    decoy_id = models.CharField(max_length=500)
    kind = models.CharField(max_length=500, blank=True)
    identifier = models.CharField(max_length=500)
    asset_tag = models.CharField(max_length=500)
    place = models.CharField(max_length=500, blank=True)
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("decoy_id",), condition=models.Q(superseded_at=None), name="decoys_one_current"
            ),
        )

    def __str__(self) -> str:
        return self.decoy_id
