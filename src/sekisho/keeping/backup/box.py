"""Secrets under a passphrase: scrypt (RFC 7914) makes the keys, ChaCha20-Poly1305 (RFC 8439) closes the
box."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from sekisho.model import Refused

SALT = 16
_NONCE = 12
#: 64 MiB of memory and about 0.2 s for each guess
_N, _R, _P = 1 << 16, 8, 1
SHORTEST = 12


class Keys(NamedTuple):
    """``box`` closes and opens, ``mark`` signs descriptions."""

    box: bytes
    mark: bytes


def keys(passphrase: str, salt: bytes) -> Keys:
    """Raises ``Refused`` for a passphrase that is too short to be one."""
    if len(passphrase) < SHORTEST:
        raise Refused(
            f"the passphrase is shorter than {SHORTEST} characters",
            "use several words; keep it where the backup is not",
        )
    both = hashlib.scrypt(passphrase.encode(), salt=salt, n=_N, r=_R, p=_P, maxmem=256 << 20, dklen=64)
    return Keys(both[:32], both[32:])


def close(data: bytes, using: Keys) -> bytes:
    nonce = secrets.token_bytes(_NONCE)
    return nonce + ChaCha20Poly1305(using.box).encrypt(nonce, data, b"sekisho-secrets")


def open_(data: bytes, using: Keys) -> bytes:
    """Raises ``Refused`` if the passphrase is another one or the bytes were altered."""
    try:
        return ChaCha20Poly1305(using.box).decrypt(data[:_NONCE], data[_NONCE:], b"sekisho-secrets")
    except InvalidTag:
        raise Refused(
            "the secrets of the backup do not open", "another passphrase, or the file was altered"
        ) from None


def mark(data: bytes, using: Keys) -> str:
    return hmac.new(using.mark, data, hashlib.sha256).hexdigest()


def same(one: str, other: str) -> bool:
    return hmac.compare_digest(one, other)
