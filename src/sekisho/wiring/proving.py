"""From an event to its proof: the lake knows the place, the journal has the bytes and the tree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from sekisho.journal import format as fmt
from sekisho.journal import merkle, proof
from sekisho.journal import sealed as sealed_file
from sekisho.journal.leaves import NoLeavesError, StoredTree
from sekisho.journal.note import BadNote
from sekisho.journal.sealed import Sealed
from sekisho.journal.writer import segments
from sekisho.lake import manifest, reader, sandbox
from sekisho.model import Offset, Refused
from sekisho.settings import Settings

_UID = re.compile(r"[0-9a-f]{32}")
_LOOKUP_SECONDS = 120.0


class Made(NamedTuple):
    """The proof file's bytes, the place of the event, and what signed it."""

    data: bytes
    offset: Offset
    size: int
    records: int


def place(settings: Settings, event: str) -> Offset:
    """Journal place of an event: its ``event_uid`` (looked up in the lake), a packed journal offset, or
    ``FRAME/RECORD``. Raises ``Refused``."""
    frame, slash, index = event.partition("/")
    if slash and frame.isdigit() and index.isdigit():
        return Offset(int(frame), int(index))
    if event.isdigit() and len(event) < 20:
        return Offset.unpack(int(event))
    if not (settings.lake_dir / manifest.FILE).exists():
        raise Refused("nothing is searchable yet", "name the event by its place in the journal: FRAME/RECORD")
    if not _UID.fullmatch(event):
        raise Refused(f"{event!r} is no id of an event", "32 hexadecimal digits, an offset, or FRAME/RECORD")
    statement = f"SELECT journal_offset FROM events WHERE event_uid = '{event}'"  # noqa: S608 - hexadecimal
    result = sandbox.run(
        reader.snapshot(settings.lake_dir), settings.lake, statement, rows=1, seconds=_LOOKUP_SECONDS
    )
    rows = result.table.column("journal_offset").to_pylist()
    if not rows:
        raise Refused(
            f"there is no event with the id {event}", "take event_uid from: sekisho search … --json"
        )
    return Offset.unpack(int(rows[0]))


def prove(journal: Path, offset: Offset, event_uid: str = "") -> Made:
    """The proof under the newest checkpoint that covers the frame. Raises ``Refused``."""
    raw, records = _frame(journal, offset)
    sealed, hand_overs, cosignatures = _sealed(journal, offset.frame)
    size = sealed.checkpoint.size
    tree = StoredTree(journal)
    try:
        path = merkle.inclusion(tree.node, offset.frame, size)
    except NoLeavesError as error:
        raise Refused(f"no proof can be made: {error}", "run `sekisho verify`") from error
    root = merkle.root_from_inclusion(merkle.leaf_hash(raw), offset.frame, size, path)
    if root != sealed.checkpoint.root:
        raise Refused(
            f"frame {offset.frame} does not lead to the signed root: the journal was altered or damaged",
            "run `sekisho verify`, which names what is altered",
        )
    data = proof.make(
        raw,
        offset.frame,
        offset.index,
        size,
        path,
        str(sealed.note),
        hand_overs=hand_overs,
        cosignatures=cosignatures,
        event_uid=event_uid,
    )
    return Made(data, offset, size, records)


def _frame(journal: Path, offset: Offset) -> tuple[bytes, int]:
    """Bytes of the frame and the number of its records."""
    paths = [path for path in segments(journal) if int(path.stem) <= offset.frame]
    if not paths:
        raise Refused(f"no segment holds frame {offset.frame}", "if it was archived: sekisho restore")
    data = paths[-1].read_bytes()
    position = fmt.SEGMENT_HEADER.size
    try:
        while True:
            header = fmt.read_header(data[position : position + fmt.FRAME_HEADER.size])
            if header.number == offset.frame:
                break
            position += header.size
        raw = data[position : position + header.size]
        fmt.check(raw, header)
        count = len(fmt.decode(raw, header).records.bodies)
    except fmt.Broken as broken:
        raise Refused(
            f"frame {offset.frame} cannot be read in {paths[-1].name}: {broken.why}", "run `sekisho verify`"
        ) from broken
    if offset.index >= count:
        raise Refused(f"frame {offset.frame} has {count} records, from 0 to {count - 1}", "name one of them")
    return raw, count


def _sealed(journal: Path, frame: int) -> tuple[Sealed, list[str], list[str]]:
    """The newest checkpoint over the frame, all changes of key, and its cosignatures.

    One that a witness cosigned is preferred to a newer one without.
    """
    newest: Sealed | None = None
    cosigned: Sealed | None = None
    by_size: dict[int, Sealed] = {}
    lines: dict[int, list[str]] = {}
    hand_overs: list[str] = []
    for entry in sealed_file.entries(journal):
        line = entry.line
        try:
            if line is not None and line.note:
                one = sealed_file.sealed(line)
                if one.checkpoint.rotation:
                    hand_overs.append(line.note)
                if one.checkpoint.size > frame:
                    newest = one
                    by_size[one.checkpoint.size] = one
            elif line is not None and line.cosignature and line.size in by_size:
                lines.setdefault(line.size, []).append(line.cosignature)
                cosigned = by_size[line.size]
        except BadNote as error:
            raise Refused(f"the checkpoints are damaged: {error.why}", "run `sekisho verify`") from error
    chosen = cosigned or newest
    if chosen is None:
        raise Refused(
            f"no checkpoint covers frame {frame} yet", "wait for the next one (a minute at most), then again"
        )
    return chosen, hand_overs, lines.get(chosen.checkpoint.size, [])
