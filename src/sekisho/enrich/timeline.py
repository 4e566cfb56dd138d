"""What a key meant at a time: validity intervals as steps, and their look-up for a whole batch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]
NOTHING = -1
NEVER = np.iinfo(np.int64).max


class Span(NamedTuple):
    """``value`` holds from ``start`` to before ``end`` (µs since 1970 UTC); the highest ``rank`` wins."""

    start: int
    end: int
    value: int
    rank: int = 0


class Steps(NamedTuple):
    """``values[i]`` holds from ``starts[i]`` until the next start; ``NOTHING`` before the first."""

    starts: tuple[int, ...]
    values: tuple[int, ...]

    def at(self, time: int) -> int:
        place = bisect_right(self.starts, time)
        return self.values[place - 1] if place else NOTHING


NO_STEPS = Steps((), ())


def steps(spans: Sequence[Span], *, lasting: bool) -> Steps:
    """Of the spans valid at a time the one of highest rank, then latest start. With ``lasting`` the
    last one that ended still answers where none is valid (whose account it *was*, A8)."""
    starts: list[int] = []
    values: list[int] = []
    for point in sorted({span.start for span in spans} | {span.end for span in spans} - {NEVER}):
        begun = [span for span in spans if span.start <= point and span.start < span.end]
        valid = [span for span in begun if point < span.end]
        chosen = max(valid or (begun if lasting else []), key=_order, default=None)
        value = NOTHING if chosen is None else chosen.value
        if not values or values[-1] != value:
            starts.append(point)
            values.append(value)
    return Steps(tuple(starts), tuple(values))


def _order(span: Span) -> tuple[int, int, int]:
    return span.rank, span.start, span.value


def resolve(found: Sequence[Steps], codes: Ints, times: Ints) -> Ints:
    """For each event the value of ``found[code]`` at its time; ``NOTHING`` where the code is negative."""
    result = np.full(len(codes), NOTHING, np.int64)
    if not any(entry.starts for entry in found):
        return result
    first, second = (np.full(len(found), NEVER, np.int64) for _ in range(2))
    value, then = (np.full(len(found), NOTHING, np.int64) for _ in range(2))
    long: list[int] = []
    for place, entry in enumerate(found):
        if entry.starts:
            first[place], value[place] = entry.starts[0], entry.values[0]
        if len(entry.starts) > 1:
            second[place], then[place] = entry.starts[1], entry.values[1]
        if len(entry.starts) > 2:
            long.append(place)
    known = codes >= 0
    code, time = codes[known], times[known]
    answer = np.where(time >= second[code], then[code], np.where(time >= first[code], value[code], NOTHING))
    for row in np.flatnonzero(np.isin(code, long)) if long else ():
        answer[row] = found[code[row]].at(int(time[row]))
    result[known] = answer
    return result


class Coded(NamedTuple):
    """A text column as codes into its distinct values; a null has the code -1."""

    codes: Ints
    values: list[str]

    @classmethod
    def of(cls, column: pa.ChunkedArray | pa.Array) -> Coded:
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        if column.null_count == len(column):
            return cls(np.full(len(column), NOTHING, np.int64), [])
        coded = pc.dictionary_encode(column)
        if isinstance(coded, pa.ChunkedArray):
            coded = coded.combine_chunks()
        codes = coded.indices.fill_null(NOTHING).to_numpy(zero_copy_only=False).astype(np.int64)
        return cls(codes, coded.dictionary.to_pylist())

    def with_(self, other: Coded) -> tuple[Ints, list[tuple[int, int]]]:
        """Codes of the distinct pairs (code of this, code of the other), -1 where this is null."""
        width = len(other.values) + 1
        joined = np.where(self.codes >= 0, self.codes * width + other.codes + 1, NOTHING)
        distinct, inverse = np.unique(joined, return_inverse=True)
        if len(distinct) and distinct[0] == NOTHING:
            inverse, distinct = inverse - 1, distinct[1:]
        return inverse.reshape(-1).astype(np.int64), [(int(d) // width, int(d) % width - 1) for d in distinct]


def spread(values: Sequence[str], picks: Ints) -> pa.Array:
    """Text column with ``values[pick]``; null where the pick is negative."""
    if not len(values):
        return pa.nulls(len(picks), pa.string())
    return pa.array(values, pa.string()).take(pa.array(picks, mask=picks < 0))


def micros(column: pa.ChunkedArray, absent: int) -> Ints:
    """Times as µs since 1970 UTC."""
    whole: pa.Array = pc.fill_null(pc.cast(column, pa.int64()), absent).combine_chunks()
    return np.asarray(whole.to_numpy(zero_copy_only=False), np.int64)
