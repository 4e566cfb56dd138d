"""Tokens of senders: stored as SHA-256 only, in ``<data>/secrets/tokens.json`` (mode 0600).

A token is 256 random bits, so a plain hash is enough: nobody can try 2^256 values, and a salt would only
guard values that people choose. Every stored hash is compared in constant time, and always all of them.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import logging
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from sekisho.model import Refused

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Token(msgspec.Struct, frozen=True):
    """``sha256``: hex digest of the token. ``source``: the only source id it may send as; empty: any.

    ``created``: seconds since 1970 UTC.
    """

    name: str
    sha256: str
    created: float
    source: str = ""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int = 1
    tokens: tuple[Token, ...] = ()


class Tokens:
    """The tokens of one file. A change of the file (``create``, ``revoke``) is seen at the next request.

    A missing file holds no token. Raises ``Refused`` where the file cannot be understood or can be read
    by others; a running server keeps the tokens it has, and says so in the log, until it is mended.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._tokens = _read(path)

    def names(self) -> list[str]:
        return [token.name for token in self.all()]

    def all(self) -> tuple[Token, ...]:
        """The tokens as they are in the file now."""
        self._refresh()
        return self._tokens

    def find(self, presented: str) -> Token | None:
        """The token whose hash is that of the presented one."""
        digest = hashlib.sha256(presented.encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for token in self.all():
            if hmac.compare_digest(token.sha256, digest):
                found = token
        return found

    def create(self, name: str, *, now: float, source: str = "") -> str:
        """Store a new token; gives its clear text, which is kept nowhere. ``now``: seconds since 1970 UTC.

        Raises ``Refused`` for a name that is taken or not a plain word.
        """
        if not _NAME.fullmatch(name):
            raise Refused(
                f"'{name}' cannot be the name of a token",
                "take 1 to 64 letters, digits, '.', '_' or '-', first a letter or digit: filebeat-01",
            )
        clear = secrets.token_hex(32)
        with self._changing() as tokens:
            if any(token.name == name for token in tokens):
                raise Refused(
                    f"there is already a token '{name}'",
                    f"choose another name, or end the old one: sekisho tokens revoke {name}",
                )
            digest = hashlib.sha256(clear.encode()).hexdigest()
            self._write((*tokens, Token(name, digest, now, source)))
        return clear

    def revoke(self, name: str) -> None:
        """End a token. Raises ``Refused`` with the names there are, if it is not there."""
        with self._changing() as tokens:
            left = tuple(token for token in tokens if token.name != name)
            if len(left) == len(tokens):
                known = ", ".join(token.name for token in tokens) or "none"
                raise Refused(f"there is no token '{name}'", f"tokens there are: {known}")
            self._write(left)

    @contextmanager
    def _changing(self) -> Iterator[tuple[Token, ...]]:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield _read(self._path)
        finally:
            os.close(lock)

    def _write(self, tokens: tuple[Token, ...]) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(_File(tokens=tokens)), indent=1) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _refresh(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._tokens = _read(self._path)
        except Refused as refused:
            _LOG.error("the tokens known so far stay in force: %s", refused.why)


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _read(path: Path) -> tuple[Token, ...]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ()
    with os.fdopen(fd, "rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise Refused(f"{path} can be read by others", f"chmod 600 {path}; then replace the tokens in it")
        try:
            return msgspec.json.decode(file.read(), type=_File).tokens
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Refused(
                f"{path}: not a file of tokens: {error}",
                "restore it from the backup, or remove it and create the tokens anew",
            ) from error
