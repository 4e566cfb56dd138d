"""One way to ask, whoever asks: here if the data folder can be read, else through the service's socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa

from sekisho.collect.socket_path import short
from sekisho.lake.questions import Meter, Question
from sekisho.model import Refused
from sekisho.settings import load
from sekisho.wiring import ask_frames as frames
from sekisho.wiring import questioning
from sekisho.wiring.questioning import Why

#: Longer than the service's silence between two signs of life.
_SECONDS = 120.0


def put(data: Path, question: Question, *, meter: Meter, why: Why) -> Iterator[pa.Table]:
    """The answer, table after table. Raises ``Refused``. ``meter`` tells how far it is."""
    if questioning.readable(data):
        return questioning.ask(load(data), question, meter=meter, why=why)
    return _remote(data, question, meter, why)


def _place(data: Path) -> Path:
    named = os.environ.get("SEKISHO_ASK")
    return Path(named) if named else data / "run" / "ask" / "ask.sock"


def _remote(data: Path, question: Question, meter: Meter, why: Why) -> Iterator[pa.Table]:
    place = _place(data)
    request = frames.Request(question, *why)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(_SECONDS)
        try:
            with short(place) as address:
                sock.connect(address)
        except OSError as error:
            raise Refused(
                f"{data} cannot be read by you, and nobody answers at {place} ({error.strerror or error})",
                "ask its owner for a role in [[access.roles]]; a socket elsewhere is named by $SEKISHO_ASK",
            ) from error
        try:
            frames.send(sock, b"Q", msgspec.msgpack.encode(request))
            yield from _answer(sock, meter)
        except (ConnectionError, TimeoutError) as error:
            raise Refused(f"the service at {place} went away: {error}", "ask again") from error


def _answer(sock: socket.socket, meter: Meter) -> Iterator[pa.Table]:
    while not meter.ended.is_set():
        frame = frames.receive(sock, frames.LARGEST_FRAME)
        if frame.kind == b"T":
            table = frames.unpacked(frame.body)
            meter.found += table.num_rows
            yield table
        elif frame.kind == b"P":
            said = msgspec.msgpack.decode(frame.body, type=frames.Progress)
            meter.done, meter.total, meter.offset = said.done, said.total, said.offset
            meter.notes += [note for note in said.notes if note not in meter.notes]
        elif frame.kind == b"E":
            refusal = msgspec.msgpack.decode(frame.body, type=frames.Refusal)
            raise Refused(refusal.why, refusal.remedy)
        else:
            return
