"""Where alerts are told, as the settings name it. Pure; a channel's name holds no secret."""

from __future__ import annotations

from typing import NamedTuple

from sekisho.model import Language, Severity
from sekisho.settings import Mail, Notify, Webhook


class Channel(NamedTuple):
    name: str
    language: Language
    min_severity: Severity
    section: Webhook | Mail


def channels(notify: Notify) -> tuple[Channel, ...]:
    """One per ``[[notify.webhooks]]`` and ``[[notify.mail]]``. The name stays the same while the place
    of the URL file, or the server and the recipients, stay the same."""
    hooks = [
        Channel(f"webhook {hook.url_file}", hook.language, Severity[hook.min_severity.upper()], hook)
        for hook in notify.webhooks
    ]
    mails = [
        Channel(
            f"mail {mail.host}:{mail.port} {','.join(mail.to)}",
            mail.language,
            Severity[mail.min_severity.upper()],
            mail,
        )
        for mail in notify.mail
    ]
    return (*hooks, *mails)
