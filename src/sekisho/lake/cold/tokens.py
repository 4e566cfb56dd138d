"""Words of a text as 64-bit hashes: the same when a file is indexed and when it is asked.

A *token* is the longest run of ASCII letters and digits, folded to lower case, or one other character.
Runs of one or two letters are everywhere and not counted. After a backslash the letters ``b f n r t``
and ``uXXXX`` may be an escape of JSON: the token is then counted with and without them. Only the
first ``LONGEST`` bytes and the length of a token go into its hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Hashes = npt.NDArray[np.uint64]
_Places = npt.NDArray[np.int64]

SHORTEST = 3
LONGEST = 512
#: Bytes of text taken at once: what is computed of them stays in the processor's cache.
_CHUNK = 1 << 18

_SEPARATOR, _WORD, _LEAD, _TAIL = range(4)


def _classes() -> bytes:
    table = bytearray(256)
    for byte in range(256):
        if byte < 0x80:
            table[byte] = _WORD if chr(byte).isalnum() else _SEPARATOR
        else:
            table[byte] = _TAIL if byte < 0xC0 else _LEAD
    return bytes(table)


_CLASS = _classes()
_LOWER = bytes(range(256)).translate(
    bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz")
)
_FIRST = np.uint64(0x9E3779B97F4A7C15)
_SECOND = np.uint64(0xBF58476D1CE4E5B9)
_THIRD = np.uint64(0x94D049BB133111EB)
_MASKS = np.array([(1 << (8 * n)) - 1 for n in range(8)] + [(1 << 64) - 1], dtype=np.uint64)


def hashed(data: bytes, starts: _Places, lengths: _Places) -> Hashes:
    """Hash of each piece of ``data``; ``data`` must go on for 8 bytes after the last piece."""
    words: Hashes = np.ndarray(shape=(len(data) - 7,), dtype="<u8", buffer=data, strides=(1,))
    hashes = lengths.astype(np.uint64) * _THIRD
    with np.errstate(over="ignore"):
        hashes = _mixed(hashes ^ (words[starts] & _MASKS[np.minimum(lengths, 8)]))
        rest = np.flatnonzero(lengths > 8)
        done = 8
        while len(rest) and done < LONGEST:
            left = np.minimum(lengths[rest] - done, 8)
            hashes[rest] = _mixed(hashes[rest] ^ (words[starts[rest] + done] & _MASKS[left]))
            done += 8
            rest = rest[lengths[rest] > done]
    return hashes


def _mixed(hashes: Hashes) -> Hashes:
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _SECOND
    hashes = (hashes ^ (hashes >> np.uint64(27))) * _FIRST
    return hashes ^ (hashes >> np.uint64(31))


def of_texts(column: pa.ChunkedArray) -> Hashes:
    """Sorted hashes of all tokens of these texts, each once."""
    return distinct([distinct([part]) for chunk in column.chunks for part in _of_array(chunk)])


def distinct(parts: Sequence[Hashes]) -> Hashes:
    """All hashes, sorted, each once (``numpy.unique`` hashes again, which takes three times as long)."""
    if not parts:
        return np.empty(0, dtype=np.uint64)
    found = np.concatenate(parts)
    found.sort()
    keep = np.ones(len(found), dtype=bool)
    np.not_equal(found[1:], found[:-1], out=keep[1:])
    return found[keep]


def of_text(text: str) -> list[tuple[str, bool]]:
    """Tokens of ``text`` in order; and whether the token's case is folded in the index as in a search."""
    found: list[tuple[str, bool]] = []
    run = ""
    for char in text + " ":
        if char.isascii() and char.isalnum():
            run += char
            continue
        if len(run) >= SHORTEST:
            found.append((run.lower(), True))
        run = ""
        if not char.isascii():
            found.append((char, char.lower() == char.upper()))
    return found


def of_token(token: str) -> int:
    """The hash of one token (``of_text`` gives them)."""
    return one(token.lower() if token.isascii() else token)


def one(text: str) -> int:
    """The hash of a whole text as it is."""
    data = text.encode()
    return int(hashed(data + bytes(8), np.array([0]), np.array([len(data)]))[0])


def of_values(column: pa.ChunkedArray) -> Hashes:
    """Hashes of whole values, folded to lower case; each once."""
    values = pc.utf8_lower(pc.unique(column).drop_null())
    if not len(values):
        return np.empty(0, dtype=np.uint64)
    offsets, data = _buffers(values)
    starts = offsets[:-1].astype(np.int64)
    return hashed(data + bytes(8), starts, np.diff(offsets).astype(np.int64))


def of_value(value: str) -> int:
    """The hash of a value as ``of_values`` computes it."""
    return one(pc.utf8_lower(pa.scalar(value)).as_py())


def _buffers(array: pa.Array) -> tuple[npt.NDArray[np.int32], bytes]:
    """Offsets (from 0) and bytes of a string array."""
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset : array.offset + len(array) + 1]
    held = array.buffers()[2]
    data = held[int(offsets[0]) : int(offsets[-1])].to_pybytes() if held is not None else b""
    return offsets - offsets[0], data


def _of_array(array: pa.Array) -> Iterator[Hashes]:
    array = array.drop_null()
    if not len(array):
        return
    offsets, data = _buffers(array)
    row = 0
    while row < len(array):
        stop = int(np.searchsorted(offsets, offsets[row] + _CHUNK, side="right")) - 1
        stop = min(max(stop, row + 1), len(array))
        low, high = int(offsets[row]), int(offsets[stop])
        if high > low:
            yield _of_bytes(data[low:high], offsets[row:stop].astype(np.int64) - low)
        row = stop


def _of_bytes(data: bytes, rows: _Places) -> Hashes:
    """Hashes of the tokens in texts that begin at ``rows``, in no order, some more than once."""
    size = len(data)
    rows = rows[rows < size]
    kind = np.frombuffer(data.translate(_CLASS), dtype=np.uint8)
    before = np.empty_like(kind)
    before[1:] = kind[:-1]
    before[rows] = _SEPARATOR
    starting = ((kind == _WORD) & (before != _WORD)) | (kind == _LEAD)
    edge = starting | ((kind == _SEPARATOR) & (before != _SEPARATOR))
    edge[rows] = True
    edges = np.append(np.flatnonzero(edge), size)
    begins = starting[edges[:-1]]
    starts = edges[:-1][begins]
    lengths = np.diff(edges)[begins]
    word = kind[starts] == _WORD
    # what follows a backslash
    after = starts[(starts > 0) & word]
    ends = after + lengths[(starts > 0) & word]
    raw = np.frombuffer(data, dtype=np.uint8)
    escaped = (raw[after - 1] == ord("\\")) & (before[after] == _SEPARATOR)
    after, ends = after[escaped], ends[escaped]
    letter = raw[after]
    less = np.isin(letter, np.frombuffer(b"bfnrt", dtype=np.uint8)).astype(np.int64)
    less[letter == ord("u")] = 5
    keep = (less > 0) & (ends - after - less >= SHORTEST)
    starts = np.concatenate([starts, after[keep] + less[keep]])
    lengths = np.concatenate([lengths, (ends - after - less)[keep]])
    worth = (lengths >= SHORTEST) | (kind[starts] == _LEAD)
    return hashed(data.translate(_LOWER) + bytes(8), starts[worth], lengths[worth])
