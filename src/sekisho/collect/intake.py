"""Reading files into the journal: each content once, resumable after any interruption.

First the file is hashed, then its members (a second and third reading, cheap beside everything after it).
What the ledger knows is skipped; every acknowledged chunk is noted. Chunks are cut the same way each time,
so one that was acknowledged but not noted folds when it is sent again.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from sekisho.collect import files
from sekisho.collect.evtx_worker import Worker
from sekisho.collect.inflate import Readable
from sekisho.collect.ledger import Entry, Ledger
from sekisho.collect.unpack import BLOCK, Limits, Stopped, Trouble
from sekisho.model import Records, Retry, Text

Append = Callable[[Records], int]
#: Code of the trouble that a link inside a folder is.
LINK = "link"
#: ``tell(read, records)``: bytes of the file's content that were read, records that were sent
Tell = Callable[[int, int], None]


@dataclass
class Outcome:
    """What became of one file. ``already`` counts records that were stored before."""

    path: str
    formats: set[str] = field(default_factory=set)
    source: str = "auto"
    records: int = 0
    already: int = 0
    members: int = 0
    same_as: str = ""
    troubles: list[Trouble] = field(default_factory=list)


@dataclass(frozen=True)
class Order:
    """What the user asked for. ``zone``: IANA zone for times without offset."""

    source: str = "auto"
    zone: str = ""
    again: bool = False
    dry_run: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class _Plan:
    """What is known of a file before it is split: per member digest, size and bodies to skip."""

    contents: tuple[files.Content, ...] = ()
    skips: tuple[int | None, ...] = ()

    def skip(self, number: int) -> int | None:
        return self.skips[number] if number < len(self.skips) else 0


class Intake:
    """Reads files one after another. ``now``: ns since 1970 UTC; ``wait`` sleeps so many seconds; ``parser``
    parses EVTX for all of them (without it each file starts one)."""

    def __init__(
        self,
        ledger: Ledger | None,
        append: Append,
        *,
        now: Callable[[], int],
        wait: Callable[[float], None],
        order: Order,
        tell: Tell = lambda read, records: None,
        parser: Worker | None = None,
    ) -> None:
        self._ledger = ledger
        self._append = append
        self._now = now
        self._wait = wait
        self._order = order
        self._tell = tell
        self._parser = parser

    def path(self, path: Path) -> Outcome:
        """One file on disk. Nothing is raised for what is in it or that it cannot be opened."""
        outcome = Outcome(printable(path), source=self._order.source)
        try:
            with path.open("rb") as file:
                if file.seekable():
                    self._seekable(file, path.name, outcome)
                else:
                    self._run(file, path.name, None, _Plan(), outcome)
        except OSError as error:
            outcome.troubles.append(_unreadable(error))
        return outcome

    def stream(self, stream: BinaryIO, label: str = "-") -> Outcome:
        """Standard input. Up to 64 MiB are held to know the content; a longer one is not resumable."""
        outcome = Outcome(label, source=self._order.source)
        if stream.seekable():
            self._seekable(stream, "", outcome)
            return outcome
        held = io.BytesIO(stream.read(64 * BLOCK))
        more = stream.read(1)
        if not more:
            self._seekable(held, "", outcome)
        else:
            self._run(_Chain(held.getvalue() + more, stream), "", None, _Plan(), outcome)
        return outcome

    def _seekable(self, file: BinaryIO, name: str, outcome: Outcome) -> None:
        """Hash, ask the ledger, read what is new of it."""
        digest, size, prefixes = self._hash(file)
        known = self._known(digest)
        if known is not None:
            outcome.same_as, outcome.already = known
            return
        file.seek(0)
        bounded = _Bounded(file, size)
        try:
            contents = tuple(files.contents(bounded, self._order.limits, packed=size))
        except Stopped as stopped:
            outcome.troubles.append(stopped.trouble)
            return
        plan = self._plan(contents, prefixes, outcome)
        file.seek(0)
        before = len(outcome.troubles)
        self._run(_Bounded(file, size), name, size, plan, outcome)
        if self._ledger is not None and not self._order.dry_run and len(outcome.troubles) == before:
            self._ledger.note_whole(digest, outcome.path, outcome.records + outcome.already)

    def _known(self, digest: str) -> tuple[str, int] | None:
        if self._ledger is None or self._order.again:
            return None
        return self._ledger.whole(digest)

    def _hash(self, file: BinaryIO) -> tuple[str, int, dict[str, int]]:
        """Digest and size of the file, and the size by digest of beginnings as long as a known file.

        A beginning that ends inside a line has its size negated.
        """
        sizes = self._ledger.sizes() if self._ledger is not None and not self._order.again else []
        total = hashlib.sha256()
        prefixes: dict[str, int] = {}
        at, last = 0, b""
        for size in sizes:
            while at < size and (data := file.read(min(BLOCK, size - at))):
                total.update(data)
                at += len(data)
                last = data[-1:]
            if at < size:
                break
            prefixes[total.copy().hexdigest()] = size if last == b"\n" else -size
        while data := file.read(BLOCK):
            total.update(data)
            at += len(data)
        return total.hexdigest(), at, prefixes

    def _plan(self, contents: tuple[files.Content, ...], prefixes: dict[str, int], outcome: Outcome) -> _Plan:
        """How much of each member is stored already; fills ``outcome.already``."""
        if self._ledger is None or self._order.again:
            return _Plan(contents, (0,) * len(contents))
        skips: list[int | None] = []
        seen: set[str] = set()
        for content in contents:
            entry = self._ledger.find(content.sha256)
            if content.sha256 in seen or (entry is not None and entry.finished):
                skips.append(None)
                outcome.already += entry.bodies if entry else 0
                outcome.same_as = outcome.same_as or (entry.path if entry else content.member)
                outcome.members += 1
                continue
            seen.add(content.sha256)
            stored = entry.bodies if entry else self._grown(content, prefixes)
            skips.append(stored)
            outcome.already += stored
        return _Plan(contents, tuple(skips))

    def _grown(self, content: files.Content, prefixes: dict[str, int]) -> int:
        """Bodies of the longest known file with which this one begins; its last line may have grown too."""
        assert self._ledger is not None
        if content.member:
            return 0
        for digest, size in sorted(prefixes.items(), key=lambda item: -abs(item[1])):
            entry = self._ledger.find(digest)
            if entry is not None and entry.finished and abs(size) < content.size:
                return entry.bodies if size > 0 else max(0, entry.bodies - 1)
        return 0

    def _run(self, file: Readable, name: str, size: int | None, plan: _Plan, outcome: Outcome) -> None:
        read_before, member = 0, -1
        limits = self._order.limits
        for chunk in files.read(
            file,
            limits,
            name=name,
            packed=size,
            skip=plan.skip,
            parser=self._parser,
            prose=self._prose(outcome),
        ):
            if chunk.number != member and chunk.format != "empty":
                outcome.members += 1
            member = chunk.number
            if chunk.format != "empty":
                outcome.formats.add(chunk.format)
            self._tell(read_before + chunk.read, outcome.records + len(chunk.bodies))
            read_before += chunk.read if chunk.last else 0
            outcome.troubles += [_in(chunk.member, trouble) for trouble in chunk.troubles]
            self._chunk(chunk, plan, outcome)

    def _prose(self, outcome: Outcome) -> bool:
        """Whether text that does not read like a log is read: where the user said what it is, or piped it."""
        return self._order.source != "auto" or outcome.path == "-"

    def _chunk(self, chunk: files.Chunk, plan: _Plan, outcome: Outcome) -> None:
        content = plan.contents[chunk.number] if chunk.number < len(plan.contents) else None
        frame = -1
        if chunk.bodies and not self._order.dry_run:
            frame = self._keep(self._records(chunk, content, outcome.path))
        outcome.records += len(chunk.bodies)
        if content is None:
            return
        if chunk.last and chunk.sha256 != content.sha256:
            outcome.troubles.append(_changed(chunk.member))
            return
        if self._ledger is None or self._order.dry_run or not (chunk.bodies or chunk.last):
            return
        entry = Entry(
            content.sha256,
            content.size,
            outcome.path,
            content.member,
            self._order.source,
            chunk.first + len(chunk.bodies),
            chunk.last and chunk.whole,
            frame,
        )
        self._ledger.note(entry, self._now())

    def _records(self, chunk: files.Chunk, content: files.Content | None, path: str) -> Records:
        attributes = {**chunk.attributes, "file": path}
        if chunk.member:
            attributes["member"] = chunk.member
        if content is not None:
            attributes["sha256"] = content.sha256
        if self._order.zone:
            attributes["zone"] = self._order.zone
        return Records(
            source=self._order.source,
            receiver="file",
            wrapping=chunk.wrapping,
            peer=path,
            identity="",
            received_at=self._now(),
            bodies=chunk.bodies,
            attributes=attributes,
        )

    def _keep(self, records: Records) -> int:
        """Until the journal has it. ``Refused`` goes to the caller."""
        while True:
            try:
                return self._append(records)
            except Retry as error:
                self._wait(error.after)


class _Bounded(io.RawIOBase):
    """The first ``size`` bytes of a file: a log that grows meanwhile is read next time."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if whence == io.SEEK_END:
            return self._file.seek(self._size + offset)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._size - self._file.tell())
        return self._file.read(left if size < 0 else min(size, left))


