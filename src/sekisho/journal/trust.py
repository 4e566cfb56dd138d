"""Which checkpoints count: signatures, the chain of keys from the pinned one, what witnesses signed."""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sekisho.journal import checkpoint as checkpoints
from sekisho.journal import note as notes
from sekisho.journal import sealed as sealed_file
from sekisho.journal import stamping
from sekisho.journal.note import BadNote, Note, Verifier
from sekisho.journal.scan import Fault
from sekisho.journal.sealed import Entry, Sealed


class Target(NamedTuple):
    """A root that the tree must have at a size. ``witness``: another keeper of checkpoints says so."""

    size: int
    root: bytes
    where: str
    position: int
    witness: bool


@dataclass
class Trusted:
    """``targets`` in order of size. ``cannot``: why something could not be judged."""

    targets: list[Target] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    cannot: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    checkpoints: int = 0
    last: Sealed | None = None
    keys: list[Verifier] = field(default_factory=list)
    cosigned: Counter[str] = field(default_factory=Counter)
    stamped: list[datetime] = field(default_factory=list)


class _Placed(NamedTuple):
    sealed: Sealed
    position: int


def judge(
    folder: Path,
    pinned: Verifier | None,
    *,
    witness_keys: Sequence[Verifier] = (),
    witness_files: Sequence[Path] = (),
    tsa_ca: Path | None = None,
) -> Trusted:
    """Everything signed beside the journal and elsewhere. Raises ``OSError`` where a file cannot be read."""
    found = Trusted()
    placed, others = _read(folder, found)
    found.checkpoints = len(placed)
    if pinned is None:
        found.cannot.append("no verifier key: name it with --vkey (it was shown at the first start)")
        return found
    if not placed:
        found.cannot.append("there is no checkpoint: nothing of this journal was ever sealed")
    found.keys = _chain(placed, pinned, found)
    if found.keys:
        _signatures(placed, pinned.name, found)
    for path in witness_files:
        _elsewhere(path, pinned, found)
    _said_by_others(placed, others, witness_keys, tsa_ca, found)
    found.targets.sort(key=lambda target: (target.size, target.witness))
    return found


def _read(folder: Path, found: Trusted) -> tuple[list[_Placed], list[Entry]]:
    placed, others = [], []
    for entry in sealed_file.entries(folder):
        if not entry.whole:
            found.notices.append(f"{sealed_file.NAME}: the last line is not finished (a crash, or cut off)")
            continue
        try:
            if entry.line is None:
                raise BadNote(entry.why)
            if entry.line.note:
                placed.append(_Placed(sealed_file.sealed(entry.line), entry.position))
            else:
                others.append(entry)
        except BadNote as error:
            _fault(found, entry.position, error.why)
    return placed, others


def _fault(found: Trusted, position: int, why: str, kind: str = "checkpoint", size: int = 0) -> None:
    found.faults.append(Fault(kind, size - 1, size - 1, sealed_file.NAME, position, why))


def _chain(placed: Sequence[_Placed], pinned: Verifier, found: Trusted) -> list[Verifier]:
    """The keys in order of rule, if the pinned one is among them and each hand-over is signed twice."""
    keys: list[Verifier] = []
    for one, position in placed:
        try:
            handed = one.checkpoint.rotation
            if handed is None:
                continue
            old, new = handed
            if keys and keys[-1] != old:
                raise BadNote(f"the key {old.key_id.hex()} hands over, but {keys[-1].key_id.hex()} ruled")
            if old.name != pinned.name or new.name != pinned.name:
                raise BadNote("a change of key under another name")
            if not old.made(one.note) or not new.made(one.note):
                raise BadNote("a change of key is signed by both keys, and this one is not")
        except BadNote as error:
            _fault(found, position, error.why, size=one.checkpoint.size)
            continue
        keys = [*(keys or [old]), new]
    keys = keys or [pinned]
    if pinned not in keys:
        reached = ", ".join(key.key_id.hex() for key in keys)
        _fault(
            found, 0, f"no signed change of key leads to {pinned.vkey}; the checkpoints lead to: {reached}"
        )
        return []
    return keys


