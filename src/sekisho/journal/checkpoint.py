"""What is signed: C2SP tlog-checkpoint. Pure.

Three lines (origin, size, base64 of the root); the only extension that Sekisho writes are the two lines of
a change of key, ``old-key VKEY`` and ``new-key VKEY``. There is no time in it: the signer's own clock would
prove nothing. Time comes from others, by a witness's cosignature or an RFC 3161 stamp.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

from sekisho.journal import note as notes
from sekisho.journal.merkle import HASH
from sekisho.journal.note import BadNote, Note, Signer, Verifier

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_OLD, _NEW = "old-key ", "new-key "


class Checkpoint(NamedTuple):
    """The tree's state: ``size`` leaves (frames 0 to size - 1) and their root."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @property
    def rotation(self) -> tuple[Verifier, Verifier] | None:
        """Old and new key if this checkpoint records a change of key; raises ``BadNote``."""
        old = [line[len(_OLD) :] for line in self.extensions if line.startswith(_OLD)]
        new = [line[len(_NEW) :] for line in self.extensions if line.startswith(_NEW)]
        if not old and not new:
            return None
        if len(old) != 1 or len(new) != 1:
            raise BadNote("a change of key names one old and one new key")
        return notes.verifier(old[0]), notes.verifier(new[0])


def parse(text: str) -> Checkpoint:
    """The body of a note; raises ``BadNote``."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise BadNote("a checkpoint has three lines at least, none of them empty")
    origin, size, root = lines[:3]
    try:
        found = base64.b64decode(root, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not _SIZE.fullmatch(size) or len(found) != HASH:
        raise BadNote(f"no checkpoint: size {size[:30]!r}, root {root[:60]!r}")
    return Checkpoint(origin, int(size), found, tuple(lines[3:-1]))


def signed(checkpoint: Checkpoint, *signers: Signer) -> Note:
    return Note(checkpoint.text, tuple(signer.sign(checkpoint.text) for signer in signers))


def rotation(origin: str, size: int, root: bytes, old: Signer, new: Signer) -> Note:
    """A change of key: signed by both, so that whoever trusts one of them reaches the other."""
    lines = (f"{_OLD}{old.verifier.vkey}", f"{_NEW}{new.verifier.vkey}")
    return signed(Checkpoint(origin, size, root, lines), old, new)
