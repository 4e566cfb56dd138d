"""Versions of assignments (columns: ``sekisho.contract.tables``)."""

from __future__ import annotations

from django.db import models

from sekisho.modules.ledger.models import Version


class Assignment(Version):
    """A right given to a person for a period."""

    assignment_id = models.CharField(max_length=500)
    person_id = models.CharField(max_length=500)
    resource = models.CharField(max_length=500)
    right = models.CharField(max_length=500, blank=True)
    approver = models.CharField(max_length=500, blank=True)
    ticket = models.CharField(max_length=500, blank=True)
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("assignment_id",),
                condition=models.Q(superseded_at=None),
                name="assignments_one_current",
            ),
        )

    def __str__(self) -> str:
        return self.assignment_id
