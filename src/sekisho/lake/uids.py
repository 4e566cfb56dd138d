"""Which event ids the lake holds: an index on disk that stays small in memory.

An identical record has the identical id and, if it carries a time, the identical time. So the key of
an event is ``hour of its time (23 bits) | 40 bits of its id`` below 2^63: what arrives now is searched
in the few newest pages only. A record *without* any time of its own gets the time of receipt, which
differs when a shipper sends the batch again; its key is ``2^63 | 63 bits of its id``, searched without
regard to time. Nothing marks such a row, but its ``time`` equals its ``ingested_at``. A row that has a
time of its own may equal by chance, once and not the second time; therefore *every* row has the first
kind of key, and rows with equal times the second kind as well. Either finds it again.

Keys lie in sorted arrays: in memory for the newest commits (up to ``FLUSH`` keys), then as *runs* in
files, memory-mapped (at most ``MAPPED`` bytes at once). Keys only say "perhaps"; the caller compares the
whole id with the stored rows. The index can be rebuilt from the Parquet files at any time.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sekisho.lake import files
from sekisho.lake.manifest import Manifest, Run

Keys = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

FLUSH = 1 << 20
FAN = 8
LARGEST = 1 << 23
MAPPED = 64 << 20
_HOUR = 3_600_000_000
_TIMELESS = np.uint64(1 << 63)


class Batch:
    """Ids of some events as numbers.

    ``high``, ``low``  the two halves of the 128-bit id
    ``timed``          key by time, ``timeless`` key of the rows where ``is_timeless``
    """

    def __init__(self, events: pa.Table) -> None:
        halves = _halves(events["event_uid"])
        self.high: Keys = halves[:, 0]
        self.low: Keys = halves[:, 1]
        self.time = _micros(events["time"])
        self.is_timeless: Mask = self.time == _micros(events["ingested_at"])
        hours = (self.time // _HOUR).astype(np.uint64) & np.uint64((1 << 23) - 1)
        self.timed: Keys = (hours << np.uint64(40)) | (self.high >> np.uint64(24))
        self.timeless: Keys = _TIMELESS | (self.high >> np.uint64(1))

    def keys(self) -> Keys:
        """Every key under which these events are to be found, sorted."""
        return np.sort(np.concatenate([self.timed, self.timeless[self.is_timeless]]))

    def repeated(self) -> Mask:
        """Rows whose id stands in an earlier row of the same batch."""
        order = np.lexsort((np.arange(len(self.high)), self.low, self.high))
        same = (np.diff(self.high[order]) == 0) & (np.diff(self.low[order]) == 0)
        mask = np.zeros(len(order), dtype=bool)
        mask[order[1:][same]] = True
        return mask


class Uids:
    """The index of one lake. Used by the writer only."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self._manifest = manifest
        self._fresh: list[Keys] = []
        self._fresh_upto = 0
        self._maps: OrderedDict[str, Keys] = OrderedDict()
        self._ends: dict[str, tuple[int, int]] = {}
        folder.mkdir(exist_ok=True)

    # -- opening -----------------------------------------------------------------------------------

    def open(self) -> int:
        """Check the runs; returns the newest commit they cover (0 if one is damaged: all are dropped)."""
        runs = self._manifest.runs()
        if any(self._damaged(run) for run in runs):
            with self._manifest.transaction():
                self._manifest.replace_runs([run.name for run in runs], [])
            runs = []
        self.sweep()
        for run in runs:
            keys = self._map(run)
            self._ends[run.name] = (int(keys[0]), int(keys[-1]))
        return max((run.last_commit for run in runs), default=0)

    def sweep(self) -> None:
        """Remove runs that the manifest does not name."""
        known = {run.name for run in self._manifest.runs()}
        for path in self.folder.glob("run-*.u64"):
            if path.name not in known:
                path.unlink()

    def _damaged(self, run: Run) -> bool:
        path = self.folder / run.name
        return not path.is_file() or path.stat().st_size != run.keys * 8

    # -- looking up --------------------------------------------------------------------------------

    def perhaps(self, batch: Batch) -> tuple[Mask, Mask]:
        """Rows whose id may be stored: found by the key of their time; found by the timeless key."""
        timed = self._find(batch.timed)
        timeless = np.zeros(len(timed), dtype=bool)
        rows = np.flatnonzero(batch.is_timeless)
        if len(rows):
            timeless[rows] = self._find(batch.timeless[rows])
        return timed, timeless

    def _find(self, wanted: Keys) -> Mask:
        order = np.argsort(wanted)
        needles = wanted[order]
        found = np.zeros(len(needles), dtype=bool)
        for keys in self._fresh:
            _search(keys, needles, found, int(keys[0]), int(keys[-1]))
        for run in self._manifest.runs():
            low, high = self._ends[run.name]
            if low <= int(needles[-1]) and int(needles[0]) <= high:
                _search(self._map(run), needles, found, low, high)
        mask = np.empty_like(found)
        mask[order] = found
        return mask

    def _map(self, run: Run) -> Keys:
        keys = self._maps.pop(run.name, None)
        if keys is None:
            keys = np.memmap(self.folder / run.name, dtype=np.uint64, mode="r", shape=(run.keys,))
        self._maps[run.name] = keys
        held = sum(mapped.nbytes for mapped in self._maps.values())
        while held > MAPPED and len(self._maps) > 1:
            _, oldest = self._maps.popitem(last=False)
            held -= oldest.nbytes
        return keys

    # -- growing -----------------------------------------------------------------------------------

    def add(self, keys: Keys, commit: int) -> None:
        """Take in the keys of a commit (sorted)."""
        if len(keys):
            self._fresh.append(keys)
        while len(self._fresh) > 1 and len(self._fresh[-2]) < 2 * len(self._fresh[-1]):
            merged = np.sort(np.concatenate([self._fresh.pop(), self._fresh.pop()]), kind="stable")
            self._fresh.append(merged)
        self._fresh_upto = max(self._fresh_upto, commit)
        if sum(map(len, self._fresh)) >= FLUSH:
            self.flush()

    def flush(self) -> None:
        """Write the newest keys as a run; join runs when there are many small ones."""
        if not self._fresh:
            return
        keys = np.sort(np.concatenate(self._fresh), kind="stable")
        self._publish([], [keys], self._fresh_upto)
        self._fresh = []
        small = [run for run in self._manifest.runs() if run.keys * 2 <= LARGEST]
        if len(small) >= FAN:
            self._join(small)

    def _join(self, runs: list[Run]) -> None:
        """One run out of several, slice by slice of the key space, so that memory stays small."""
        arrays = [self._map(run) for run in runs]
        samples = np.sort(np.concatenate([keys[:: max(1, len(keys) // 16)] for keys in arrays]))
        marks = samples[len(runs) :: 16]
        cuts = [np.concatenate([[0], np.searchsorted(keys, marks), [len(keys)]]) for keys in arrays]
        pairs = list(zip(arrays, cuts, strict=True))
        slices = (
            np.sort(np.concatenate([keys[cut[i] : cut[i + 1]] for keys, cut in pairs]))
            for i in range(len(marks) + 1)
        )
        self._publish([run.name for run in runs], slices, max(run.last_commit for run in runs))

    def _publish(self, old: list[str], slices: Iterable[Keys], upto: int) -> None:
        name = f"run-{upto:016x}-{secrets.token_hex(4)}.u64"
        first = last = -1
        count = 0
        with files.create(self.folder / name) as file:
            for keys in slices:
                if len(keys):
                    first = int(keys[0]) if first < 0 else first
                    last = int(keys[-1])
                    count += len(keys)
                    file.write(keys.tobytes())
        with self._manifest.transaction():
            self._manifest.replace_runs(old, [Run(name, count, upto)])
        self._ends[name] = (first, last)
        for gone in old:
            self._maps.pop(gone, None)
            self._ends.pop(gone, None)
            (self.folder / gone).unlink()


def _search(keys: Keys, needles: Keys, found: Mask, low: int, high: int) -> None:
    """Mark the needles (sorted) that are among ``keys`` (sorted, from ``low`` to ``high``)."""
    start = int(np.searchsorted(needles, np.uint64(low)))
    stop = int(np.searchsorted(needles, np.uint64(high), side="right"))
    if start == stop:
        return
    part = needles[start:stop]
    places = np.searchsorted(keys, part)
    found[start:stop] |= keys[np.minimum(places, len(keys) - 1)] == part


def _micros(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    values: npt.NDArray[np.int64] = column.cast(pa.int64()).to_numpy()
    return values


def _halves(column: pa.ChunkedArray) -> Keys:
    """Hex ids as rows of two numbers. Raises ``ValueError`` for an id that is not 32 hex digits."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], pa.string())
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset : array.offset + len(array) + 1]
    if len(array) == 0:
        return np.empty((0, 2), dtype=np.uint64)
    if array.null_count or not (np.diff(offsets) == 32).all():
        raise ValueError("event_uid must be 32 hex digits in every row")
    text = array.buffers()[2][int(offsets[0]) : int(offsets[-1])].to_pybytes()
    return np.frombuffer(bytes.fromhex(text.decode("ascii")), dtype=">u8").astype(np.uint64).reshape(-1, 2)
