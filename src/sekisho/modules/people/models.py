"""Versions of people, accounts, devices and networks (columns: ``sekisho.contract.tables``)."""

from __future__ import annotations

from django.db import models

from sekisho.modules.ledger.models import Version


class Person(Version):
    """One employment of a person."""

    person_id = models.CharField(max_length=500)
    name = models.CharField(max_length=500)
    email = models.CharField(max_length=500, blank=True)
    role_class = models.CharField(max_length=500, blank=True)
    country = models.CharField(max_length=500)
    prefecture = models.CharField(max_length=500, blank=True)
    zone = models.CharField(max_length=500)
    employment_start = models.DateTimeField()
    employment_end = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("person_id", "employment_start"),
                condition=models.Q(superseded_at=None),
                name="people_one_current",
            ),
        )

    def __str__(self) -> str:
        return self.person_id


class Account(Version):
    """An account, alias, token or key, and who holds it."""

    system = models.CharField(max_length=500)
    account = models.CharField(max_length=500)
    person_id = models.CharField(max_length=500, blank=True)
    kind = models.CharField(max_length=500, blank=True)
    privileged = models.BooleanField()
    mfa_required = models.BooleanField()
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("system", "account", "valid_from"),
                condition=models.Q(superseded_at=None),
                name="accounts_one_current",
            ),
        )

    def __str__(self) -> str:
        return self.system


class Device(Version):
    """A device and to whom it is issued."""

    asset_tag = models.CharField(max_length=500)
    form = models.CharField(max_length=500, blank=True)
    hostname = models.CharField(max_length=500)
    agent_id = models.CharField(max_length=500, blank=True)
    os = models.CharField(max_length=500, blank=True)
    person_id = models.CharField(max_length=500, blank=True)
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("asset_tag", "valid_from"),
                condition=models.Q(superseded_at=None),
                name="devices_one_current",
            ),
        )

    def __str__(self) -> str:
        return self.asset_tag


class Network(Version):
    """A range of addresses of the organisation, or one that it knows."""

    cidr = models.CharField(max_length=500)
    name = models.CharField(max_length=500)
    net_class = models.CharField(max_length=500)
    country = models.CharField(max_length=500, blank=True)
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("cidr", "valid_from"),
                condition=models.Q(superseded_at=None),
                name="networks_one_current",
            ),
        )

    def __str__(self) -> str:
        return self.cidr
