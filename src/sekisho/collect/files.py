"""Files → records. ``read`` gives one file's records in chunks, the same each time it is read.

EVTX, Windows event XML, JSON in any layout, NDJSON, CSV, syslog files and plain lines; packed in gz, zst,
zip or tar, one inside the other. The format is recognised by content.
"""

from __future__ import annotations

import codecs
import io
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from sekisho.collect import evtx, splitting
from sekisho.collect.evtx_worker import Worker
from sekisho.collect.inflate import Readable
from sekisho.collect.recognise import HEAD, Format, Recognised, recognise
from sekisho.collect.splitting import Piece
from sekisho.collect.unpack import BLOCK, Limits, Member, Stopped, Trouble, Unpacker
from sekisho.model import Text, Wrapping

_TROUBLES_SHOWN = 5
_WRAPPING: dict[Format, Wrapping] = {"csv": "csv", "syslog": "syslog"}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of one member. The last chunk of a member may hold none and is marked ``last``.

    ``member``    label inside the container, empty for the file itself
    ``number``    index of the member in the file, from 0
    ``first``     index of the first body within the member
    ``read``      bytes of the member that were read so far, unpacked
    ``sha256``    of the member's content; known only in the last chunk
    ``whole``     False in the last chunk of a member whose rest was given up
    """

    member: str
    number: int
    format: Format
    wrapping: Wrapping
    bodies: tuple[bytes, ...]
    attributes: dict[str, str]
    first: int
    read: int
    troubles: tuple[Trouble, ...] = ()
    last: bool = False
    sha256: str = ""
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Content:
    """One member, looked through without splitting it."""

    member: str
    number: int
    sha256: str
    size: int


@dataclass
class Report:
    """Collects troubles; of each kind the first few in full, then their number."""

    shown: list[Trouble] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def __call__(self, trouble: Trouble) -> None:
        self.counts[trouble.code] += 1
        if self.counts[trouble.code] <= _TROUBLES_SHOWN:
            self.shown.append(trouble)

    def result(self) -> tuple[Trouble, ...]:
        """What was reported, and how many more of each kind."""
        more = [
            Trouble(code, "", Text(ja=f"同じ問題がほかに {n} 件あります", en=f"{n} more of this kind"))
            for code, count in self.counts.items()
            if (n := count - _TROUBLES_SHOWN) > 0
        ]
        return (*self.shown, *more)


def contents(file: Readable, limits: Limits = Limits(), *, packed: int | None = None) -> Iterator[Content]:  # noqa: B008 - frozen
    """Digest and size of each member, in the order of ``read``. Raises ``Stopped`` at a limit."""
    for number, member in enumerate(Unpacker(limits, packed).walk(file)):
        _drain(member)
        yield Content(member.label, number, member.guarded.sha256, member.guarded.size)


def read(
    file: Readable,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    *,
    name: str = "",
    packed: int | None = None,
    skip: Callable[[int], int | None] = lambda number: 0,
    parser: Worker | None = None,
    prose: bool = True,
) -> Iterator[Chunk]:
    """Records of one file in chunks of at most ``limits.chunk_bodies`` and about ``limits.chunk_bytes``.

    ``name`` helps to recognise, ``packed`` is the size of the file in bytes if known (for the ratio).
    ``skip(number)`` says how many bodies of a member are already stored, None if it is not wanted at all.
    A limit that is reached ends the reading and is the last chunk's trouble. A file-like object should give
    as many bytes as it is asked for. Nothing is raised for bad content. ``parser`` parses EVTX; whoever reads
    many files hands in one for all of them. Without ``prose`` a text in which no line reads like a log (a
    licence, a manual) is reported and not read.
    """
    if parser is None:
        with Worker() as own:
            yield from read(file, limits, name=name, packed=packed, skip=skip, parser=own, prose=prose)
        return
    unpacker = Unpacker(limits, packed)
    reader = evtx.Reader(parser)
    number = -1
    try:
        for number, member in enumerate(unpacker.walk(file)):
            wanted = skip(number)
            if wanted is None:
                continue
            yield from _member(member, number, limits, name, wanted, reader, prose)
    except Stopped as stopped:
        unpacker.troubles.append(stopped.trouble)
    if unpacker.troubles:
        report = Report()
        for trouble in unpacker.troubles:
            report(trouble)
        yield Chunk("", number + 1, "empty", "none", (), {}, 0, 0, report.result(), last=True)


def read_path(
    path: Path,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    parser: Worker | None = None,
) -> Iterator[Chunk]:
    """``read`` of a file on disk. Raises ``OSError`` if it cannot be opened."""
    with path.open("rb") as file:
        yield from read(file, limits, name=path.name, packed=path.stat().st_size, parser=parser)


def _member(
    member: Member, number: int, limits: Limits, name: str, skip: int, reader: evtx.Reader, prose: bool
) -> Iterator[Chunk]:
    """Chunks of one member; the last has its digest and troubles."""
    report = Report()
    head = _head(member.stream)
    kind = recognise(head, (member.label or name).lower().removesuffix(".gz").removesuffix(".zst"))
    if prose and kind.format == "prose":
        kind = kind._replace(format="lines")
    stream = _utf8(_Joined(head[kind.bom :], member.stream), kind.encoding)
    attributes, pieces = _pieces(stream, kind, limits, report, reader)
    wrapping = _WRAPPING.get(kind.format, "none")

    def chunk(batch: _Batch) -> Chunk:
        told = {**attributes, "first_line": str(batch.line)} if batch.line else attributes
        bodies = tuple(batch.bodies)
        size = member.guarded.size
        return Chunk(member.label, number, kind.format, wrapping, bodies, told, batch.first, size)

    batch = _Batch(skip)
    for body, line in itertools.islice(pieces, skip, None):
        full = len(batch.bodies) >= limits.chunk_bodies or batch.size + len(body) > limits.chunk_bytes
        if batch.bodies and full:
            yield chunk(batch)
            batch = _Batch(batch.first + len(batch.bodies))
        batch.line = batch.line if batch.bodies else line
        batch.bodies.append(body)
        batch.size += len(body)
    _drain(member)
    whole = not (report.counts["evtx-given-up"] or report.counts["not-recognised"])
    yield replace(
        chunk(batch), last=True, troubles=report.result(), sha256=member.guarded.sha256, whole=whole
    )


@dataclass
class _Batch:
    """Bodies of the chunk that is being filled."""

    first: int
    line: int = 0
    size: int = 0
    bodies: list[bytes] = field(default_factory=list)


def _pieces(
    stream: Readable, kind: Recognised, limits: Limits, report: Report, reader: evtx.Reader
) -> tuple[dict[str, str], Iterator[Piece]]:
    """Attributes of the member and its records."""
    attributes: dict[str, str] = {"format": kind.format}
    if kind.encoding:
        attributes["transcoded"] = kind.encoding
    pieces: Iterator[Piece] = iter(())
    match kind.format:
        case "evtx":
            pieces = _numbered(reader.records(stream, report), limits.record, report)
        case "event-xml":
            pieces = splitting.event_xml(stream, limits.record, report)
        case "json":
            pieces = splitting.json_document(stream, limits.record, limits.document, report)
        case "ndjson":
            pieces = splitting.ndjson(stream, limits.record, limits.document, report)
        case "csv":
            pieces = splitting.csv_rows(stream, limits.record, report)
            header, _ = next(pieces, (b"", 0))
            attributes["csv_header"] = header.decode("utf-8", "replace")
            attributes["csv_delimiter"] = kind.csv_delimiter
        case "lines" | "syslog":
            pieces = splitting.lines(stream, limits.record, report)
        case "prose":
            report(_prose())
        case "binary" | "xml":
            report(_not_a_log(kind))
        case _:
            pass
    return attributes, pieces


def _numbered(bodies: Iterator[bytes], limit: int, report: Report) -> Iterator[Piece]:
    for body in bodies:
        yield from splitting.cut(body, 0, "", limit, report)


def _not_a_log(kind: Recognised) -> Trouble:
    what = kind.remark or "XML without Windows events"
    return Trouble(
        "not-a-log",
        "",
        Text(
            ja=f"ログとして読めません（{what}）。読める形式：EVTX、イベント XML、JSON、NDJSON、CSV、"
            "syslog、テキスト",
            en=f"is not a log that can be read ({what}); EVTX, event XML, JSON, NDJSON, CSV, syslog and"
            " text are",
        ),
    )


def _prose() -> Trouble:
    return Trouble(
        "not-recognised",
        "",
        Text(
            ja="ログらしい行がないため読んでいません。ログであれば --source でソースを指定してください",
            en="not read: no line reads like a log; if it is one, name its source with --source",
        ),
    )


def _head(stream: Readable) -> bytes:
    parts: list[bytes] = []
    left = HEAD
    while left and (data := stream.read(left)):
        parts.append(data)
        left -= len(data)
    return b"".join(parts)


def _drain(member: Member) -> None:
    while member.stream.read(BLOCK):
        pass


class _Joined:
    """A stream from which some bytes were already taken."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head = io.BytesIO(head)
        self._rest = rest

    def read(self, size: int, /) -> bytes:
        return self._head.read(size) or self._rest.read(size)


class _Utf8:
    """Text of another encoding as UTF-8; what cannot be decoded becomes U+FFFD."""

    def __init__(self, inner: Readable, encoding: str) -> None:
        self._inner = inner
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._left = b""

    def read(self, size: int, /) -> bytes:
        while not self._left:
            data = self._inner.read(size)
            self._left = self._decoder.decode(data, final=not data).encode("utf-8", "replace")
            if not data:
                break
        piece, self._left = self._left[:size], self._left[size:]
        return piece


def _utf8(stream: Readable, encoding: str) -> Readable:
    return _Utf8(stream, encoding) if encoding else stream
