"""Bloom filters of several row groups lying side by side, so that one read answers for all of them.

A *slab* holds up to ``WIDTH`` filters of equal size. Bit ``g`` of its word ``p`` is bit ``p`` of the filter
of row group ``g``: a key is looked up by ``PROBES`` words of two bytes whatever the number of row groups.
(B. H. Bloom, "Space/time trade-offs in hash coding with allowable errors", 1970; the transposed form is
known as bit-sliced signatures.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sekisho.lake.cold.tokens import Hashes

WIDTH = 16
PROBES = 8
#: Bits a key: with 8 probes one row group in about 320 is looked at in vain (bench/store.py measures it).
BITS = 12
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFF_FFFF)

Words = npt.NDArray[np.uint16 | np.uint8]


class Slab(NamedTuple):
    """``groups``: numbers of the row groups, one a bit, in this order; ``words``: one for each bit place."""

    groups: tuple[int, ...]
    words: Words


def slabs(keys: dict[int, Hashes]) -> list[Slab]:
    """Filters of these row groups (number → keys, each once). Groups of like size share a slab."""
    order = sorted(keys, key=lambda group: len(keys[group]))
    return [_slab(order[i : i + WIDTH], keys) for i in range(0, len(order), WIDTH)]


def _slab(groups: Sequence[int], keys: dict[int, Hashes]) -> Slab:
    size = max(64, max(len(keys[group]) for group in groups) * BITS)
    size += size % 2  # so that slabs of bytes end at an even place
    kind: type[np.uint16 | np.uint8] = np.uint16 if len(groups) > 8 else np.uint8
    words: Words = np.zeros(size, dtype=kind)
    for bit, group in enumerate(groups):
        held: Words = np.zeros(size, dtype=kind)
        for probe in range(PROBES):
            held[_places(keys[group], size, probe)] = 1 << bit
        np.bitwise_or(words, held, out=words)
    return Slab(tuple(groups), words)


def _places(keys: Hashes, size: int, probe: int) -> npt.NDArray[np.int64]:
    with np.errstate(over="ignore"):
        mixed = ((keys & _LOW) + np.uint64(probe) * ((keys >> _HALF) | np.uint64(1))) & _LOW
        return ((mixed * np.uint64(size)) >> _HALF).astype(np.int64)


def places(key: int, size: int) -> list[int]:
    """The words that hold the bits of one key in a slab of ``size`` words."""
    one = np.array([key], dtype=np.uint64)
    return [int(_places(one, size, probe)[0]) for probe in range(PROBES)]
