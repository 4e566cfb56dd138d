"""Makes checkpoints: signs the tree's state with the collector's key. Knows no sockets and no clock."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from sekisho.journal import checkpoint as checkpoints
from sekisho.journal import keys, sealed
from sekisho.journal.checkpoint import Checkpoint
from sekisho.journal.growing import GrowingTree, Point
from sekisho.journal.keys import KeyFiles
from sekisho.journal.note import BadNote, Note, Signer
from sekisho.journal.sealed import CheckpointFile, Sealed
from sekisho.model import Refused

log = logging.getLogger(__name__)


class Sealer:
    """One per journal, beside its writer; called by one thread at a time.

    ``now``: seconds since 1970 UTC. ``error``: why nothing is sealed at present; empty if all is well.
    Receiving goes on without it: a journal that cannot be sealed is said to be so, and kept.
    """

    def __init__(self, folder: Path, tree: GrowingTree, files: KeyFiles, *, now: Callable[[], int]) -> None:
        self._tree = tree
        self._files = files
        self._now = now
        self.file = CheckpointFile(folder)
        self.error = ""
        self.last: Sealed | None = None
        self._signer: Signer | None = None
        try:
            self.last = sealed.last(folder)
            self._signer = self._own(keys.load(files.private))
        except (Refused, BadNote) as error:
            self._fail(error.why)
        if tree.broken:
            self._fail(tree.broken)

    def _own(self, signer: Signer) -> Signer:
        """The key, if it signed last; after a crash in a hand-over, the one that took over."""
        if self.last is None:
            return signer
        handed = self.last.checkpoint.rotation
        if handed and handed[0] == signer.verifier and self._files.coming.exists():
            signer = keys.take_over(self._files)
        made, key = self.last.checkpoint, signer.verifier
        if made.origin != key.name or key.made(self.last.note) is None:
            raise Refused(
                f"the last checkpoint ({made.origin}, size {made.size}) is not signed by the key of this"
                f" collector ({key.name} {key.key_id.hex()})"
            )
        return signer

    @property
    def waiting(self) -> int:
        """Frames that no checkpoint covers yet."""
        return self._tree.next - (self.last.checkpoint.size if self.last else 0)

    @property
    def hurry(self) -> bool:
        """A segment ended or a new key waits: seal without waiting for the interval."""
        return self._tree.segment_ended or self._files.coming.exists()

    def seal(self) -> list[Sealed]:
        """Checkpoints for the ends of segments and for what there is now; none if nothing is new."""
        if self._signer is None or self._tree.broken:
            self._fail(self.error or self._tree.broken)
            return []
        made: list[Sealed] = []
        try:
            points = self._tree.points()
            done = self.last.checkpoint.size if self.last else 0
            made += [self._sign(point) for point in points if point.size > done]
            if points and self._files.coming.exists():
                made.append(self._hand_over(points[-1]))
        except (OSError, Refused) as error:
            self._fail(f"the checkpoint cannot be stored: {error}")
        else:
            self.error = ""
        return made

    def close(self) -> None:
        self.file.close()

    def _sign(self, point: Point) -> Sealed:
        assert self._signer is not None
        made = Checkpoint(self._signer.verifier.name, point.size, point.root)
        return self._add(checkpoints.signed(made, self._signer))

    def _hand_over(self, point: Point) -> Sealed:
        assert self._signer is not None
        coming = keys.load(self._files.coming)
        name = self._signer.verifier.name
        done = self._add(checkpoints.rotation(name, point.size, point.root, self._signer, coming))
        self._signer = keys.take_over(self._files)
        log.warning("the sealing key changed to %s", self._signer.verifier.vkey)
        return done

    def _add(self, note: Note) -> Sealed:
        at = self._now()
        self.file.seal(note, at)
        self.last = Sealed(at, note, checkpoints.parse(note.text))
        return self.last

    def _fail(self, why: str) -> None:
        if why != self.error:
            log.error("the journal is not sealed: %s", why)
        self.error = why
