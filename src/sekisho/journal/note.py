"""Signed notes, verifier keys and cosignatures. Pure.

C2SP signed-note (text, blank line, signature lines), the Ed25519 signature type 0x01, and the
timestamped witness cosignature ``cosignature/v1`` of C2SP tlog-cosignature (type 0x04).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = 0x01
COSIGNATURE = 0x04
#: A note with more lines of signatures, or larger, is not read (the standard asks for 16 at least).
MAX_SIGNATURES = 64
MAX_NOTE = 64 * 1024
_STAMPED = struct.Struct(">Q64s")
_SKEY = "PRIVATE+KEY"


class BadNote(Exception):  # noqa: N818 - a verdict on a text
    """This is no note, no key or no signature as it must be; ``why`` says what is wrong."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class Signature(NamedTuple):
    """One signature line: who claims to have signed, with which key (4 bytes), and the rest of it."""

    name: str
    key_id: bytes
    value: bytes

    @property
    def line(self) -> str:
        return f"— {self.name} {base64.b64encode(self.key_id + self.value).decode()}\n"


class Note(NamedTuple):
    """``text`` ends with a newline; nothing of it counts before a signature is verified."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return f"{self.text}\n" + "".join(signature.line for signature in self.signatures)


class Verifier(NamedTuple):
    """A public key with its name. ``kind``: ``ED25519`` or ``COSIGNATURE``."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        """The key as one word: ``name+id+base64``."""
        return f"{self.name}+{self.key_id.hex()}+{_b64(bytes([self.kind]) + self.public)}"

    def made(self, note: Note) -> Signature | None:
        """This key's signature under the note, None if it did not sign.

        Raises ``BadNote`` if a signature claims to be of this key and is not.
        """
        for signature in note.signatures:
            if signature.name == self.name and signature.key_id == self.key_id:
                self._check(note.text, signature)
                return signature
        return None

    def _check(self, text: str, signature: Signature) -> None:
        message, value = text.encode(), signature.value
        if self.kind == COSIGNATURE:
            if len(value) != _STAMPED.size:
                raise BadNote(f"the cosignature of {self.name} has {len(value)} bytes")
            at, value = _STAMPED.unpack(value)
            message = _cosigned(text, at)
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(value, message)
        except InvalidSignature as error:
            raise BadNote(f"the signature of {self.name} ({self.key_id.hex()}) is wrong") from error


class Signer:
    """A private key with its name. ``seed``: the 32 bytes of an Ed25519 private key (RFC 8032)."""

    def __init__(self, name: str, seed: bytes, kind: int = ED25519) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._seed = seed
        self.verifier = Verifier(check_name(name), kind, self._key.public_key().public_bytes_raw())

    @classmethod
    def new(cls, name: str, kind: int = ED25519) -> Signer:
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw(), kind)

    @property
    def skey(self) -> str:
        """The private key as one word, as Go's note package writes it. A secret."""
        verifier = self.verifier
        return f"{_SKEY}+{verifier.name}+{verifier.key_id.hex()}+{_b64(bytes([verifier.kind]) + self._seed)}"

    def sign(self, text: str) -> Signature:
        """Type ``ED25519`` only."""
        assert self.verifier.kind == ED25519
        return Signature(self.verifier.name, self.verifier.key_id, self._key.sign(text.encode()))

    def cosign(self, text: str, at: int) -> Signature:
        """Type ``COSIGNATURE`` only. ``at``: seconds since 1970 UTC."""
        assert self.verifier.kind == COSIGNATURE
        value = _STAMPED.pack(at, self._key.sign(_cosigned(text, at)))
        return Signature(self.verifier.name, self.verifier.key_id, value)


def cosigned_at(signature: Signature) -> int:
    """Seconds since 1970 UTC of a verified cosignature."""
    at, _ = _STAMPED.unpack(signature.value)
    return int(at)


def check_name(name: str) -> str:
    """Raises ``BadNote`` for a name that cannot stand in a signature line."""
    if not name or "+" in name or any(c.isspace() or unicodedata.category(c) == "Cc" for c in name):
        raise BadNote(f"{name!r} cannot be the name of a key: no spaces, no '+', not empty")
    return name


def verifier(vkey: str) -> Verifier:
    """From ``name+id+base64``; raises ``BadNote``."""
    name, kind, public = _key_parts(vkey.strip(), "")
    found = Verifier(name, kind, public)
    if vkey.strip() != found.vkey:
        raise BadNote(f"the id in the key of {name} does not belong to it: the text was altered")
    return found


def signer(skey: str) -> Signer:
    """From the text that ``Signer.skey`` gives; raises ``BadNote`` (without the secret in it)."""
    name, kind, seed = _key_parts(skey.strip(), _SKEY + "+")
    found = Signer(name, seed, kind)
    if skey.strip() != found.skey:
        raise BadNote(f"the id in the private key of {name} does not belong to it: the file was altered")
    return found


def _key_parts(text: str, before: str) -> tuple[str, int, bytes]:
    expected = BadNote(
        f"this is no {'private' if before else 'verifier'} key; expected {before}NAME+ID+BASE64"
    )
    parts = text.removeprefix(before).split("+", 2)
    if not text.startswith(before) or len(parts) != 3:
        raise expected
    try:
        data = base64.b64decode(parts[2], validate=True)
    except (binascii.Error, ValueError):
        raise expected from None
    if len(data) != 33 or data[0] not in (ED25519, COSIGNATURE):
        raise BadNote("a key of this kind is not supported: expected Ed25519 (type 01) or cosignature (04)")
    return check_name(parts[0]), data[0], data[1:]


def parse(text: str) -> Note:
    """Raises ``BadNote``. No signature is checked here."""
    if len(text) > MAX_NOTE:
        raise BadNote(f"a note of {len(text)} characters")
    if any(c < " " and c != "\n" for c in text):
        raise BadNote("control characters in the note")
    body, blank, lines = text.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise BadNote("no blank line before the signatures, or the last line is cut")
    return Note(body + "\n", signatures(lines))


def signatures(lines: str) -> tuple[Signature, ...]:
    """Signature lines, each ended by a newline; raises ``BadNote``."""
    rows = lines.split("\n")[:-1]
    if not rows or len(rows) > MAX_SIGNATURES or not lines.endswith("\n"):
        raise BadNote(f"{len(rows)} signatures")
    return tuple(map(_signature, rows))


def _signature(row: str) -> Signature:
    dash, _, rest = row.partition(" ")
    name, _, value = rest.partition(" ")
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if dash != "—" or len(data) < 5:
        raise BadNote(f"no signature line: {row[:80]!r}")
    return Signature(check_name(name), data[:4], data[4:])


def with_signatures(note: Note, more: Iterable[Signature]) -> Note:
    return Note(note.text, (*note.signatures, *more))


def _cosigned(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
