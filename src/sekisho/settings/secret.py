"""Key files in the data folder's ``secrets``: made at the first use, readable by the owner only."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from sekisho.model import Refused


def secret(path: Path, size: int = 32) -> bytes:
    """The key in ``path`` (hexadecimal text); a new random one of ``size`` bytes if there is none.

    Two processes that start at once get the same key: the file appears whole or not at all.
    Raises ``Refused`` if others may read the file or if it does not hold a key.
    """
    if not path.exists():
        _create(path, secrets.token_hex(size))
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise Refused(f"{path}: others may read this key", f"run: chmod 600 {path}")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError as error:
        raise Refused(f"{path}: not a key in hexadecimal digits", "restore the file from a backup") from error
    if len(key) < size:
        raise Refused(f"{path}: the key is shorter than {size} bytes", "restore the file from a backup")
    return key


def _create(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, text.encode("ascii") + b"\n")
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(draft, path)  # fails if another process was first: then its key counts
    except FileExistsError:
        pass
    finally:
        draft.unlink()
