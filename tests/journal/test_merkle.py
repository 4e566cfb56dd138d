"""The tree against the RFC's own definition, written down naively, and against known roots and proofs."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.journal import merkle

#: The entries that the Certificate Transparency projects test with; roots and proofs are facts of SHA-256.
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
#: (index, size) -> path
INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
#: (old, new) -> proof
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


# -- the RFC's definition, word by word ---------------------------------------------------------


def _k(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(entries: list[bytes]) -> bytes:
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = _k(len(entries))
    return hashlib.sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def path(m: int, entries: list[bytes]) -> list[bytes]:
    if len(entries) == 1:
        return []
    k = _k(len(entries))
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def subproof(m: int, entries: list[bytes], whole: bool) -> list[bytes]:
    n = len(entries)
    if m == n:
        return [] if whole else [mth(entries)]
    k = _k(n)
    if m <= k:
        return [*subproof(m, entries[:k], whole), mth(entries[k:])]
    return [*subproof(m - k, entries[k:], False), mth(entries[:k])]


def node_of(entries: list[bytes]) -> merkle.Node:
    def node(height: int, index: int) -> bytes:
        return mth(entries[index << height : (index + 1) << height])

    return node


# -- known facts --------------------------------------------------------------------------------


def test_known_roots() -> None:
    frontier = merkle.Frontier()
    assert frontier.root().hex() == ROOTS[0]
    for entry, expected in zip(ENTRIES, ROOTS[1:], strict=True):
        frontier.append(merkle.leaf_hash(entry))
        assert frontier.root().hex() == expected


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_known_inclusion_proofs(index: int, size: int) -> None:
    found = merkle.inclusion(node_of(ENTRIES), index, size)
    assert [step.hex() for step in found] == INCLUSION[index, size]
    leaf = merkle.leaf_hash(ENTRIES[index])
    assert merkle.root_from_inclusion(leaf, index, size, found) == bytes.fromhex(ROOTS[size])


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_known_consistency_proofs(old: int, new: int) -> None:
    found = merkle.consistency(node_of(ENTRIES), old, new)
    assert [step.hex() for step in found] == CONSISTENCY[old, new]
    assert merkle.consistent(old, bytes.fromhex(ROOTS[old]), new, bytes.fromhex(ROOTS[new]), found)


# -- against the definition ---------------------------------------------------------------------

_ENTRIES = st.lists(st.binary(max_size=4), min_size=1, max_size=70)


@settings(max_examples=150, deadline=None)
@given(_ENTRIES, st.data())
def test_roots_and_proofs_are_those_of_the_definition(entries: list[bytes], data: st.DataObject) -> None:
    size = len(entries)
    frontier = merkle.Frontier()
    for entry in entries:
        frontier.append(merkle.leaf_hash(entry))
    bulk = merkle.Frontier()
    bulk.extend(b"".join(map(merkle.leaf_hash, entries)))
    node = node_of(entries)
    assert mth(entries) == frontier.root() == bulk.root() == merkle.root(node, size)
    old = data.draw(st.integers(0, size))
    assert merkle.Frontier.of(old, node).root() == mth(entries[:old])
    index = data.draw(st.integers(0, size - 1))
    assert merkle.inclusion(node, index, size) == path(index, entries)
    proof = merkle.consistency(node, old, size)
    assert proof == (subproof(old, entries, True) if old else [])
    assert merkle.consistent(old, mth(entries[:old]), size, mth(entries), proof)


@settings(max_examples=150, deadline=None)
@given(_ENTRIES, st.data())
def test_an_altered_proof_does_not_verify(entries: list[bytes], data: st.DataObject) -> None:
    size = len(entries)
    node = node_of(entries)
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion(node, index, size)
    leaf = merkle.leaf_hash(entries[index])
    whole = mth(entries)
    other = data.draw(st.binary(min_size=32, max_size=32).filter(lambda h: h != leaf))
    assert merkle.root_from_inclusion(other, index, size, proof) != whole
    assert merkle.root_from_inclusion(leaf, index, size, [*proof, other]) != whole
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        assert merkle.root_from_inclusion(leaf, index, size, [*proof[:at], *proof[at + 1 :]]) != whole
    old = data.draw(st.integers(1, size))
    steps = merkle.consistency(node, old, size)
    before = mth(entries[:old])
    assert not merkle.consistent(old, other, size, whole, steps)
    assert not merkle.consistent(old, before, size, other, steps)
    assert not merkle.consistent(old, before, size, whole, [*steps, other])
    if steps:
        assert not merkle.consistent(old, before, size, whole, steps[:-1])


def test_sizes_that_cannot_be() -> None:
    node = node_of(ENTRIES)
    with pytest.raises(ValueError, match="leaf 8 is not in a tree of 8"):
        merkle.inclusion(node, 8, 8)
    with pytest.raises(ValueError, match="no earlier state of 9"):
        merkle.consistency(node, 9, 8)
    with pytest.raises(ValueError, match="2 peaks"):
        merkle.Frontier(3, [b"x"])
    assert merkle.root_from_inclusion(b"x" * 32, 3, 3, []) is None
    assert not merkle.consistent(3, b"x" * 32, 2, b"x" * 32, [])
    assert not merkle.consistent(3, b"x" * 32, 5, b"x" * 32, [])


def test_a_missing_frame_has_a_leaf_of_its_own() -> None:
    assert merkle.missing_leaf(7) != merkle.missing_leaf(8)
    assert not merkle.missing_entry(7).startswith(b"SKF1")
    assert merkle.missing_leaf(7) == hashlib.sha256(b"\0SEKISHO-MISSING\1\7\0\0\0\0\0\0\0").digest()
