"""The journal opened by its one writer."""

from __future__ import annotations

from sekisho.journal import JournalWriter
from sekisho.lake import manifest
from sekisho.settings import Settings


def open_journal(settings: Settings) -> JournalWriter:
    """Numbers go on above everything that the lake has taken, whatever became of the journal's end."""
    collect = settings.collect
    taken = 0
    if (settings.lake_dir / manifest.FILE).exists():
        lake = manifest.Manifest(settings.lake_dir, read_only=True)
        try:
            offset = lake.state("offset")
        finally:
            lake.close()
        taken = 0 if offset is None else offset + 1
    return JournalWriter(
        settings.journal_dir,
        segment_bytes=collect.segment_bytes,
        min_free=collect.min_free,
        at_least=taken,
    )