class _Chain:
    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = io.BytesIO(head)
        self._rest = rest

    def read(self, size: int, /) -> bytes:
        return self._head.read(size) or self._rest.read(size)


def printable(name: str | Path) -> str:
    """A file's name as text: bytes that are not UTF-8 become ``\\xHH``. (On Unix a name is bytes; Python
    keeps such ones as lone surrogates, which neither SQLite nor MessagePack nor a terminal takes.)
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def walk(paths: list[Path]) -> Iterator[Path | tuple[Path, Trouble]]:
    """Files in the order given; folders sorted, with all below them.

    What a person names may be a link. Links inside a folder are told and not followed: whoever may write
    there could else have any file of this machine read, or one file endlessly.
    """
    for path in paths:
        if path.is_dir():
            yield from _folder(path)
        elif path.exists():
            yield path
        else:
            yield path, _trouble("missing", "ファイルがありません", "there is no such file")


def _folder(folder: Path) -> Iterator[Path | tuple[Path, Trouble]]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield folder, _unreadable(error)
        return
    for entry in entries:
        if entry.is_symlink():
            yield (
                entry,
                _trouble(
                    LINK,
                    "フォルダー内のリンクはたどりません。読み込むには、このパスを直接指定してください",
                    "a link inside a folder is not followed; to read it, name it on the command line",
                ),
            )
        elif entry.is_dir():
            yield from _folder(entry)
        elif entry.is_file():
            yield entry


def _in(member: str, trouble: Trouble) -> Trouble:
    return trouble._replace(place=f"{member} {trouble.place}".strip()) if member else trouble


def _unreadable(error: OSError) -> Trouble:
    why = error.strerror or str(error)
    return _trouble("unreadable", f"開けません（{why}）", f"cannot be opened or read ({why})")


def _changed(member: str) -> Trouble:
    return _trouble(
        "changed",
        "読み取り中に内容が変わりました。もう一度実行してください",
        "changed while it was read; run the command again",
    )._replace(place=member)


def _trouble(code: str, ja: str, en: str) -> Trouble:
    return Trouble(code, "", Text(ja=ja, en=en))
