"""A real journal, written and sealed as the collector does it, for tests that attack it."""

from __future__ import annotations

import random
from pathlib import Path

from sekisho.journal import JournalWriter, keys
from sekisho.journal.keys import KeyFiles
from sekisho.journal.note import Verifier
from sekisho.journal.sealer import Sealer
from sekisho.journal.trust import judge
from sekisho.journal.verify import Report, verify
from sekisho.model import Records

ORIGIN = "exchange.example/sekisho/test"
T0 = 1_770_000_000


def batch(*bodies: bytes, at: int = T0) -> Records:
    return Records("okta", "hec", "none", "192.0.2.7:50000", "edge", at * 10**9, bodies)


class World:
    """A journal of which the test is the collector: a frame each second, a checkpoint each five frames."""

    def __init__(self, folder: Path, *, segment: int = 1500, origin: str = ORIGIN) -> None:
        self.data = folder
        self.folder = folder / "journal"
        self.files = KeyFiles(folder / "secrets" / "seal.key", folder / "sekisho.vkey")
        self.segment = segment
        self.clock = T0
        self.random = random.Random(7)
        keys.create(self.files, origin)
        self.pin: Verifier = keys.published(self.files.public)
        self.open()

    def open(self) -> None:
        self.writer = JournalWriter(self.folder, segment_bytes=self.segment)
        self.sealer = Sealer(self.folder, self.writer.tree, self.files, now=lambda: self.clock)

    def write(self, count: int, *, seal_every: int = 5) -> None:
        for i in range(count):
            self.clock += 1
            body = b'{"frame": %d, "x": "%s"}' % (
                self.writer.next_frame,
                self.random.randbytes(60).hex().encode(),
            )
            self.writer.append([batch(body, b"second", at=self.clock)])
            if seal_every and i % seal_every == seal_every - 1:
                self.sealer.seal()

    def stop(self, *, seal: bool = True) -> None:
        if seal:
            self.sealer.seal()
        self.sealer.close()
        self.writer.close()

    def verify(self, *, pin: Verifier | None = None, jobs: int = 1, **more: object) -> Report:
        trusted = judge(self.folder, pin or self.pin, **more)  # type: ignore[arg-type]
        return verify(self.folder, trusted, jobs=jobs)


def sealed_world(folder: Path, count: int = 40, **more: object) -> World:
    world = World(folder, **more)  # type: ignore[arg-type]
    world.write(count)
    world.stop()
    return world
