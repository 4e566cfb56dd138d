"""What readers in other processes see: the files of one moment, while the writer goes on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from sekisho.lake import files
from sekisho.lake.manifest import Manifest, Stored
from sekisho.lake.writer import Damage


class Snapshot(NamedTuple):
    """The lake at one moment. Its files stay on the disk at least for ``writer.GRACE``.

    ``offset``    last journal frame that is in it, None if nothing is
    ``counters``  by source: ``events``, ``last_ingested_at`` (µs since 1970 UTC), and the pipeline's own
    ``damaged``   files that are left out because they cannot be read
    """

    folder: Path
    files: tuple[Stored, ...]
    offset: int | None
    counters: dict[str, dict[str, int]]
    damaged: tuple[Damage, ...]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    def within(
        self, low: int | None = None, high: int | None = None, sources: Collection[str] | None = None
    ) -> list[Stored]:
        """Files that can hold events with low <= time < high (µs since 1970 UTC) of these sources."""
        return [
            file
            for file in self.files
            if (low is None or file.time_max >= low)
            and (high is None or file.time_min < high)
            and (sources is None or not set(sources).isdisjoint(file.sources))
        ]

    def paths(self, chosen: Sequence[Stored]) -> list[Path]:
        return [files.path_of(self.folder, file) for file in chosen]


def snapshot(folder: Path) -> Snapshot:
    """The lake as it is now. Raises ``Refused`` if there is none."""
    manifest = Manifest(folder, read_only=True)
    try:
        with manifest.transaction("DEFERRED"):
            stored = manifest.files()
            offset = manifest.state("offset")
            counters = manifest.counters()
            marked = manifest.damage()
    finally:
        manifest.close()
    good, damaged = [], []
    for file in stored:
        path = files.path_of(folder, file)
        why = files.fault(path, file.bytes) or marked.get(file.name)
        if why is None:
            good.append(file)
        else:
            damaged.append(Damage(path, why, file.rows))
    return Snapshot(folder, tuple(good), offset, counters, tuple(damaged))
