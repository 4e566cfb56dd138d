"""Opening what logs are packed in: gz, zst, zip, tar, one inside the other. Streams only.

Nothing is ever written to disk; names inside an archive are labels and never paths. Archives are other
people's data, so everything that can grow is bounded (``Limits``), and a damaged member ends that member,
not the run: what could be read before the damage is kept.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
import zstandard

from sekisho.collect.inflate import GzipStream, Readable, ZipStream, ZstdStream
from sekisho.collect.tar import DamagedTar, tar_members
from sekisho.model import Text

BLOCK = 1 << 20


class Limits(msgspec.Struct, frozen=True):
    """Bounds for one file given by the user. Sizes in bytes.

    ``expanded``  all members together after unpacking
    ``ratio``     unpacked to packed, judged once ``ratio_from`` bytes are unpacked
    ``depth``     containers inside each other (``.tar.gz`` counts two)
    ``document``  one JSON document (array or container object), which must be read whole
    ``inner_zip`` a zip inside another container, which must be read whole
    """

    expanded: int = 64 << 30
    ratio: int = 400
    ratio_from: int = 64 << 20
    members: int = 100_000
    depth: int = 4
    record: int = 1 << 20
    document: int = 512 << 20
    inner_zip: int = 256 << 20
    chunk_bodies: int = 5_000
    chunk_bytes: int = 4 << 20


class Trouble(NamedTuple):
    """Something of a file that did not go well. ``place`` says where inside it."""

    code: str
    place: str
    text: Text


class Stopped(Exception):  # noqa: N818 - a verdict; never leaves this package
    """A limit was reached; reading of the whole file ends."""

    def __init__(self, code: str, text: Text) -> None:
        self.trouble = Trouble(code, "", text)
        super().__init__(code)


#: What a damaged or cut-off container raises when it is read.
DAMAGE = (
    EOFError,
    OSError,
    zlib.error,
    zipfile.BadZipFile,
    zstandard.ZstdError,
    DamagedTar,
    NotImplementedError,
    RuntimeError,
    struct.error,
    UnicodeDecodeError,
)


class Budget:
    """What one file of the user may still expand to."""

    def __init__(self, limits: Limits, packed: int | None) -> None:
        self._limits = limits
        self._packed = packed
        self._expanded = 0
        self._members = 0

    def spend(self, size: int) -> None:
        """``size`` more bytes came out. Raises ``Stopped``."""
        self._expanded += size
        limits = self._limits
        if self._expanded > limits.expanded:
            raise Stopped(
                "too-large",
                Text(
                    ja=f"展開後の大きさが上限 {limits.expanded} バイトを超えたため、読み取りを中止しました",
                    en=f"unpacks to more than the limit of {limits.expanded} bytes; reading was stopped",
                ),
            )
        if self._packed is None or self._expanded < limits.ratio_from:
            return
        if self._expanded > limits.ratio * max(self._packed, 1):
            raise Stopped(
                "ratio",
                Text(
                    ja=f"圧縮率が {limits.ratio} 倍を超えました（圧縮爆弾の疑い）。読み取りを中止しました",
                    en=f"unpacks to more than {limits.ratio} times its size (a bomb?); reading was stopped",
                ),
            )

    def member(self) -> None:
        """One more member. Raises ``Stopped``."""
        self._members += 1
        if self._members > self._limits.members:
            raise Stopped(
                "too-many-members",
                Text(
                    ja=f"ファイル数が上限 {self._limits.members} を超えたため、読み取りを中止しました",
                    en=f"holds more than the limit of {self._limits.members} members; reading was stopped",
                ),
            )


class Guarded(io.RawIOBase):
    """A stream that never raises for damage: it ends, and ``report`` learns why. Counts and hashes."""

    def __init__(
        self, inner: Readable, report: Callable[[Trouble], None], spend: Callable[[int], None] | None
    ) -> None:
        self._inner = inner
        self._report = report
        self._spend = spend
        self._ended = False
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = b"" if self._ended else self._next(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _next(self, size: int) -> bytes:
        try:
            data = self._inner.read(size)
        except DAMAGE as error:
            self._ended = True
            self._report(_damaged(f"byte {self.size}", error))
            return b""
        self._ended = not data
        self.size += len(data)
        self._digest.update(data)
        if self._spend is not None:
            self._spend(len(data))
        return data


class Member(NamedTuple):
    """One file inside (or the file itself, with an empty ``label``). Read it before the next is taken."""

    label: str
    stream: io.BufferedReader[Guarded]
    guarded: Guarded


class Unpacker:
    """Walks through one file of the user; the order is the same each time.

    ``troubles`` fills while it is walked. ``skip(index)`` may say that a member is not wanted.
    """

    def __init__(self, limits: Limits, packed: int | None) -> None:
        self._limits = limits
        self._budget = Budget(limits, packed)
        self.troubles: list[Trouble] = []

    def walk(self, file: Readable, label: str = "", depth: int = 0) -> Iterator[Member]:
        """Members that are no containers themselves. Raises ``Stopped`` at a limit."""
        spend = self._budget.spend if depth else None
        guarded = Guarded(file, lambda trouble: self._report(trouble, label), spend)
        stream = io.BufferedReader(guarded, BLOCK)
        kind = container(stream.peek(512))
        if not kind:
            yield Member(label, stream, guarded)
        elif depth >= self._limits.depth:
            self._report(_too_deep(self._limits.depth), label)
        elif kind == "zip":
            yield from self._zip(file if not depth else None, stream, label, depth)
        elif kind == "tar":
            yield from self._tar(stream, label, depth)
        else:
            inner: Readable = GzipStream(stream) if kind == "gz" else ZstdStream(stream)
            yield from self.walk(inner, label, depth + 1)

    def _report(self, trouble: Trouble, label: str) -> None:
        place = f"{label} {trouble.place}".strip()
        self.troubles.append(trouble._replace(place=place))

    def _tar(self, stream: io.BufferedReader[Guarded], label: str, depth: int) -> Iterator[Member]:
        try:
            for name, inner in tar_members(stream):
                self._budget.member()
                yield from self.walk(inner, _join(label, name), depth + 1)
        except DamagedTar as error:
            self._report(_damaged("", error), label)

    def _zip(
        self, file: Readable | None, stream: io.BufferedReader[Guarded], label: str, depth: int
    ) -> Iterator[Member]:
        seekable = file if isinstance(file, io.IOBase) and file.seekable() else None
        whole = seekable or self._held(stream, label)
        if whole is None:
            return
        try:
            check_directory(whole, self._limits.members)
            archive = zipfile.ZipFile(whole)
        except DAMAGE as error:
            self._report(_damaged("", error), label)
            return
        for info in archive.infolist():
            if info.is_dir():
                continue
            self._budget.member()
            name = _join(label, info.filename)
            if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                self._report(_unsupported(info), name)
                continue
            try:
                inner = ZipStream(whole, info)
            except DAMAGE as error:
                self._report(_damaged("", error), name)
                continue
            yield from self.walk(inner, name, depth + 1)

    def _held(self, stream: io.BufferedReader[Guarded], label: str) -> io.BytesIO | None:
        """A zip is read from its end, so one that cannot be sought is taken into memory."""
        data = stream.read(self._limits.inner_zip + 1)
        if len(data) <= self._limits.inner_zip:
            return io.BytesIO(data)
        self._report(
            Trouble(
                "inner-zip",
                "",
                Text(
                    ja=f"入れ子または標準入力の zip が上限 {self._limits.inner_zip} バイトを"
                    "超えています。先に展開してください",
                    en=f"a zip inside another container or from a pipe is larger than"
                    f" {self._limits.inner_zip} bytes; unpack it first",
                ),
            ),
            label,
        )
        return None


def container(head: bytes) -> str:
    """``gz``, ``zst``, ``zip``, ``tar`` or empty, by the first 512 bytes."""
    if head.startswith(b"\x1f\x8b\x08"):
        return "gz"
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F):
        return "zst"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    return "tar" if head[257:262] == b"ustar" else ""


def check_directory(file: Readable, members: int) -> None:
    """Refuse a zip whose central directory alone would fill the memory. Raises ``zipfile.BadZipFile``.

    The end record (APPNOTE.TXT 4.3.16) and its Zip64 form (4.3.14) are read by hand, before ``zipfile``
    builds an object per entry.
    """
    assert isinstance(file, io.IOBase)
    size = file.seek(0, io.SEEK_END)
    start = max(0, size - 65_536 - 22 - 20 - 56)
    file.seek(start)
    tail = file.read(size - start)
    file.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise zipfile.BadZipFile("the zip has no end record; it is cut off or no zip")
    (directory,) = struct.unpack_from("<I", tail, at + 12)
    long = tail.rfind(b"PK\x06\x06", 0, at)
    if directory == 0xFFFFFFFF and long >= 0 and len(tail) >= long + 48:
        (directory,) = struct.unpack_from("<Q", tail, long + 40)
    if directory > members * 512:
        raise zipfile.BadZipFile(f"its directory of {directory} bytes is too large for {members} members")


def _join(label: str, name: str) -> str:
    """Label of a member: printable, of bounded length, never used as a path."""
    clean = "".join(c if c.isprintable() else "\ufffd" for c in name)[:512]
    return f"{label}!{clean}" if label else clean


def _damaged(place: str, error: Exception) -> Trouble:
    why = f"{error}" or type(error).__name__
    return Trouble(
        "damaged",
        place,
        Text(
            ja=f"破損しているか途中で切れています（{why}）。ここまで読めた分は保存しました",
            en=f"damaged or cut off ({why}); what could be read before it was kept",
        ),
    )


def _too_deep(depth: int) -> Trouble:
    return Trouble(
        "too-deep",
        "",
        Text(
            ja=f"入れ子が {depth} 段を超えています。先に展開してください",
            en=f"packed more than {depth} times inside each other; unpack it first",
        ),
    )


def _unsupported(info: zipfile.ZipInfo) -> Trouble:
    if info.flag_bits & 1:
        text = Text(
            ja="暗号化されています。先に展開してください",
            en="is encrypted; unpack it with its password first",
        )
        return Trouble("encrypted", "", text)
    return Trouble(
        "method",
        "",
        Text(
            ja=f"圧縮方式 {info.compress_type} は読めません（対応：無圧縮、deflate）。先に展開してください",
            en=f"compression method {info.compress_type} is not read (stored, deflate are); unpack it first",
        ),
    )
