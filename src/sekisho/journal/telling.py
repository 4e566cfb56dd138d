"""Checkpoints told to others: to a file, a webhook, syslog, a witness, a time-stamping authority.

Each way is a ``Teller`` with one blocking call; ``Told`` keeps, in one small file per way, how far it got, so
that what could not be told is told later, in order. Nothing here is on the way of a received log.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from sekisho.journal import asking, stamping, witness
from sekisho.journal import note as notes
from sekisho.journal import sealed as sealed_file
from sekisho.journal.asking import NotToldError
from sekisho.journal.leaves import NoLeavesError, StoredTree
from sekisho.journal.merkle import consistency
from sekisho.journal.note import BadNote, Note, Verifier
from sekisho.journal.sealed import CheckpointFile, Line, Sealed

_SYSLOG_PRIORITY = 13 * 8 + 5  # log audit, notice (RFC 5424, 6.2.1)


class Teller(Protocol):
    """``newest_only``: only the last checkpoint matters (and changes of key), not each before it.

    ``every``: seconds that must lie between two calls.
    """

    newest_only: bool
    every: float

    def tell(self, batch: Sequence[Sealed], known: int) -> int:
        """Tell of these checkpoints. ``known``: size that the other side is known to have.

        Gives the size it has now; raises ``NotToldError``. Returns only when the other side has them.
        """
        ...


class ToFile:
    """Appends lines such as those of the file ``checkpoints``, fsynced."""

    newest_only = False
    every = 0.0

    def __init__(self, path: Path) -> None:
        self._path = path

    def tell(self, batch: Sequence[Sealed], known: int) -> int:
        del known
        data = b"".join(_line(one) for one in batch)
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                end = os.fstat(fd).st_size
                if end and os.pread(fd, 1, end - 1) != b"\n":
                    data = b"\n" + data  # an earlier write was cut short, and may not be taken back here
                if os.write(fd, data) != len(data):
                    raise NotToldError(f"{self._path}: not written whole")
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise NotToldError(f"{self._path}: {error.strerror}") from error
        return batch[-1].checkpoint.size


class ToWebhook:
    """One POST with JSON for each checkpoint: origin, size, root (base64), the note, and ``at``."""

    newest_only = False
    every = 0.0

    def __init__(self, url_file: Path, ca: str) -> None:
        self._url_file = url_file
        self._ca = ca

    def tell(self, batch: Sequence[Sealed], known: int) -> int:
        url = asking.secret_text(self._url_file)
        for one in batch:
            body = json.dumps(said(one)).encode()
            answer = asking.post(url, body, {"Content-Type": "application/json"}, ca=self._ca)
            if not 200 <= answer.status < 300:
                raise NotToldError(f"the webhook answered {answer.status}")
            known = one.checkpoint.size
        return known


class ToSyslog:
    """RFC 5424 over TCP with octet counting (RFC 6587) or TLS (RFC 5425): sent, never acknowledged."""

    newest_only = False
    every = 0.0

    def __init__(self, host: str, port: int, *, tls: bool, ca: str) -> None:
        self._host, self._port, self._tls, self._ca = host, port, tls, ca

    def tell(self, batch: Sequence[Sealed], known: int) -> int:
        del known
        data = b"".join(self._message(one) for one in batch)
        try:
            with socket.create_connection((self._host, self._port), asking.TIMEOUT) as plain:
                if self._tls:
                    context = asking.tls_context(self._ca)
                    with context.wrap_socket(plain, server_hostname=self._host) as wrapped:
                        wrapped.sendall(data)
                        with contextlib.suppress(OSError):
                            wrapped.unwrap()  # many servers close without an answer to it
                else:
                    plain.sendall(data)
                    plain.shutdown(socket.SHUT_WR)
        except (OSError, ssl.SSLError) as error:
            raise NotToldError(f"syslog {self._host}:{self._port}: {error}") from error
        return batch[-1].checkpoint.size

    @staticmethod
    def _message(one: Sealed) -> bytes:
        at = datetime.fromtimestamp(one.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        head = f"<{_SYSLOG_PRIORITY}>1 {at} {socket.gethostname() or '-'} sekisho {os.getpid()} CHECKPOINT - "
        message = head.encode() + json.dumps(said(one)).encode()
        return b"%d %b" % (len(message), message)


class ToWitness:
    """C2SP tlog-witness: shows the consistency proof, takes and stores the cosignature."""

    newest_only = True
    every = 0.0

    def __init__(
        self, folder: Path, file: CheckpointFile, url: str, vkey: str, token_file: Path | None, ca: str
    ) -> None:
        self._tree = StoredTree(folder)
        self._file = file
        self._url = url.rstrip("/") + "/add-checkpoint"
        self._verifier: Verifier = notes.verifier(vkey)
        self._token_file = token_file
        self._ca = ca

    def tell(self, batch: Sequence[Sealed], known: int) -> int:
        for one in batch:
            known = self._one(one, known)
        return known

    def _one(self, one: Sealed, known: int) -> int:
        size = one.checkpoint.size
        answer = self._ask(one, min(known, size))
        if answer.status == 409 and (theirs := _size(answer.body)) is not None and theirs != min(known, size):
            if theirs > size:
                raise NotToldError(
                    f"the witness cosigned {theirs} frames, this journal has {size}: it was rolled back, or"
                    " another journal seals under the same name",
                    refused=True,
                )
            answer = self._ask(one, theirs)
        if answer.status in (409, 422):
            why = answer.body.decode("utf-8", "replace").strip()[:300]
            raise NotToldError(
                f"the witness refused ({answer.status} {why}): this journal does not continue what it signed",
                refused=True,
            )
        if answer.status != 200:
            why = answer.body.decode("utf-8", "replace").strip()[:300]
            raise NotToldError(f"the witness answered {answer.status}: {why}")
        self._take(one.note, size, answer.body, one.at)
        return size

    def _ask(self, one: Sealed, old: int) -> asking.Answer:
        self._tree.refresh()
        try:
            proof = consistency(self._tree.node, old, one.checkpoint.size)
        except NoLeavesError as error:
            raise NotToldError(f"no proof can be made: {error}") from error
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if self._token_file is not None:
            headers["Authorization"] = f"Bearer {asking.secret_text(self._token_file)}"
        return asking.post(self._url, witness.request(old, proof, one.note), headers, ca=self._ca)

    def _take(self, note: Note, size: int, body: bytes, at: int) -> None:
        try:
            lines = notes.signatures(body.decode("utf-8"))
            signature = self._verifier.made(Note(note.text, lines))
        except (BadNote, UnicodeDecodeError) as error:
            raise NotToldError(f"the witness's answer is no cosignature: {error}") from error
        if signature is None:
            raise NotToldError(f"the witness signed with another key than {self._verifier.vkey}")
        try:
            self._file.cosigned(size, signature, at)
        except OSError as error:
            raise NotToldError(f"the cosignature cannot be stored: {error}") from error


class ToAuthority:
    """RFC 3161: a stamp of the newest checkpoint's text, stored beside it."""

    newest_only = True

    def __init__(self, file: CheckpointFile, url: str, ca: str, every: float) -> None:
        self._file = file
        self._url = url
        self._ca = ca
        self.every = every

    def tell(self, batch: Sequence[Sealed], known: int) -> int:
        del known
        one = batch[-1]
        token = stamping.ask(self._url, one.note.text.encode(), Path(self._ca) if self._ca else None)
        line = Line(one.at, size=one.checkpoint.size, stamp=base64.b64encode(token).decode())
        try:
            self._file.add(line)
        except OSError as error:
            raise NotToldError(f"the stamp cannot be stored: {error}") from error
        return one.checkpoint.size


def said(one: Sealed) -> dict[str, object]:
    """A checkpoint as plain values."""
    found = one.checkpoint
    return {
        "origin": found.origin,
        "size": found.size,
        "root": base64.b64encode(found.root).decode(),
        "at": one.at,
        "note": str(one.note),
    }


def _line(one: Sealed) -> bytes:
    return json.dumps({"at": one.at, "note": str(one.note)}, ensure_ascii=False).encode() + b"\n"


def _size(body: bytes) -> int | None:
    text = body.strip()
    return int(text) if text.isdigit() and len(text) < 20 else None


def unsent(folder: Path, position: int, most: int) -> tuple[list[Sealed], int]:
    """Checkpoints from byte ``position`` of the file on, ``most`` at once; and where to go on."""
    found: list[Sealed] = []
    for entry in sealed_file.entries(folder, position):
        if not entry.whole or len(found) >= most:
            break
        position = entry.position + entry.size
        if entry.line is not None and entry.line.note:
            try:
                found.append(sealed_file.sealed(entry.line))
            except BadNote:
                continue  # `sekisho verify` names it
    return found, position
