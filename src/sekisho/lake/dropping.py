"""Events that have outlived their period leave the lake: whole files dropped, mixed ones rewritten
without them.

A row's age counts from ``counted_from``: its own ``time``, bounded by its receipt. An event dated after
its receipt
counts as received; one dated more than ``lateness`` before it (1970, a log of years ago read in for a
case) counts
from ``lateness`` before its receipt. So nothing is deleted at once, whatever its clock said.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sekisho.lake import files
from sekisho.lake.manifest import Manifest, Stored

Micros = npt.NDArray[np.int64]
_KEYS = ["time", "ingested_at", "source", "journal_offset", "event_uid"]


class Limit(NamedTuple):
    """Events of a source counted from before ``cutoff`` go. µs since 1970 UTC; ``lateness`` in µs."""

    cutoff: int
    lateness: int


class Floor(NamedTuple):
    """Rows with packed journal offsets ``low`` to ``high`` were received at ``at`` (µs) or later.

    For records received while the machine's clock had been set back.
    """

    low: int
    high: int
    at: int


class Terms(NamedTuple):
    """What is to go. ``limits``: by source; a source that is not named stays."""

    limits: Mapping[str, Limit]
    floors: tuple[Floor, ...] = ()


class Share(NamedTuple):
    """Rows of one source; ``oldest``, ``newest``: counted from (µs since 1970 UTC)."""

    rows: int
    oldest: int
    newest: int

    def plus(self, other: Share | None) -> Share:
        if other is None:
            return self
        return Share(self.rows + other.rows, min(self.oldest, other.oldest), max(self.newest, other.newest))


class Due(NamedTuple):
    """A file with rows that must go, and which ids stay because they are held."""

    file: Stored
    path: Path
    shares: dict[str, Share]
    held: frozenset[str]
    held_rows: int

    @property
    def rows(self) -> int:
        return sum(share.rows for share in self.shares.values())


#: Ids of held events in a file.
Held = Callable[[Stored, Path], frozenset[str]]


def may_hold(file: Stored, terms: Terms, now: int) -> bool:
    """Whether the file can have rows that must go (µs since 1970 UTC); dates in the future are looked
    into."""
    return any(
        file.time_min < limit.cutoff or file.time_max > now
        for source in file.sources
        if (limit := terms.limits.get(source)) is not None
    )


def due(file: Stored, path: Path, terms: Terms, held: Held) -> Due | None:
    """Read the keys of a file; None if nothing must go. Raises ``OSError``, ``ArrowException`` if it is
    damaged."""
    shares: dict[str, Share] = {}
    kept: frozenset[str] | None = None
    held_rows = 0
    with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
        for number in range(parquet.num_row_groups):
            part = parquet.read_row_group(number, columns=_KEYS)
            mask, counted = _mask(part, terms)
            if mask.any() and kept is None:
                kept = held(file, path)
            if kept:
                stays = _among(part, kept)
                held_rows += int((mask & stays).sum())
                mask &= ~stays
            _add(shares, part, mask, counted)
    return Due(file, path, shares, kept or frozenset(), held_rows) if shares else None


def drop(
    manifest: Manifest, folder: Path, found: Sequence[Due], terms: Terms, at: int
) -> tuple[list[Stored], set[int]]:
    """Carry it out, file by file, each in one transaction; gives files added and ids of files replaced.

    ``folder``  where rewritten files are put (the hot tier)
    ``at``      µs since 1970 UTC; readers that still list the old files keep them for the lake's grace period
    Call it while no merge runs (``Lake.exclusively``). Raises ``Retry`` when the disk is full: what was
    done before
    stays done, the rest is as it was.
    """
    added: list[Stored] = []
    gone: set[int] = set()
    live = {file.id for file in manifest.files()}
    for one in found:
        if one.file.id not in live:
            continue
        rest = None
        if one.rows < one.file.rows:
            rest = _rewrite(one, folder, terms)
        with manifest.transaction():
            manifest.replace([one.file.id], at)
            if rest is not None:
                rest = rest._replace(id=manifest.add(rest))
                added.append(rest)
            manifest.count({source: {"events": -share.rows} for source, share in one.shares.items()})
        gone.add(one.file.id)
    return added, gone


def counted_from(time: Micros, ingested: Micros, lateness: int) -> Micros:
    """See above; all in µs since 1970 UTC."""
    return np.minimum(np.maximum(time, ingested - lateness), ingested)


def _mask(part: pa.Table, terms: Terms) -> tuple[npt.NDArray[np.bool_], Micros]:
    """Which rows must go by their age, and from when each row's age counts."""
    time, ingested, offset = (_micros(part[name]) for name in ("time", "ingested_at", "journal_offset"))
    for floor in terms.floors:
        inside = (offset >= floor.low) & (offset <= floor.high)
        ingested = np.where(inside, np.maximum(ingested, floor.at), ingested)
    mask = np.zeros(part.num_rows, dtype=bool)
    counted = ingested.copy()
    for source in pc.unique(part["source"]).to_pylist():
        limit = terms.limits.get(source)
        if limit is None:
            continue
        mine = pc.equal(part["source"], source).to_numpy(zero_copy_only=False)
        counted[mine] = counted_from(time[mine], ingested[mine], limit.lateness)
        mask |= mine & (counted < limit.cutoff)
    return mask, counted


