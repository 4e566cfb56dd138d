"""Cases of sources: how they are read, run through the real normaliser, and written as golden text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sekisho.contract import Content, discover
from sekisho.model import Frame, Records, Wrapping
from sekisho.normalise import Normaliser

RECEIVED_AT = "2026-05-18T02:00:00+00:00"
#: Not part of the golden text: they depend on the way in, or repeat the input (``raw``).
LEFT_OUT = {"ingested_at", "journal_offset", "receiver", "raw"}


class Case(NamedTuple):
    """``body`` is the ``.in`` file without its final line end."""

    source: str
    path: Path
    body: bytes
    wrapping: Wrapping
    attributes: dict[str, str]
    received_at: datetime
    #: reject code that the record gets when nothing names its source; None: it is recognised
    unlabelled: str | None

    @property
    def golden(self) -> Path:
        return self.path.with_name(self.path.stem + ".out.json")

    @property
    def name(self) -> str:
        return f"{self.source}/{self.path.stem}"


@cache
def content() -> Content:
    return discover()


@cache
def normaliser() -> Normaliser:
    return Normaliser(content().sources)


def cases(source: str | None = None) -> Iterator[Case]:
    for source_id in sorted(content().sources):
        if source not in (None, source_id):
            continue
        folder = content().files[f"source/{source_id}"].with_suffix(".cases")
        for path in sorted(folder.glob("*.in")):
            yield _read(source_id, path)


def _read(source: str, path: Path) -> Case:
    meta_path = path.with_name(path.stem + ".meta.json")
    meta: dict[str, Any] = json.loads(meta_path.read_text(encoding="utf-8")) if meta_path.exists() else {}
    unknown = meta.keys() - {"wrapping", "attributes", "received_at", "unlabelled"}
    assert not unknown, f"{meta_path}: unknown keys {sorted(unknown)}"
    body = path.read_bytes()
    body = body[:-1] if body.endswith(b"\n") else body
    return Case(
        source,
        path,
        body,
        meta.get("wrapping", "none"),
        meta.get("attributes", {}),
        datetime.fromisoformat(meta.get("received_at", RECEIVED_AT)),
        meta.get("unlabelled"),
    )


def run(case: Case, label: str | None = None) -> dict[str, Any]:
    """All non-null columns of the event, or ``{"reject": code, "why": ..., "candidates": [...]}``."""
    records = Records(
        source=label or case.source,
        receiver="internal" if content().sources[case.source].internal and label is None else "file",
        wrapping=case.wrapping,
        peer="192.0.2.1",
        identity="",
        received_at=int(case.received_at.timestamp() * 1_000_000_000),
        bodies=(case.body,),
        attributes=case.attributes,
    )
    result = normaliser().batch([Frame(0, records)])
    rows = result.events.to_pylist()
    assert len(rows) + len(result.rejects) == 1, "a record comes out exactly once"
    if result.rejects:
        reject = result.rejects[0]
        return {"reject": reject.code, "why": reject.why, "candidates": list(reject.candidates)}
    return {name: value for name, value in rows[0].items() if value is not None}


def golden(result: dict[str, Any]) -> dict[str, Any]:
    """What the golden file keeps of a result."""
    if "reject" in result:
        return {"reject": result["reject"]}
    kept = {name: _plain(value) for name, value in result.items() if name not in LEFT_OUT}
    if "unmapped" in kept:
        kept["unmapped"] = json.loads(kept["unmapped"])
    return kept


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def text(result: dict[str, Any]) -> str:
    return json.dumps(golden(result), ensure_ascii=False, indent=2) + "\n"
