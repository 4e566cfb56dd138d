"""What goes over the socket of `sekisho serve ask`: one request, then frames until the last one.

A frame: one letter, four bytes of length (big endian), the body. ``Q`` the request (MessagePack), ``P`` how
far it is (MessagePack), ``T`` a table (Arrow IPC), ``E`` a refusal (MessagePack), ``Z`` the end.
"""

from __future__ import annotations

import socket
from typing import NamedTuple

import msgspec
import pyarrow as pa

from sekisho.lake.questions import Question
from sekisho.model import Refused

#: Bytes of a request: a list of 100,000 indicators fits.
LARGEST_REQUEST = 16 * 1024 * 1024
#: Bytes of a frame of the answer.
LARGEST_FRAME = 256 * 1024 * 1024
#: Rows of one frame at most, so that none becomes too large.
ROWS = 2_000


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    question: Question
    purpose: str = ""
    case: str = ""
    exported: str = ""


class Progress(msgspec.Struct, frozen=True):
    """As ``questions.Meter``; ``notes``: those that are new."""

    done: int
    total: int
    notes: tuple[str, ...]
    offset: int | None


class Refusal(msgspec.Struct, frozen=True):
    why: str
    remedy: str


class Frame(NamedTuple):
    kind: bytes
    body: bytes


def send(sock: socket.socket, kind: bytes, body: bytes = b"") -> None:
    sock.sendall(kind + len(body).to_bytes(4, "big") + body)


def receive(sock: socket.socket, largest: int) -> Frame:
    """Raises ``Refused`` if the frame is too large, ``ConnectionError`` if the other end is gone."""
    head = _exactly(sock, 5)
    size = int.from_bytes(head[1:], "big")
    if size > largest:
        raise Refused(f"a message of {size:,} bytes; at most {largest:,} are taken", "ask for less at once")
    return Frame(head[:1], _exactly(sock, size))


def _exactly(sock: socket.socket, size: int) -> bytes:
    held = bytearray()
    while len(held) < size:
        part = sock.recv(min(size - len(held), 1 << 20))
        if not part:
            raise ConnectionError("the other end closed the connection")
        held += part
    return bytes(held)


def packed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def unpacked(body: bytes) -> pa.Table:
    return pa.ipc.open_stream(body).read_all()