def _micros(column: pa.ChunkedArray) -> Micros:
    values: Micros = column.cast(pa.int64()).to_numpy()
    return values


def _among(part: pa.Table, uids: Collection[str]) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = pc.is_in(
        part["event_uid"], value_set=pa.array(sorted(uids), pa.string())
    ).to_numpy(zero_copy_only=False)
    return found


def _add(shares: dict[str, Share], part: pa.Table, mask: npt.NDArray[np.bool_], counted: Micros) -> None:
    if not mask.any():
        return
    sources = part["source"].filter(pa.array(mask)).to_pylist()
    times = counted[mask]
    names = np.array(sources, dtype=object)
    for source in set(sources):
        mine = times[names == source]
        share = Share(len(mine), int(mine.min()), int(mine.max()))
        shares[source] = share.plus(shares.get(source))


def _rewrite(one: Due, folder: Path, terms: Terms) -> Stored:
    """The rows that stay, as a new file. Its row groups are as large as before or smaller."""
    name = files.new_name(one.file.offset_max >> 20)
    path = folder / name
    tally = _Tally()
    with pq.ParquetFile(one.path, page_checksum_verification=True) as parquet:
        held = set(parquet.schema_arrow.names)
        schema = pa.schema([f for f in files.SCHEMA if f.name in held], metadata=files.SCHEMA.metadata)
        with files.create(path) as out, files.writer(out, schema) as written:
            for number in range(parquet.num_row_groups):
                part = parquet.read_row_group(number)
                mask, _ = _mask(part, terms)
                if one.held:
                    mask &= ~_among(part, one.held)
                rest = files.shaped(part.filter(pa.array(~mask)), schema)
                if rest.num_rows:
                    tally.add(rest)
                    written.write_table(rest, row_group_size=files.ROW_GROUP)
    return one.file._replace(
        name=name, tier="hot", bytes=path.stat().st_size, replaced_at=None, **tally.facts()
    )


class _Tally:
    """What the manifest says of a file, gathered part by part."""

    def __init__(self) -> None:
        self._rows = self._timeless = 0
        self._times: list[int] = []
        self._offsets: list[int] = []
        self._sources: set[str] = set()

    def add(self, part: pa.Table) -> None:
        time, ingested, offset = (_micros(part[name]) for name in ("time", "ingested_at", "journal_offset"))
        self._rows += part.num_rows
        self._timeless += int((time == ingested).sum())
        self._times += [int(time.min()), int(time.max())]
        self._offsets += [int(offset.min()), int(offset.max())]
        self._sources |= set(pc.unique(part["source"]).to_pylist())

    def facts(self) -> dict[str, Any]:
        return {
            "rows": self._rows,
            "timeless": self._timeless,
            "time_min": min(self._times),
            "time_max": max(self._times),
            "offset_min": min(self._offsets),
            "offset_max": max(self._offsets),
            "sources": tuple(sorted(self._sources)),
        }
