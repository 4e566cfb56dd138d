"""The proof of one event: one small JSON file that anybody can check without the journal. Pure.

The leaf is the whole frame, so the frame's bytes are in the proof; a frame holds a batch, so other records
that came in the same batch are in it too. They cannot be blacked out: the hash is formed over them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from sekisho.journal import checkpoint as checkpoints
from sekisho.journal import format as fmt
from sekisho.journal import merkle
from sekisho.journal import note as notes
from sekisho.journal.note import BadNote, Verifier
from sekisho.model import Frame

KIND = "sekisho inclusion proof 1"
#: A proof file larger than this is not read.
MAX_PROOF = 3 << 30


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``frame``, ``path``: base64. ``index``: number of the leaf and frame; ``record``: place of the event in
    the frame, from 0; ``size``: leaves of the tree that the checkpoint signed. ``hand_overs``: signed notes
    of changes of key, oldest first; ``cosignatures``: signature lines of witnesses."""

    frame: str
    index: int
    record: int
    size: int
    path: tuple[str, ...]
    checkpoint: str
    hand_overs: tuple[str, ...] = ()
    cosignatures: tuple[str, ...] = ()
    event_uid: str = ""
    kind: str = KIND


class Proven(NamedTuple):
    """What a proof shows: this frame was in the tree that ``key`` signed, cosigned by ``witnesses``."""

    frame: Frame
    record: bytes
    size: int
    key: Verifier
    witnesses: tuple[tuple[str, int], ...]


class NotProvenError(Exception):
    """The proof does not show it; the text says why."""


def make(
    frame: bytes,
    index: int,
    record: int,
    size: int,
    path: Sequence[bytes],
    checkpoint: str,
    *,
    hand_overs: Sequence[str] = (),
    cosignatures: Sequence[str] = (),
    event_uid: str = "",
) -> bytes:
    """The file's bytes."""
    made = Proof(
        base64.b64encode(frame).decode(),
        index,
        record,
        size,
        tuple(base64.b64encode(step).decode() for step in path),
        checkpoint,
        tuple(hand_overs),
        tuple(cosignatures),
        event_uid,
    )
    return msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n"


def check(data: bytes, pinned: Verifier, witness_keys: Sequence[Verifier] = ()) -> Proven:
    """Check a proof against the pinned key. Raises ``NotProvenError``."""
    try:
        proof = msgspec.json.decode(data, type=Proof)
        if proof.kind != KIND:
            raise NotProvenError(f"a proof of another kind: {proof.kind!r}")
        frame = base64.b64decode(proof.frame, validate=True)
        path = [base64.b64decode(step, validate=True) for step in proof.path]
        note = notes.parse(proof.checkpoint)
        sealed = checkpoints.parse(note.text)
        key = _ruling(pinned, proof.hand_overs, note)
    except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, BadNote) as error:
        raise NotProvenError(f"the proof cannot be used: {error}") from error
    if sealed.size != proof.size or sealed.origin != key.name:
        raise NotProvenError("the checkpoint is of another tree")
    root = merkle.root_from_inclusion(merkle.leaf_hash(frame), proof.index, proof.size, path)
    if root != sealed.root:
        raise NotProvenError("the frame does not lead to the signed root: it was altered, or is of elsewhere")
    decoded = _decoded(frame, proof.index)
    if not 0 <= proof.record < len(decoded.records.bodies):
        raise NotProvenError(f"the frame has {len(decoded.records.bodies)} records, not {proof.record + 1}")
    return Proven(
        decoded,
        decoded.records.bodies[proof.record],
        proof.size,
        key,
        _witnessed(note, proof.cosignatures, witness_keys),
    )


def _decoded(data: bytes, index: int) -> Frame:
    try:
        header = fmt.read_header(data)
        if header.size != len(data) or header.number != index:
            raise fmt.Broken(f"frame {header.number} of {header.size} bytes")
        fmt.check(data, header)
        return fmt.decode(data, header)
    except fmt.Broken as broken:
        raise NotProvenError(f"the frame cannot be read: {broken.why}") from broken


def _ruling(pinned: Verifier, hand_overs: Sequence[str], note: notes.Note) -> Verifier:
    """The key that signed the note, reached from the pinned one by changes of key signed by both."""
    known = [pinned]
    for text in hand_overs:
        handed = notes.parse(text)
        keys = checkpoints.parse(handed.text).rotation
        if keys is None or not all(key.made(handed) and key.name == pinned.name for key in keys):
            raise BadNote("a change of key that is not signed by both keys")
        if any(key in known for key in keys):
            known += [key for key in keys if key not in known]
    for key in known:
        if key.made(note):
            return key
    raise BadNote(f"the checkpoint is signed by no key that {pinned.key_id.hex()} leads to")


def _witnessed(
    note: notes.Note, lines: Sequence[str], keys: Sequence[Verifier]
) -> tuple[tuple[str, int], ...]:
    found = []
    for line in lines:
        try:
            cosigned = notes.Note(note.text, notes.signatures(line))
            made = [(key, key.made(cosigned)) for key in keys]
            found += [(key.name, notes.cosigned_at(signature)) for key, signature in made if signature]
        except BadNote as error:
            raise NotProvenError(f"a cosignature does not verify: {error.why}") from error
    return tuple(found)
