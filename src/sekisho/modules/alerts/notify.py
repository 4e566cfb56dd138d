"""Telling people: duties become messages, messages are sent until they arrive or are given up.

A row is the job. It is claimed by a conditional UPDATE, so several workers do no harm; a worker
that dies while sending costs one repetition with the same key.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, Q

from sekisho.model import Language
from sekisho.modules.alerts import render
from sekisho.modules.alerts.channels import Channel, channels
from sekisho.modules.alerts.models import Delivery, Message
from sekisho.modules.alerts.send import Letter, NotSent, send
from sekisho.settings import Settings

PER_MINUTE = 10  # more alerts than that become one digest
TRIES = 12
FIRST_WAIT, LONGEST_WAIT = 15.0, 3600.0  # seconds, doubled at each try
LEASE = timedelta(seconds=300)  # longer than sending so many at once can take
_AT_ONCE = 5
_LISTED = 50  # alerts named in a digest


def deliver_due(now: datetime, settings: Settings) -> int:
    """Put waiting duties into messages and send what is due; gives how many messages were sent."""
    ways = {channel.name: channel for channel in channels(settings.notify)}
    for channel in ways.values():
        _bundle(channel, now)
    return sum(_try(message, ways, settings, now) for message in _claim(now, list(ways)))


def counts() -> dict[str, int]:
    """Messages by state, and duties that wait for a message (``pending``)."""
    found = dict(Message.objects.values_list("state").annotate(Count("id")).order_by())
    found["pending"] = Delivery.objects.filter(message=None).count()
    return found


def retry_dead(now: datetime) -> int:
    """Give messages that were given up a new life; gives how many."""
    return Message.objects.filter(state=Message.State.DEAD).update(
        state=Message.State.WAITING, tries=0, due_at=now
    )


def wait(tries: int, asked: float | None) -> float:
    """Seconds until the next try: 15, 30, 60, … one hour; longer if the receiver asked for it (at
    most a day)."""
    own = min(FIRST_WAIT * 2.0 ** max(tries - 1, 0), LONGEST_WAIT)
    return max(own, min(asked or 0.0, 86_400.0))


# -- duties into messages --------------------------------------------------------------------------


def _bundle(channel: Channel, now: datetime) -> None:
    """One message per duty while there are few; one digest of all when there are many. While the
    minute's number is used up they wait, and the next digest takes them along."""
    if not Delivery.objects.filter(message=None, channel=channel.name).exists():
        return
    with transaction.atomic():
        waiting = list(Delivery.objects.filter(message=None, channel=channel.name).order_by("id"))
        recent = Message.objects.filter(channel=channel.name, created__gt=now - timedelta(minutes=1))
        left = PER_MINUTE - recent.count()
        if left <= 0:
            return
        groups = [[duty] for duty in waiting] if len(waiting) <= left else [waiting]
        for group in groups:
            message = Message.objects.create(
                channel=channel.name, key=secrets.token_hex(16), created=now, due_at=now
            )
            for start in range(0, len(group), 500):
                part = [duty.pk for duty in group[start : start + 500]]
                Delivery.objects.filter(pk__in=part).update(message=message)
        for before in Message.objects.filter(channel=channel.name, state=Message.State.WAITING, tries__gt=0):
            _pass_on(before)


def _pass_on(message: Message) -> bool:
    """An alert is told of as it is now, so a message that still waits says nothing of alerts of which a later
    one tells: its duties go over to that. False if nothing is left to say; then the message is gone.

    A message is never extended instead: a receiver that has its key already would drop it.
    """
    mine = message.deliveries.values_list("alert_id", flat=True)
    later = Delivery.objects.filter(
        alert_id__in=list(mine), channel=message.channel, message_id__gt=message.pk
    ).exclude(message__state=Message.State.DEAD)
    with transaction.atomic():
        for alert, other in later.order_by("message_id").values_list("alert_id", "message_id"):
            message.deliveries.filter(alert_id=alert).update(message_id=other)
        if message.deliveries.exists():
            return True
        message.delete()
        return False


# -- sending ---------------------------------------------------------------------------------------


def _claim(now: datetime, ways: Sequence[str]) -> Iterator[Message]:
    """Messages that are due, one after the other, each this worker's for the time of a lease."""
    due = Q(state__in=(Message.State.WAITING, Message.State.SENDING), due_at__lte=now, channel__in=ways)
    for message in Message.objects.filter(due).order_by("due_at", "id")[:_AT_ONCE]:
        taken = Message.objects.filter(
            pk=message.pk, state=message.state, due_at=message.due_at, tries=message.tries
        ).update(state=Message.State.SENDING, due_at=now + LEASE, tries=message.tries + 1)
        if taken:
            message.refresh_from_db()
            if _pass_on(message):
                yield message


def _try(message: Message, ways: Mapping[str, Channel], settings: Settings, now: datetime) -> int:
    channel = ways[message.channel]
    letter = compose(message, channel.language, settings.notify.console_url)
    mine = Message.objects.filter(pk=message.pk, state=Message.State.SENDING, tries=message.tries)
    try:
        send(channel.section, letter, settings.data, now)
    except NotSent as failed:
        dead = message.tries >= TRIES
        mine.update(
            state=Message.State.DEAD if dead else Message.State.WAITING,
            due_at=now + timedelta(seconds=wait(message.tries, failed.after)),
            error=failed.why[:500],
        )
        return 0
    return mine.update(state=Message.State.SENT, sent_at=now, error="")


def compose(message: Message, language: Language, console_url: str) -> Letter:
    """The words of a message in the reader's language, from the alerts as they are now."""
    duties = list(message.deliveries.select_related("alert").order_by("alert_id", "id"))
    alerts = sorted(
        {duty.alert_id: duty.alert for duty in duties}.values(),
        key=lambda alert: (-alert.severity, alert.first_time, alert.uid),
    )
    if len(alerts) == 1:
        alert = alerts[0]
        mark = _mark([duty.cause for duty in duties], language)
        subject = f"{mark}{render.headline(alert, language)}"
        return Letter(f"[Sekisho] {subject}", render.text(alert, language, console_url), message.key)
    number = len(alerts)
    subject = f"[Sekisho] アラート {number} 件" if language == "ja" else f"[Sekisho] {number} alerts"
    lines = [f"{alert.uid[:8]}  {render.headline(alert, language)}" for alert in alerts[:_LISTED]]
    if number > _LISTED:
        rest = number - _LISTED
        lines.append(f"… 他 {rest} 件" if language == "ja" else f"… {rest} more")
    lines += ["", "sekisho alerts list"]
    return Letter(subject, "\n".join(lines) + "\n", message.key)


def _mark(causes: Sequence[str], language: Language) -> str:
    """Nothing if the message is the first of this alert."""
    cause = "" if "new" in causes else causes[-1]
    if cause.startswith("severity"):
        return "重要度上昇 " if language == "ja" else "severity risen: "
    if cause.startswith("reopened"):
        return "再発 " if language == "ja" else "again: "
    return ""
