"""One HTTP request to somebody who is told of a checkpoint. Blocking, bounded in time and size."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

TIMEOUT = 10.0
_MAX_ANSWER = 256 * 1024


class NotToldError(Exception):
    """It could not be told now. ``refused``: the other side says that this journal was altered."""

    def __init__(self, why: str, *, refused: bool = False) -> None:
        self.why = why
        self.refused = refused
        super().__init__(why)


class Answer(NamedTuple):
    """Status and body of a response."""

    status: int
    body: bytes


def tls_context(ca: str) -> ssl.SSLContext:
    """TLS 1.2 or newer; ``ca``: PEM file of the authorities, empty for those of the system."""
    context = ssl.create_default_context(cafile=ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def secret_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NotToldError(f"cannot read {path}: {type(error).__name__}") from None


def post(url: str, body: bytes, headers: Mapping[str, str], *, ca: str = "") -> Answer:
    """POST, following no redirect. Raises ``NotToldError``, never with the URL in it (may be secret)."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise NotToldError("the address is no http or https URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise NotToldError("the address is no http or https URL")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection: http.client.HTTPConnection | None = None
    try:
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=tls_context(ca))
        else:
            connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
        connection.request("POST", target, body=body, headers=dict(headers))
        response = connection.getresponse()
        return Answer(response.status, response.read(_MAX_ANSWER))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotToldError(f"{host}: {type(error).__name__}: {error}") from None
    finally:
        if connection is not None:
            connection.close()
