"""Under load the next batch is normalised in a second process while this one is judged and stored.

Normalising is pure and takes more than half of a core's time per event, so a backlog is worked off
nearly twice as fast on two cores. The worker is started when a batch is full and there is more, and
ended after a quiet minute, so that an ordinary day costs no memory.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec
import pyarrow as pa

from sekisho.journal import JournalReader, Taken
from sekisho.model import Frame, Reject
from sekisho.normalise import Normalised, Normaliser
from sekisho.settings import Settings
from sekisho.wiring.clock import now
from sekisho.wiring.found import content

QUIET_SECONDS = 60.0
_LENGTH = 8


class _Answer(msgspec.Struct, array_like=True):
    """What the worker says of frames ``start`` to ``next``; the events come as Arrow IPC in the file."""

    start: int
    next: int
    rejects: list[Reject]


class Ahead:
    """``read`` and ``normalise`` as ``pipeline.Stages`` wants them, with the next batch begun early."""

    def __init__(self, settings: Settings, reader: JournalReader, normaliser: Normaliser) -> None:
        self._settings = settings
        self._reader = reader
        self._normaliser = normaliser
        self._bound = settings.pipeline.batch_records
        self._worker: Worker | None = None
        self._begun: Taken | None = None
        self._used_at = 0.0

    @property
    def busy(self) -> bool:
        """Whether the worker has a batch."""
        return self._begun is not None

    @property
    def pid(self) -> int:
        """Process number of the worker; 0 if there is none."""
        return self._worker.pid if self._worker is not None else 0

    def read(self, start: int, max_records: int) -> Taken:
        """The batch that was begun early, or the next one from the journal."""
        begun = self._begun
        if begun is not None and max_records >= self._bound and begun.frames[0].number == start:
            return begun
        return self._reader.read(start, max_records)

    def normalise(self, frames: Sequence[Frame], part: range | None = None) -> Normalised:
        """As ``Normaliser.batch``: from the worker if it was given just these frames."""
        if part is not None:
            return self._normaliser.batch(frames, part)
        begun, self._begun = self._begun, None
        if begun is not None and self._worker is not None:
            answer = self._worker.answer()
            if begun.frames == list(frames):
                self._begin(begun.next)
                return answer
        # Read ahead before working, so that both processes are busy.
        following = frames[-1].number + 1 if frames else None
        if following is not None and sum(len(f.records.bodies) for f in frames) >= self._bound:
            self._begin(following)
        return self._normaliser.batch(frames)

    def rest(self) -> None:
        """End a worker that has had nothing to do for a while."""
        if self._begun is None and now().timestamp() - self._used_at > QUIET_SECONDS:
            self.close()

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None
        self._begun = None

    def _begin(self, start: int) -> None:
        """Give the worker the next batch, if a good part of one is there."""
        taken = self._reader.read(start, self._bound)
        if taken.damage or sum(len(frame.records.bodies) for frame in taken.frames) < self._bound // 2:
            return
        if self._worker is None:
            self._worker = Worker(self._settings.data)
        self._worker.ask(start, taken.next)
        self._used_at = now().timestamp()
        self._begun = taken


class Worker:
    """The other process. One question at a time; its end is noticed as a ``RuntimeError``."""

    def __init__(self, data: Path) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "sekisho.cli.main", "--data", str(data), "serve", "ahead"],
                stdin=theirs.fileno(),
                start_new_session=True,
            )
        self._socket = ours
        self.pid = self._process.pid

    def ask(self, start: int, end: int) -> None:
        """Raises ``RuntimeError`` if the worker has ended."""
        try:
            self._socket.sendall(start.to_bytes(_LENGTH, "big") + end.to_bytes(_LENGTH, "big"))
        except ConnectionError as error:
            raise self._ended() from error

    def answer(self) -> Normalised:
        """Waits for it. Raises ``RuntimeError`` if the worker ended instead."""
        try:
            return self._answer()
        except (EOFError, ConnectionError) as error:
            raise self._ended() from error

    def _ended(self) -> RuntimeError:
        return RuntimeError(f"the normalising process ended with status {self._process.wait()}")

    def _answer(self) -> Normalised:
        head, files, _, _ = socket.recv_fds(self._socket, _LENGTH, 1)
        if len(head) < _LENGTH or not files:
            raise EOFError("no answer")
        with os.fdopen(files[0], "rb") as file:
            said = msgspec.msgpack.decode(_exactly(self._socket, int.from_bytes(head, "big")), type=_Answer)
            with pa.memory_map(f"/dev/fd/{file.fileno()}") as mapped:
                events = pa.ipc.open_stream(mapped).read_all()
        return Normalised(events, said.rejects)

    def close(self) -> None:
        self._socket.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def serve_ahead(settings: Settings) -> None:
    """The worker's side: until its socket (standard input) ends."""
    reader = JournalReader(settings.journal_dir)
    normaliser = Normaliser(content().sources, zone=settings.zone)
    with socket.socket(fileno=os.dup(0)) as line:
        while True:
            try:
                question = _exactly(line, 2 * _LENGTH)
            except EOFError:
                return
            start = int.from_bytes(question[:_LENGTH], "big")
            end = int.from_bytes(question[_LENGTH:], "big")
            frames = [frame for number in range(start, end) if (frame := reader.frame(number)) is not None]
            result = normaliser.batch(frames)
            with _memory() as file:
                with pa.ipc.new_stream(pa.PythonFile(file, "w"), result.events.schema) as stream:
                    stream.write_table(result.events)
                file.flush()
                said = msgspec.msgpack.encode(_Answer(start, end, result.rejects))
                socket.send_fds(line, [len(said).to_bytes(_LENGTH, "big")], [file.fileno()])
                line.sendall(said)


def _memory() -> BinaryIO:
    """A file in memory where the system has such (Linux), else a temporary one."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("sekisho-ahead"), "w+b")
    return tempfile.TemporaryFile("w+b")


def _exactly(line: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = line.recv(min(size, 1 << 20))
        if not part:
            raise EOFError("the other side is gone")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
