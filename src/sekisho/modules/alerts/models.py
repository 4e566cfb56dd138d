"""Alert, its evidence, its history, and the messages about it. All times are UTC."""

from __future__ import annotations

from django.db import models

from sekisho.model import Language, Text

#: Evidence rows kept per alert: the earliest ones. More is shown as "1,000 or more".
EVIDENCE_KEPT = 1000


class State(models.TextChoices):
    NEW = "new"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


class Reason(models.TextChoices):
    """Why an alert was closed. ``withdrawn``: by the platform itself, after a correction."""

    TRUE_POSITIVE = "true-positive"
    FALSE_POSITIVE = "false-positive"
    BENIGN = "benign"
    TEST = "test"
    DUPLICATE = "duplicate"
    WITHDRAWN = "withdrawn"


class Alert(models.Model):
    """One alert per ``Finding.uid``. Texts are those of the leading evidence: the one with the highest
    severity, then the earliest time, then the smallest event_uid (``lead_*``).

    ``count``  distinct events behind it, at most ``EVIDENCE_KEPT``
    ``more``   there were more than are kept
    ``zone``   IANA zone of the person, empty where unknown
    """

    uid = models.CharField(max_length=32, primary_key=True)
    rule = models.CharField(max_length=200, db_index=True)
    subject = models.TextField()
    anchor = models.TextField()
    severity = models.PositiveSmallIntegerField()
    title_ja = models.TextField()
    title_en = models.TextField()
    what_ja = models.TextField()
    what_en = models.TextField()
    why_ja = models.TextField()
    why_en = models.TextField()
    todo = models.JSONField(default=list)  # [[ja, en], ...]
    advisory = models.JSONField(default=list)  # ["A9", ...]
    attack = models.JSONField(default=list)  # ["T1078", ...]
    author = models.TextField(blank=True)
    person = models.TextField(blank=True, db_index=True)
    zone = models.TextField(blank=True)
    first_time = models.DateTimeField()
    last_time = models.DateTimeField()
    count = models.PositiveIntegerField()
    more = models.BooleanField(default=False)
    lead_severity = models.PositiveSmallIntegerField()
    lead_time = models.DateTimeField()
    lead_uid = models.CharField(max_length=64)
    state = models.CharField(max_length=20, choices=State.choices, default=State.NEW)
    reason = models.CharField(max_length=20, choices=Reason.choices, blank=True)
    closed_by = models.TextField(blank=True)
    closed_at = models.DateTimeField(null=True)
    created = models.DateTimeField()
    updated = models.DateTimeField()

    class Meta:
        ordering = ("-severity", "first_time", "uid")  # the order in which a person should read
        indexes = (models.Index(fields=("state", "-severity", "first_time"), name="alert_reading_order"),)

    def __str__(self) -> str:
        return f"{self.uid[:8]} {self.rule}"

    @property
    def title(self) -> Text:
        return Text(ja=self.title_ja, en=self.title_en)

    @property
    def what(self) -> Text:
        return Text(ja=self.what_ja, en=self.what_en)

    @property
    def why(self) -> Text:
        return Text(ja=self.why_ja, en=self.why_en)

    def steps(self, language: Language) -> list[str]:
        return [ja if language == "ja" else en for ja, en in self.todo]


class AlertEvidence(models.Model):
    """One event behind an alert; ``facts`` is a list of [column, value]."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="evidence")
    event_uid = models.CharField(max_length=64)
    time = models.DateTimeField()
    source = models.TextField()
    facts = models.JSONField(default=list)

    class Meta:
        ordering = ("time", "event_uid")
        constraints = (models.UniqueConstraint(fields=("alert", "event_uid"), name="evidence_once"),)

    def __str__(self) -> str:
        return self.event_uid


class AlertHistory(models.Model):
    """What happened to an alert: raised, corrected, severity-risen, acknowledged, closed, reopened,
    withdrawn, note."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="history")
    at = models.DateTimeField()
    by = models.TextField()
    action = models.CharField(max_length=30)
    note = models.TextField(blank=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.alert_id} {self.action}"


class Message(models.Model):
    """One message on one channel: about one alert, or a digest of many. ``key`` stays the same over
    all tries, so that a receiver can drop a repetition (Message-ID, Idempotency-Key)."""

    class State(models.TextChoices):
        WAITING = "waiting"
        SENDING = "sending"
        SENT = "sent"
        DEAD = "dead"

    channel = models.TextField()
    key = models.CharField(max_length=32, unique=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    tries = models.PositiveSmallIntegerField(default=0)
    created = models.DateTimeField()
    due_at = models.DateTimeField()
    error = models.TextField(blank=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (models.Index(fields=("state", "due_at"), name="message_due"),)

    def __str__(self) -> str:
        return f"{self.key[:8]} {self.channel}"


class Delivery(models.Model):
    """The duty to tell one channel of one alert, written in the transaction that raised it. ``cause``:
    ``new``, ``severity-4``, ``reopened-<time>``. It waits until the worker puts it into a message."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.TextField()
    cause = models.CharField(max_length=60)
    created = models.DateTimeField()
    message = models.ForeignKey(Message, null=True, on_delete=models.CASCADE, related_name="deliveries")

    class Meta:
        constraints = (models.UniqueConstraint(fields=("alert", "channel", "cause"), name="delivery_once"),)

    def __str__(self) -> str:
        return f"{self.alert_id} {self.channel}"
