"""Who may send: a token in any of the usual headers, a client certificate, or the local socket."""

from __future__ import annotations

import base64
import binascii
import math
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from aiohttp import web

from sekisho.collect.refusal import Refusal
from sekisho.collect.tokens import Tokens

#: Wrong tokens from one address within ``FAILURE_SECONDS`` before the answer is 429.
FAILURES = 20
FAILURE_SECONDS = 60
#: Addresses remembered with their failures; the oldest is forgotten.
PEERS = 10_000


class Caller(NamedTuple):
    """``identity``: name of the token or subject of the certificate; ``source``: its binding, or empty."""

    identity: str
    source: str
    peer: str


class Failures:
    """Counts wrong tokens by address, in windows of ``FAILURE_SECONDS``. ``now`` gives ns since 1970."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._peers: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def add(self, peer: str) -> float:
        """Count one; gives 0, or the seconds after which the peer may try again."""
        now = self._now()
        began, count = self._peers.pop(peer, (now, 0))
        if not 0 <= now - began < FAILURE_SECONDS * 10**9:
            began, count = now, 0
        self._peers[peer] = began, count + 1
        if len(self._peers) > PEERS:
            self._peers.popitem(last=False)
        if count < FAILURES:
            return 0.0
        return max(1.0, FAILURE_SECONDS - (now - began) / 10**9)


class Guard:
    """Says who calls, or raises ``Refusal`` 401 or 429. Nothing of the request's body is read for it.

    A valid token is taken even from an address with many failures: behind one address of a company
    there may be a hundred shippers, and one with an old token must not silence the others. A token has
    256 bits, so guessing is no way in; the limit keeps the noise and its cost down.
    """

    def __init__(self, tokens: Tokens, now: Callable[[], int]) -> None:
        self._tokens = tokens
        self._failures = Failures(now)

    def admit(self, request: web.Request) -> Caller:
        transport = request.transport
        if transport is None:
            raise Refusal(400, "half-closed", "the connection is gone", close=True)
        if is_local(transport.get_extra_info("socket")):
            return Caller("local", "", "local")
        peer = _address(transport.get_extra_info("peername"))
        header = request.headers.get("Authorization", "")
        if not header:
            subject = certificate_name(transport.get_extra_info("ssl_object"))
            if subject:
                return Caller(subject, "", peer)
            raise self._refusal(peer, "no-token", "a token is required")
        presented = token_in(header)
        if presented is None:
            raise self._refusal(peer, "bad-authorization", "the Authorization header is not understood")
        token = self._tokens.find(presented)
        if token is None:
            raise self._refusal(peer, "wrong-token", "the token is not valid")
        return Caller(token.name, token.source, peer)

    def _refusal(self, peer: str, reason: str, why: str) -> Refusal:
        after = self._failures.add(peer)
        if after:
            return Refusal(
                429,
                "too-many-wrong-tokens",
                f"more than {FAILURES} requests without a valid token in {FAILURE_SECONDS} s",
                f"wait {math.ceil(after)} s",
                after=after,
                close=True,
            )
        remedy = (
            "send 'Authorization: Splunk TOKEN', 'Bearer TOKEN', 'ApiKey base64(id:TOKEN)' or Basic with the"
            " token as password; make one with: sekisho tokens create NAME"
        )
        return Refusal(401, reason, why, remedy, close=True)


def token_in(header: str) -> str | None:
    """The token of an ``Authorization`` header; None where the header is not understood."""
    scheme, _, rest = header.partition(" ")
    rest = rest.strip()
    scheme = scheme.lower()
    if not rest:
        return None
    if scheme in ("splunk", "bearer"):
        return rest
    if scheme in ("apikey", "basic"):
        try:
            _, colon, secret = base64.b64decode(rest, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        return secret if colon and secret else None
    return None


def is_local(sock: Any) -> bool:
    """The local socket: its file mode (0600) has let in only the platform's own user."""
    return sock is not None and sock.family == socket.AF_UNIX


def certificate_name(ssl_object: ssl.SSLObject | None) -> str:
    """Common name of the client certificate, which the TLS layer has verified; empty if there is none."""
    certificate = ssl_object.getpeercert() if ssl_object is not None else None
    if not certificate:
        return ""
    subject: Any = certificate.get("subject", ())
    names = [value for part in subject for key, value in part if key == "commonName"]
    return names[0] if names else ""


def _address(peername: Any) -> str:
    return str(peername[0]) if isinstance(peername, tuple) and peername else "unknown"
