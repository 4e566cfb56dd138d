"""Master data, detector, enricher: opened the same way by every process."""

from __future__ import annotations

from pathlib import Path

from sekisho import detect, enrich
from sekisho.contract import Context
from sekisho.contract.discovery import Content
from sekisho.enrich import context_files
from sekisho.settings import Settings, secret


def detector(settings: Settings, found: Content) -> detect.Detector:
    return detect.Detector(
        detect.rules(found),
        systems=systems(found),
        memory=settings.lake.duckdb_memory,
    )


def systems(found: Content) -> dict[str, tuple[str, ...]]:
    """Systems of the master data whose accounts appear in a source, by source id."""
    return {source.id: (*source.systems, source.id) for source in found.sources.values()}


class Master:
    """The published master data; read again when a new version is there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._context = Context()

    def __call__(self) -> Context:
        version = context_files.current(self._folder)
        if version != self._context.version:
            self._context = context_files.read(self._folder)
        return self._context


def open_enricher(settings: Settings, found: Content) -> enrich.Enricher:
    decoy_key = secret(settings.secrets_dir / "decoy.key")
    return enrich.Enricher(settings.enrich, decoy_key, systems(found))
