"""Parsing one EVTX chunk in a process of its own: a malformed chunk can make the parser loop for ever.

Parent and child speak over pipes: a chunk of 64 KiB one way, a length (8 bytes) and MessagePack the other.
"""

from __future__ import annotations

import io
import os
import re
import resource
import select
import struct
import subprocess
import sys
import time
import zlib
from types import TracebackType

import msgspec
from evtx import PyEvtxParser

_CHUNK = 65_536
_HEADER = 4096
#: seconds for one chunk (an intact one takes milliseconds) and bytes of memory for the child
_PATIENCE = 10.0
_MEMORY = 2 << 30
#: bytes of one answer: XML is several times its binary form, not thousands of times
_ANSWER = 256 << 20
_FAILURES = 100
#: XML 1.0 section 2.2 leaves these out; a strict reader refuses the whole record for one of them
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class Parsed(msgspec.Struct):
    """Records of one chunk as XML, and why others could not be read."""

    records: list[bytes] = []
    failures: list[str] = []


class Worker:
    """The child; started at the first chunk, and anew after one that it did not survive."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def parse(self, chunk: bytes) -> Parsed:
        """Records of one chunk of 64 KiB."""
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        try:
            return self._ask(self._child, chunk)
        except (OSError, EOFError, msgspec.DecodeError) as error:
            self._end()
            return Parsed(failures=[f"the parser was ended: {error}"])

    def _ask(self, child: subprocess.Popen[bytes], chunk: bytes) -> Parsed:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(chunk)
        child.stdin.flush()
        deadline = time.monotonic() + _PATIENCE
        (size,) = struct.unpack("<Q", _receive(child.stdout.fileno(), 8, deadline))
        if size > _ANSWER:
            raise OSError(f"its answer of {size} bytes is too large for one chunk")
        return msgspec.msgpack.decode(_receive(child.stdout.fileno(), size, deadline), type=Parsed)

    def _end(self) -> None:
        if self._child is not None:
            child, self._child = self._child, None
            child.kill()
            child.communicate()


def _receive(pipe: int, size: int, deadline: float) -> bytes:
    parts: list[bytes] = []
    while size:
        if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError(f"no answer within {_PATIENCE:g} s")
        data = os.read(pipe, min(size, 1 << 20))
        if not data:
            raise EOFError("it ended without an answer")
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


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


def main() -> None:
    """Answer chunks until the parent closes the pipe."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    while len(chunk := sys.stdin.buffer.read(_CHUNK)) == _CHUNK:
        answer = msgspec.msgpack.encode(parse(chunk))
        sys.stdout.buffer.write(struct.pack("<Q", len(answer)) + answer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
