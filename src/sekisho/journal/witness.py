"""Being a witness for another log: C2SP tlog-witness, ``add-checkpoint``. No sockets; the state is a folder.

A witness signs that what it is shown continues what it signed before. A log that was rolled back or rewritten
cannot get a further signature, and the attempt is told to people on both sides.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from sekisho.journal import checkpoint as checkpoints
from sekisho.journal import note as notes
from sekisho.journal.checkpoint import Checkpoint
from sekisho.journal.durable import sync_folder
from sekisho.journal.merkle import consistent
from sekisho.journal.note import BadNote, Note, Signer, Verifier

MAX_BODY = notes.MAX_NOTE + 8 * 1024
MAX_PROOF = 63
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")
SIZE_TYPE = "text/x.tlog.size"


class State(msgspec.Struct, frozen=True):
    """What was cosigned last for an origin. ``at``: seconds since 1970 UTC. ``key``: vkey that the log
    changed to since it was configured; ``retired``: those it changed from."""

    origin: str
    size: int
    root: str
    at: int
    note: str
    key: str = ""
    retired: tuple[str, ...] = ()


class Answer(NamedTuple):
    """HTTP status and body. ``incident``: what people must see (a fork, a rollback); empty otherwise."""

    status: int
    body: str
    content_type: str = "text/plain"
    incident: str = ""
    origin: str = ""


class _No(Exception):  # noqa: N818 - an answer
    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(answer.body)


class Submission(NamedTuple):
    """A parsed request."""

    old: int
    proof: list[bytes]
    note: Note
    checkpoint: Checkpoint


def parse(body: bytes) -> Submission:
    """Raises ``BadNote``."""
    try:
        head, blank, text = body.decode("utf-8").partition("\n\n")
    except UnicodeDecodeError:
        raise BadNote("not UTF-8") from None
    first, *lines = head.split("\n")
    old = _OLD.fullmatch(first)
    if not blank or not old or len(lines) > MAX_PROOF:
        raise BadNote("expected: 'old SIZE', at most 63 lines of proof, a blank line, a checkpoint")
    note = notes.parse(text)
    return Submission(int(old[1]), list(map(_hash, lines)), note, checkpoints.parse(note.text))


def request(old: int, proof: Sequence[bytes], note: Note) -> bytes:
    """Body of a submission: what ``parse`` reads."""
    lines = [f"old {old}", *(base64.b64encode(step).decode() for step in proof)]
    return ("\n".join(lines) + f"\n\n{note}").encode()


def _hash(line: str) -> bytes:
    try:
        found = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != 32:
        raise BadNote(f"no hash in the proof: {line[:60]!r}")
    return found


class Witness:
    """Judges submissions. ``logs``: origin to the keys it may be signed with, from the settings.

    Thread-safe; checking and storing are one step (tlog-witness asks for it).
    """

    def __init__(self, folder: Path, signer: Signer, logs: Mapping[str, Sequence[Verifier]]) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._signer = signer
        self._logs = logs
        self._lock = threading.Lock()

    def add_checkpoint(self, body: bytes, now: int) -> Answer:
        """The answer to one request. ``now``: seconds since 1970 UTC. Raises ``OSError``: then nothing
        was signed."""
        try:
            asked = parse(body)
        except BadNote as error:
            return Answer(400, f"{error.why}\n")
        with self._lock:
            try:
                return self._judge(asked, now)
            except _No as no:
                return no.answer

    def _judge(self, asked: Submission, now: int) -> Answer:
        found = asked.checkpoint
        if found.origin not in self._logs:
            raise _No(Answer(404, "this witness does not know the origin\n"))
        state = read_state(self._folder, found.origin)
        signed_by = self._signed_by(asked.note, state, found.origin)
        self._continues(asked, state)
        handed = _handed(asked, signed_by)
        signature = self._signer.cosign(asked.note.text, now)
        keep = State(
            found.origin,
            found.size,
            base64.b64encode(found.root).decode(),
            now,
            str(asked.note),
            handed.vkey if handed else (state.key if state else ""),
            (*(state.retired if state else ()), *((signed_by.vkey,) if handed else ())),
        )
        _write_state(self._folder, keep)
        return Answer(200, signature.line, origin=found.origin)

    def _signed_by(self, note: Note, state: State | None, origin: str) -> Verifier:
        retired = state.retired if state else ()
        trusted = [key for key in self._logs[origin] if key.vkey not in retired]
        if state and state.key:
            trusted.insert(0, notes.verifier(state.key))
        for key in trusted:
            try:
                if key.made(note):
                    return key
            except BadNote as error:
                raise _No(Answer(403, f"{error.why}\n")) from error
        raise _No(Answer(403, "not signed by a key that this witness trusts for the origin\n"))

    def _continues(self, asked: Submission, state: State | None) -> None:
        """Raises the refusal unless the checkpoint continues what was cosigned."""
        found, size = asked.checkpoint, state.size if state else 0
        root = base64.b64decode(state.root) if state else b""
        if found.size < size:
            raise _No(
                self._incident(
                    found.origin,
                    400 if asked.old > found.size else 409,
                    f"rolled back: shows {found.size} frames, {size} were cosigned",
                    size,
                )
            )
        if asked.old > found.size:
            raise _No(Answer(400, "the old size is above that of the checkpoint\n"))
        if asked.old != size:
            raise _No(Answer(409, f"{size}\n", SIZE_TYPE))
        if size == 0:
            if asked.proof:
                raise _No(Answer(422, "the proof from size 0 is empty\n"))
            return
        if found.size == size and found.root != root:
            why = f"forked: another root at the cosigned size {size}"
            raise _No(self._incident(found.origin, 409, why, size))
        if not consistent(size, root, found.size, found.root, asked.proof):
            why = f"forked: the {found.size} frames shown do not continue the {size} that were cosigned"
            raise _No(self._incident(found.origin, 422, why, size))

    def _incident(self, origin: str, status: int, why: str, size: int) -> Answer:
        body, kind = (f"{size}\n", SIZE_TYPE) if status == 409 else (f"{why}\n", "text/plain")
        return Answer(status, body, kind, why, origin)


def _handed(asked: Submission, signed_by: Verifier) -> Verifier | None:
    """The key that takes over with this checkpoint, if it is a valid change of key."""
    try:
        handed = asked.checkpoint.rotation
        if handed and handed[0] == signed_by and handed[1].made(asked.note):
            return handed[1]
    except BadNote:
        return None
    return None


def _path(folder: Path, origin: str) -> Path:
    return folder / f"{hashlib.sha256(origin.encode()).hexdigest()[:32]}.json"


def read_state(folder: Path, origin: str) -> State | None:
    """None if nothing was cosigned yet. A state that cannot be read raises ``OSError``: signing without
    it could sign a fork."""
    path = _path(folder, origin)
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise OSError(f"{path}: the state of the witness is damaged: {error}") from error


def _write_state(folder: Path, state: State) -> None:
    path = _path(folder, state.origin)
    fresh = path.with_suffix(".new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, msgspec.json.encode(state))
        os.fsync(fd)
    finally:
        os.close(fd)
    fresh.replace(path)
    sync_folder(folder)
