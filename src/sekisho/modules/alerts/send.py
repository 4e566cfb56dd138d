"""One message over the wire: a Slack-compatible webhook, or mail. Raises ``NotSent``; logs nothing.

The URL of a webhook is a secret: it is in no error, log or database row.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from sekisho.settings import Mail, Webhook

TIMEOUT = 15.0
_LONGEST = 30_000  # Slack cuts a text at 40,000 characters, and would cut off the end of the code block
_SUBJECT = 200
#: Control characters but line end and tab, marks that reorder text, halves of UTF-16.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
#: What Slack wants escaped (docs.slack.dev, formatting-message-text). A backtick cannot be escaped; the
#: accent that looks like it (U+02CB) ends no code block.
_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "`": "\u02cb"})


class NotSent(Exception):  # noqa: N818 - an answer that leads to another try
    """``after``: seconds that the receiver asked to wait (Retry-After), if it did."""

    def __init__(self, why: str, after: float | None = None) -> None:
        self.why = why
        self.after = after
        super().__init__(why)


class Letter(NamedTuple):
    """``key`` is the same over all tries of one message."""

    subject: str
    body: str
    key: str


def send(section: Webhook | Mail, letter: Letter, folder: Path, now: datetime) -> None:
    """``folder``: the data folder, for files that are named relative to it."""
    if isinstance(section, Webhook):
        _webhook(section, letter, folder, now)
    else:
        _mail(section, letter, folder, now)


def _secret(path: Path, folder: Path) -> str:
    try:
        return (folder / path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NotSent(f"cannot read {path}: {type(error).__name__}") from None


def _local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# -- webhook ---------------------------------------------------------------------------------------


def _webhook(section: Webhook, letter: Letter, folder: Path, now: datetime) -> None:
    url = _url(_secret(Path(section.url_file), folder), section.url_file)
    body = json.dumps({"text": _slack(letter)}, ensure_ascii=False).encode("utf-8")
    headers = {"Content-Type": "application/json; charset=utf-8", "Idempotency-Key": letter.key}
    connection = _connect(url)
    try:
        connection.request("POST", _target(url), body=body, headers=headers)
        response = connection.getresponse()
        status, after = response.status, response.getheader("Retry-After")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotSent(f"webhook: {_named(error)}") from None
    finally:
        connection.close()
    if not 200 <= status < 300:  # a redirect is not followed: it could lead the text elsewhere
        raise NotSent(f"webhook: answered {status}", _seconds(after, now))


def _slack(letter: Letter) -> str:
    """All of it in one code block: there Slack reads no mention, no link and no emphasis, and words of
    logs are in the subject as well as in the body."""
    text, size = f"{_line(letter.subject)}\n\n{_safe(letter.body)}", 0
    for end, mark in enumerate(text):
        size += len(mark.translate(_SLACK))
        if size > _LONGEST:
            text = text[:end]
            break
    return f"```\n{text.translate(_SLACK)}\n```"


def _safe(text: str) -> str:
    """Nothing in it steers a terminal or reorders the text; it can be written in UTF-8."""
    return _UNSAFE.sub(lambda m: f"\\x{ord(m[0]):02x}" if ord(m[0]) < 256 else f"\\u{ord(m[0]):04x}", text)


def _line(text: str) -> str:
    return " ".join(_safe(text).split())[:_SUBJECT]


def _url(text: str, place: str) -> SplitResult:
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        host = None
    if not host or url.scheme not in ("http", "https"):
        raise NotSent(f"{place} does not hold one http(s) URL")
    if url.scheme == "http" and not _local(host):
        raise NotSent(f"{place}: plain http is allowed to this machine only; use https")
    return url


def _connect(url: SplitResult) -> http.client.HTTPConnection:
    host = url.hostname or ""
    if url.scheme == "https":
        return http.client.HTTPSConnection(
            host, url.port, timeout=TIMEOUT, context=ssl.create_default_context()
        )
    return http.client.HTTPConnection(host, url.port, timeout=TIMEOUT)


def _target(url: SplitResult) -> str:
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def _seconds(after: str | None, now: datetime) -> float | None:
    """RFC 9110, 10.2.3: seconds, or a date."""
    if after is None:
        return None
    if after.strip().isdecimal():
        return float(after)
    try:
        at = parsedate_to_datetime(after)
    except ValueError:
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())


def _named(error: Exception) -> str:
    """What went wrong without what was sent: messages of http.client may quote the address."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else ""
    return f"{type(error).__name__} {reason}".strip()


# -- mail ------------------------------------------------------------------------------------------


def _mail(section: Mail, letter: Letter, folder: Path, now: datetime) -> None:
    message = EmailMessage()
    message["Subject"] = _line(letter.subject)
    message["From"] = section.sender
    message["To"] = ", ".join(section.to)
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{letter.key}@{section.sender.rpartition('@')[2] or 'localhost'}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday notice answers it
    message.set_content(_safe(letter.body))
    if section.user and not section.starttls and not _local(section.host):
        raise NotSent("mail: a password is not sent without starttls")
    try:
        with smtplib.SMTP(section.host, section.port, timeout=TIMEOUT) as server:
            if section.starttls:
                server.starttls(context=ssl.create_default_context())
            if section.user:
                server.login(section.user, _secret(Path(section.password_file), folder))
            refused = server.send_message(message)
    except smtplib.SMTPResponseException as error:
        raise NotSent(f"mail: {section.host} answered {error.smtp_code}") from None
    except smtplib.SMTPRecipientsRefused as error:
        raise NotSent(f"mail: all {len(error.recipients)} recipients refused") from None
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise NotSent(f"mail: {section.host}: {_named(error)}") from None
    if refused:
        raise NotSent(f"mail: {len(refused)} of {len(section.to)} recipients refused")
