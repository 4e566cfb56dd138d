"""Bytes of the journal. Pure: encode and decode, no files.

Segment file ``<first frame, 16 digits>.seg``: 24 bytes of header, then frames end to end.

========  ====  ==================================================================
segment   16    ``SEKISHO-JOURNAL`` and the format version (1)
           8    number of the first frame, little endian
frame      4    magic ``SKF1``
           4    CRC-32C (Castagnoli, RFC 3720) over all that follows in the frame
           8    frame number
           4    length of the head
           4    length of the body
           n    head: msgpack of ``_Head``
           m    body: zstd of (count, count lengths as uint32, the bodies)
========  ====  ==================================================================

The bytes of a frame from the magic to the end of the body are what the Merkle tree will hash as a
leaf (RFC 9162, 2.1.1), so nothing in a frame may be rewritten once it is acknowledged.
"""

from __future__ import annotations

import struct
from itertools import accumulate
from typing import NamedTuple

import google_crc32c
import msgspec
import zstandard

from sekisho.model import Frame, Records, Wrapping

SEGMENT_MAGIC = b"SEKISHO-JOURNAL\x01"
SEGMENT_HEADER = struct.Struct("<16sQ")
FRAME_MAGIC = b"SKF1"
FRAME_HEADER = struct.Struct("<4sIQII")
_CHECKED_FROM = 8
#: A frame larger than this (compressed) is taken for damage, not for data.
MAX_FRAME = 1 << 30
MAX_UNPACKED = 1 << 31


class _Head(msgspec.Struct, array_like=True, gc=False):
    source: str
    receiver: str
    wrapping: Wrapping
    peer: str
    identity: str
    received_at: int
    attributes: dict[str, str]
    unpacked: int


class Broken(Exception):  # noqa: N818 - a verdict on bytes, handled by recovery and reader
    """These bytes are no whole, unaltered frame; ``why`` says what is wrong."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class FrameHeader(NamedTuple):
    """What the first 24 bytes of a frame say."""

    checksum: int
    number: int
    head: int
    body: int

    @property
    def size(self) -> int:
        return FRAME_HEADER.size + self.head + self.body


_encode_head = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(_Head).decode


def segment_header(first: int) -> bytes:
    return SEGMENT_HEADER.pack(SEGMENT_MAGIC, first)


def read_segment_header(data: bytes) -> int:
    """First frame number; raises ``Broken``."""
    if len(data) < SEGMENT_HEADER.size:
        raise Broken("segment header cut short")
    magic, first = SEGMENT_HEADER.unpack_from(data)
    if magic != SEGMENT_MAGIC:
        raise Broken("not a segment of this journal, or of another format version")
    return int(first)


def encode(number: int, records: Records, compressor: zstandard.ZstdCompressor) -> bytes:
    """One frame. The same number and records give the same bytes."""
    bodies = records.bodies
    plain = b"".join(
        (struct.pack(f"<{len(bodies) + 1}I", len(bodies), *map(len, bodies)), *bodies),
    )
    values = _Head(
        records.source,
        records.receiver,
        records.wrapping,
        records.peer,
        records.identity,
        records.received_at,
        records.attributes,
        len(plain),
    )
    try:
        head = _encode_head(values)
    except UnicodeEncodeError:
        head = _encode_head(_sound(values))
    body = compressor.compress(plain)
    rest = struct.pack("<QII", number, len(head), len(body)) + head + body
    return FRAME_MAGIC + struct.pack("<I", google_crc32c.value(rest)) + rest


def _sound(head: _Head) -> _Head:
    """Texts from outside (a header, a file name) may hold what is no UTF-8: it stands escaped."""

    def text(value: str) -> str:
        return value.encode("utf-8", "backslashreplace").decode()

    return msgspec.structs.replace(
        head,
        source=text(head.source),
        peer=text(head.peer),
        identity=text(head.identity),
        attributes={text(name): text(value) for name, value in head.attributes.items()},
    )


def read_header(data: bytes | memoryview) -> FrameHeader:
    """Header of a frame; raises ``Broken``."""
    if len(data) < FRAME_HEADER.size:
        raise Broken("frame header cut short")
    magic, checksum, number, head, body = FRAME_HEADER.unpack_from(data)
    if magic != FRAME_MAGIC:
        raise Broken("no frame begins here")
    header = FrameHeader(checksum, number, head, body)
    if header.size > MAX_FRAME:
        raise Broken(f"frame claims {header.size} bytes")
    return header


def check(data: bytes | memoryview, header: FrameHeader) -> None:
    """Raises ``Broken`` unless ``data`` holds the whole frame with the right checksum."""
    if len(data) < header.size:
        raise Broken("frame cut short")
    if google_crc32c.value(bytes(data[_CHECKED_FROM : header.size])) != header.checksum:
        raise Broken("checksum differs")


def sound(
    data: bytes | memoryview, header: FrameHeader, unpacker: zstandard.ZstdDecompressor | None = None
) -> int:
    """Time of receipt (ns since 1970 UTC) of a checked frame; with ``unpacker`` the body is unpacked and its
    lengths added up. Raises ``Broken`` where the content does not decode."""
    start = FRAME_HEADER.size
    try:
        head = _decode_head(data[start : start + header.head])
        if unpacker is None:
            return head.received_at
        if head.unpacked > MAX_UNPACKED:
            raise Broken(f"frame claims {head.unpacked} bytes unpacked")
        plain = unpacker.decompress(data[start + header.head : header.size], max_output_size=head.unpacked)
        (count,) = struct.unpack_from("<I", plain)
        lengths = sum(struct.unpack_from(f"<{count}I", plain, 4))
    except (msgspec.MsgspecError, zstandard.ZstdError, struct.error) as error:
        raise Broken(f"content does not decode: {error}") from error
    if 4 + 4 * count + lengths != len(plain):
        raise Broken("lengths do not add up")
    return head.received_at


def decode(data: bytes | memoryview, header: FrameHeader) -> Frame:
    """A checked frame; raises ``Broken`` where the content does not decode."""
    start = FRAME_HEADER.size
    try:
        head = _decode_head(bytes(data[start : start + header.head]))
        if head.unpacked > MAX_UNPACKED:
            raise Broken(f"frame claims {head.unpacked} bytes unpacked")
        plain = zstandard.ZstdDecompressor().decompress(
            bytes(data[start + header.head : header.size]), max_output_size=head.unpacked
        )
        (count,) = struct.unpack_from("<I", plain)
        lengths = struct.unpack_from(f"<{count}I", plain, 4)
    except (msgspec.MsgspecError, zstandard.ZstdError, struct.error) as error:
        raise Broken(f"content does not decode: {error}") from error
    ends = list(accumulate(lengths, initial=4 + 4 * count))
    if ends[-1] != len(plain):
        raise Broken("lengths do not add up")
    bodies = tuple(plain[ends[i] : ends[i + 1]] for i in range(count))
    return Frame(
        header.number,
        Records(
            source=head.source,
            receiver=head.receiver,
            wrapping=head.wrapping,
            peer=head.peer,
            identity=head.identity,
            received_at=head.received_at,
            bodies=bodies,
            attributes=head.attributes,
        ),
    )
