"""The Merkle tree over the journal's frames. Pure: hashes in, hashes out.

Hashing, inclusion and consistency proofs are those of RFC 9162, 2.1 (the same as RFC 6962, 2.1, with
SHA-256): a leaf is SHA-256(0x00 ‖ entry), a node SHA-256(0x01 ‖ left ‖ right), the empty tree SHA-256("").
Entry number ``n`` of the tree is frame ``n`` of the journal, from its magic to the end of its body, or
``missing_entry(n)`` for a frame whose bytes were gone before they could be sealed.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

HASH = 32
EMPTY_ROOT = hashlib.sha256().digest()
_MISSING = b"SEKISHO-MISSING\x01"

#: ``(height, index) -> hash`` of a whole subtree of 2**height leaves that begins at index * 2**height
Node = Callable[[int, int], bytes]


class Subtree(NamedTuple):
    """A whole subtree of 2**height leaves, the ``place``-th of its height."""

    height: int
    place: int
    hash: bytes


def leaf_hash(entry: bytes | memoryview) -> bytes:
    """Of one entry."""
    state = hashlib.sha256(b"\x00")
    state.update(entry)
    return state.digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def missing_entry(number: int) -> bytes:
    """What stands in the tree for a frame whose number was given out and whose bytes are gone.

    No frame begins with these bytes (a frame begins with ``SKF1``), so neither passes for the other.
    """
    return _MISSING + struct.pack("<Q", number)


def missing_leaf(number: int) -> bytes:
    return leaf_hash(missing_entry(number))


def reduced(hashes: bytes) -> bytes:
    """Root of a whole subtree from its 2**k nodes, 32 bytes each."""
    level = [hashes[i : i + HASH] for i in range(0, len(hashes), HASH)]
    sha256 = hashlib.sha256
    while len(level) > 1:
        level = [sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level), 2)]
    return level[0]


class Frontier:
    """The whole subtrees, largest first, of which a growing tree is made: all that appending needs."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if len(peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} peaks, not {len(peaks)}")
        self.size = size
        self._peaks = list(peaks)

    @classmethod
    def of(cls, size: int, node: Node) -> Frontier:
        """Frontier of the first ``size`` leaves of a stored tree."""
        peaks = []
        begin = 0
        for height in range(size.bit_length() - 1, -1, -1):
            if size >> height & 1:
                peaks.append(node(height, begin >> height))
                begin += 1 << height
        return cls(size, peaks)

    def copy(self) -> Frontier:
        return Frontier(self.size, self._peaks)

    def append(self, leaf: bytes) -> Iterator[Subtree]:
        """Add one leaf. Gives the subtrees above it that it made whole, lowest first."""
        number, made, height = self.size, leaf, 0
        whole = []
        while number >> height & 1:
            made = node_hash(self._peaks.pop(), made)
            height += 1
            whole.append(Subtree(height, number >> height, made))
        self._peaks.append(made)
        self.size += 1
        return iter(whole)

    def extend(self, leaves: bytes) -> None:
        """Add leaves, 32 bytes each."""
        peaks, sha256 = self._peaks, hashlib.sha256
        number = self.size
        for i in range(0, len(leaves), HASH):
            made, rest = leaves[i : i + HASH], number
            while rest & 1:
                made = sha256(b"\x01" + peaks.pop() + made).digest()
                rest >>= 1
            peaks.append(made)
            number += 1
        self.size = number

    def root(self) -> bytes:
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


def _split(size: int) -> int:
    """The largest power of two below ``size`` (``k`` of RFC 9162, 2.1.1); for sizes above 1."""
    return int(1 << ((size - 1).bit_length() - 1))


def range_root(node: Node, begin: int, end: int) -> bytes:
    """MTH(D[begin:end]) for a range that the tree's own splits produce."""
    size = end - begin
    if size & (size - 1) == 0:
        height = size.bit_length() - 1
        return node(height, begin >> height)
    middle = begin + _split(size)
    return node_hash(range_root(node, begin, middle), range_root(node, middle, end))


def root(node: Node, size: int) -> bytes:
    """Root of the first ``size`` leaves."""
    return range_root(node, 0, size) if size else EMPTY_ROOT


def inclusion(node: Node, index: int, size: int) -> list[bytes]:
    """PATH(index, D[size]) of RFC 9162, 2.1.3.1; raises ``ValueError`` for an index outside."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    path = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(range_root(node, middle, end))
            end = middle
        else:
            path.append(range_root(node, begin, middle))
            begin = middle
    return path[::-1]


def consistency(node: Node, old: int, new: int) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 9162, 2.1.4.1; empty for ``old`` of 0 or ``new``."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} has no earlier state of {old}")
    if old in (0, new):
        return []
    proof = []
    begin, end, whole = 0, new, True
    while end != old:
        middle = begin + _split(end - begin)
        if old <= middle:
            proof.append(range_root(node, middle, end))
            end = middle
        else:
            proof.append(range_root(node, begin, middle))
            begin, whole = middle, False
    if not whole:
        proof.append(range_root(node, begin, end))
    return proof[::-1]


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Root that the path leads to (RFC 9162, 2.1.3.2); None if the path cannot belong to such a tree."""
    if not 0 <= index < size:
        return None
    number, last, made = index, size - 1, leaf
    for step in path:
        if last == 0:
            return None
        if number & 1 or number == last:
            made = node_hash(step, made)
            while not number & 1 and number:
                number >>= 1
                last >>= 1
        else:
            made = node_hash(made, step)
        number >>= 1
        last >>= 1
    return made if last == 0 else None


def consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows the old tree to be the beginning of the new one (RFC 9162, 2.1.4.2)."""
    if old > new or old < 0:
        return False
    if old in (0, new):
        return not proof and (old_root == new_root if old == new else old_root == EMPTY_ROOT)
    steps = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not steps:
        return False
    number, last = old - 1, new - 1
    while number & 1:
        number >>= 1
        last >>= 1
    first = second = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            first, second = node_hash(step, first), node_hash(step, second)
            while not number & 1 and number:
                number >>= 1
                last >>= 1
        else:
            second = node_hash(second, step)
        number >>= 1
        last >>= 1
    return last == 0 and first == old_root and second == new_root
