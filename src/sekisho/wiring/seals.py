"""Where the keys of the seal lie, and sealing without a collector."""

from __future__ import annotations

from pathlib import Path

from sekisho.journal import JournalWriter
from sekisho.journal import note as notes
from sekisho.journal.keys import KeyFiles
from sekisho.journal.note import BadNote, Verifier
from sekisho.journal.sealer import Sealer
from sekisho.model import Refused
from sekisho.settings import Settings
from sekisho.wiring.clock import now_ns
from sekisho.wiring.journaling import open_journal


def now_s() -> int:
    return now_ns() // 10**9


def key_files(settings: Settings) -> KeyFiles:
    return KeyFiles(settings.seal_key, settings.data / "sekisho.vkey")


def witness_key_files(settings: Settings) -> KeyFiles:
    return KeyFiles(settings.secrets_dir / "witness.key", settings.data / "witness.vkey")


def witness_dir(settings: Settings) -> Path:
    return settings.data / "witness"


def seal_offline(settings: Settings, writer: JournalWriter) -> None:
    """At the end of a command that wrote the journal itself: seal what it added."""
    sealer = Sealer(writer.folder, writer.tree, key_files(settings), now=now_s)
    try:
        sealer.seal()
    finally:
        sealer.close()


def seal_now(settings: Settings) -> None:
    """Without a collector: open the journal as its writer, seal, close."""
    writer = open_journal(settings)
    try:
        seal_offline(settings, writer)
    finally:
        writer.close()


def witnessed_logs(settings: Settings) -> dict[str, list[Verifier]]:
    """Origin to keys. Raises ``Refused`` for a key that is none."""
    found: dict[str, list[Verifier]] = {}
    for one in settings.witness.logs:
        try:
            key = notes.verifier(one.vkey)
        except BadNote as error:
            raise Refused(f"witness.logs: {one.vkey[:60]}: {error.why}", "give NAME+ID+BASE64") from error
        found.setdefault(key.name, []).append(key)
    return found