def _signatures(placed: Sequence[_Placed], name: str, found: Trusted) -> None:
    ruling = 0
    for one, position in placed:
        made = one.checkpoint
        try:
            if made.origin != name:
                raise BadNote(f"the origin is {made.origin!r}, not {name!r}")
            if not found.keys[ruling].made(one.note):
                raise BadNote(f"not signed by the key {found.keys[ruling].vkey}")
            if found.last and made.size < found.last.checkpoint.size:
                raise BadNote(f"size {made.size} behind size {found.last.checkpoint.size}: re-ordered")
        except BadNote as error:
            _fault(found, position, error.why, size=made.size)
            continue
        found.targets.append(Target(made.size, made.root, sealed_file.NAME, position, witness=False))
        found.last = one
        if made.rotation and ruling + 1 < len(found.keys) and made.rotation[1] == found.keys[ruling + 1]:
            ruling += 1


# -- what others keep ---------------------------------------------------------------------------


def _elsewhere(path: Path, pinned: Verifier, found: Trusted) -> None:
    """Checkpoints that a witness file, a webhook's or a syslog's archive holds."""
    count = 0
    for position, text in _notes_in(path):
        try:
            note = notes.parse(text)
            made = checkpoints.parse(note.text)
            if made.origin != pinned.name:
                continue
            if not any(key.made(note) for key in found.keys or [pinned]):
                raise BadNote("signed by no key that the pinned one leads to")
        except BadNote as error:
            found.faults.append(Fault("witness", -1, -1, path.name, position, error.why))
            continue
        count += 1
        found.targets.append(Target(made.size, made.root, path.name, position, witness=True))
    if not count:
        found.cannot.append(f"{path}: holds no checkpoint of {pinned.name}")


def _notes_in(path: Path) -> Iterator[tuple[int, str]]:
    """(place, note): a note as it is, or one per line in a JSON object (behind anything, as in syslog)."""
    raw = path.read_bytes()
    if b'"note"' not in raw:
        yield 0, raw.decode("utf-8", "replace")
        return
    position = 0
    for line in raw.split(b"\n"):
        begin = line.find(b"{")
        if begin >= 0 and b'"note"' in line:
            try:
                yield position, str(json.loads(line[begin:])["note"])
            except (ValueError, KeyError, TypeError):
                yield position, line.decode("utf-8", "replace")
        position += len(line) + 1


def _said_by_others(
    placed: Sequence[_Placed],
    others: Sequence[Entry],
    witness_keys: Sequence[Verifier],
    tsa_ca: Path | None,
    found: Trusted,
) -> None:
    by_size: dict[int, list[Note]] = {}
    for one, _ in placed:
        by_size.setdefault(one.checkpoint.size, []).append(one.note)
    unchecked: Counter[str] = Counter()
    for entry in others:
        assert entry.line is not None
        texts = by_size.get(entry.line.size, [])
        try:
            if entry.line.cosignature:
                _cosignature(entry.line.cosignature, texts, witness_keys, found, unchecked)
            elif tsa_ca is not None:
                found.stamped.append(_stamp(entry.line.stamp, texts, tsa_ca))
            else:
                unchecked["time stamps"] += 1
        except BadNote as error:
            _fault(found, entry.position, error.why, size=entry.line.size)
    for name, number in unchecked.items():
        found.notices.append(f"not checked, as its key is not named: {name} ({number})")


def _cosignature(
    line: str,
    texts: Sequence[Note],
    keys: Sequence[Verifier],
    found: Trusted,
    unchecked: Counter[str],
) -> None:
    (signature,) = notes.signatures(line)
    for key in keys:
        if (key.name, key.key_id) == (signature.name, signature.key_id):
            if not any(_holds(key, Note(note.text, (signature,))) for note in texts):
                raise BadNote(f"the cosignature of {key.name} is of no checkpoint that is here")
            found.cosigned[key.name] += 1
            return
    unchecked[f"cosignatures of {signature.name}"] += 1


def _holds(key: Verifier, note: Note) -> bool:
    try:
        return key.made(note) is not None
    except BadNote:
        return False


def _stamp(text: str, texts: Sequence[Note], ca: Path) -> datetime:
    why = "there is no checkpoint of its size"
    for note in texts:
        try:
            return stamping.check(base64.b64decode(text, validate=True), note.text.encode(), ca)
        except (stamping.BadStampError, binascii.Error) as error:
            why = str(error)
    raise BadNote(f"the time stamp does not verify: {why}")
