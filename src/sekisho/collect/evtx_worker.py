"""Parsing one EVTX chunk in a process of its own: a malformed chunk can make the parser loop for ever.

Parent and child speak over pipes: one byte (``whole`` or ``by record``) and a chunk of 64 KiB one way; a
letter, a length (4 bytes) and that many bytes the other, for each record and each failure, then an end.
The child is limited in processor time, not in time: so what it gives up on is the same on a busy machine.
"""

from __future__ import annotations

import io
import os
import re
import resource
import select
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType

import msgspec
from evtx import PyEvtxParser

_CHUNK = 65_536
_HEADER = 4096
#: seconds of processor time for one chunk (an intact one takes milliseconds) and bytes of memory
_PROCESSOR = 1.0
_MEMORY = 2 << 30
#: seconds without an answer before the parent ends the child whatever it does (a stopped one, say)
_PATIENCE = 120.0
#: bytes of one answer: XML is several times its binary form, not thousands of times
_ANSWER = 256 << 20
_FAILURES = 100
_WHOLE, _BY_RECORD = b"w", b"r"
_RECORD, _FAILURE, _END = b"R", b"F", b"E"
_RECORD_MAGIC = b"**\x00\x00"
_RECORD_LEAST = 24
#: XML 1.0 section 2.2 leaves these out; a strict reader refuses the whole record for one of them
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class Parsed(msgspec.Struct):
    """Records of one chunk as XML, and why others could not be read.

    ``hung``: the parser did not come to an end; ``records`` are those before the one that it hung on.
    """

    records: list[bytes] = []
    failures: list[str] = []
    hung: bool = False


class _Ended(Exception):  # noqa: N818 - never leaves this file
    """The child ended or was given up."""


class Worker:
    """The child; started at the first chunk, and anew after one that it did not survive.

    One worker serves any number of files; a context manager.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._held = b""
        self.starts = 0

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def parse(self, chunk: bytes) -> Parsed:
        """Records of one chunk of 64 KiB.

        Where the child does not survive it, the chunk is read once more, record by record, for those before
        the bad one.
        """
        parsed = Parsed()
        try:
            self._ask(_WHOLE, chunk, parsed)
        except _Ended:
            parsed = Parsed(hung=True)
            with suppress(_Ended):
                self._ask(_BY_RECORD, chunk, parsed)
        return parsed

    def _ask(self, mode: bytes, chunk: bytes, parsed: Parsed) -> None:
        """Fills ``parsed``. Raises ``_Ended``; then the child is gone."""
        try:
            for letter, data in self._answers(mode, chunk):
                if letter == _RECORD:
                    parsed.records.append(data)
                else:
                    parsed.failures.append(data.decode("utf-8", "replace"))
        except (OSError, EOFError) as error:
            self._end()
            raise _Ended(f"the parser was ended: {error}") from error

    def _answers(self, mode: bytes, chunk: bytes) -> Iterator[tuple[bytes, bytes]]:
        child = self._child
        if child is None:
            child = self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            self._held = b""
            self.starts += 1
        assert child.stdin is not None
        child.stdin.write(mode + chunk)
        child.stdin.flush()
        left = _ANSWER
        while True:
            letter, size = struct.unpack("<cI", self._receive(5))
            if letter == _END:
                return
            left -= size
            if left < 0:
                raise OSError(f"its answer is too large for one chunk ({_ANSWER} bytes)")
            yield letter, self._receive(size)

    def _receive(self, size: int) -> bytes:
        assert self._child is not None
        assert self._child.stdout is not None
        pipe = self._child.stdout.fileno()
        parts, missing = [self._held], size - len(self._held)
        deadline = time.monotonic() + _PATIENCE
        while missing > 0:
            if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"no answer within {_PATIENCE:g} s")
            data = os.read(pipe, 1 << 20)
            if not data:
                raise EOFError(f"no end after {_PROCESSOR:g} s of processor time, or too much memory")
            parts.append(data)
            missing -= len(data)
        whole = b"".join(parts)
        self._held = whole[size:]
        return whole[:size]

    def _end(self) -> None:
        if self._child is not None:
            child, self._child = self._child, None
            child.kill()
            child.communicate()


def parse(chunk: bytes) -> Parsed:
    """In the child: all records that the parser gives."""
    parsed = Parsed()
    try:
        records = iter(PyEvtxParser(io.BytesIO(_file() + chunk), number_of_threads=1, indent=False).records())
    except (RuntimeError, OSError, ValueError) as error:
        return Parsed(failures=[_why(error)])
    while len(parsed.failures) < _FAILURES:
        try:
            record = next(records)
        except StopIteration:
            break
        except (RuntimeError, OSError, ValueError) as error:
            parsed.failures.append(_why(error))
            continue
        if record is not None:
            parsed.records.append(_event(str(record["data"])))
    return parsed


def _event(xml: str) -> bytes:
    start = xml.find("<Event")
    return _NOT_XML.sub("\ufffd", xml[max(start, 0) :].strip()).encode("utf-8", "replace")


def _file() -> bytes:
    """Header of a file with one chunk."""
    head = struct.pack("<8sQQQIHHHH", b"ElfFile\x00", 0, 0, 1, 128, 1, 3, _HEADER, 1).ljust(120, b"\x00")
    return (head + struct.pack("<II", 0, zlib.crc32(head))).ljust(_HEADER, b"\x00")


def _why(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def by_record(chunk: bytes, tell: Callable[[Parsed], None]) -> None:
    """In the child: the records one after another, each told before the next is looked at.

    The parser reads a chunk as a whole, so it is given beginnings of it that grow by one record: bytes 48
    to 51 of the header say where the records end.
    """
    known = 0
    for end in _ends(chunk):
        signal.setitimer(signal.ITIMER_PROF, _PROCESSOR)
        beginning = parse(chunk[:48] + struct.pack("<I", end) + chunk[52:])
        tell(Parsed(beginning.records[known:]))
        known = max(known, len(beginning.records))


def _ends(chunk: bytes) -> Iterator[int]:
    """Where each record ends; stops at the first that is none."""
    at = 512
    while at + _RECORD_LEAST <= len(chunk) and chunk.startswith(_RECORD_MAGIC, at):
        (size,) = struct.unpack_from("<I", chunk, at + 4)
        at += size
        if size < _RECORD_LEAST or at > len(chunk):
            return
        yield at


def _tell(parsed: Parsed) -> None:
    out = sys.stdout.buffer
    for record in parsed.records:
        out.write(struct.pack("<cI", _RECORD, len(record)) + record)
    for failure in parsed.failures:
        data = failure.encode("utf-8", "replace")
        out.write(struct.pack("<cI", _FAILURE, len(data)) + data)
    out.flush()


def main() -> None:
    """Answer chunks until the parent closes the pipe. The timer's signal ends the process."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source = sys.stdin.buffer
    while len(asked := source.read(1 + _CHUNK)) == 1 + _CHUNK:
        signal.setitimer(signal.ITIMER_PROF, _PROCESSOR)
        if asked[:1] == _WHOLE:
            _tell(parse(asked[1:]))
        else:
            by_record(asked[1:], _tell)
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.buffer.write(struct.pack("<cI", _END, 0))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
