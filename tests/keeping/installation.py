"""A data folder with real records in it, made by the program's own commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from sekisho import first_run

PASSPHRASE = "five words nobody would guess"


def sekisho(data: Path, *words: str, code: int = 0) -> str:
    """A command as a process; gives what it wrote to both outputs."""
    done = subprocess.run(
        [sys.executable, "-m", "sekisho.cli.main", "--data", str(data), *words],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def okta(count: int, start: int = 0) -> bytes:
    """Okta sign-ins (RFC 5737 addresses), one JSON object per line."""
    return b"".join(
        json.dumps(
            {
                "uuid": f"00000000-0000-4000-8000-{start + n:012d}",
                "published": f"2026-05-{1 + (start + n) % 28:02d}T0{(start + n) % 10}:00:00.000Z",
                "eventType": "user.session.start",
                "version": "0",
                "severity": "INFO",
                "displayMessage": "User login to Okta",
                "actor": {
                    "id": f"00u{(start + n) % 7}",
                    "type": "User",
                    "alternateId": f"emp{(start + n) % 7:04d}@example.jp",
                    "displayName": f"Employee {(start + n) % 7}",
                },
                "client": {"ipAddress": f"192.0.2.{(start + n) % 250}"},
                "outcome": {"result": "SUCCESS"},
            }
        ).encode()
        + b"\n"
        for n in range(count)
    )


def make(folder: Path, count: int = 600) -> Path:
    """``folder/data`` with so many events and a small segment size."""
    data = folder / "data"
    first_run.prepare(data, 0)
    (data / "sekisho.toml").write_text("[collect]\nsegment_bytes = 4096\nmin_free = 0\n")
    add(folder, data, count)
    return data


def add(folder: Path, data: Path, count: int, start: int = 0) -> None:
    for part in range(start, start + count, 200):
        file = folder / f"okta-{part}.json"
        file.write_bytes(okta(min(200, start + count - part), part))
        sekisho(data, "ingest", str(file), "--source", "okta")


def events(data: Path) -> list[dict[str, Any]]:
    said = sekisho(data, "search", "source:okta", "--limit", "0", "--json", "--order", "oldest")
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


__all__ = ["PASSPHRASE", "add", "events", "make", "okta", "sekisho"]
