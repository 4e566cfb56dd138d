"""One process at a time, named to the second one."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from sekisho.model import Refused


def take(path: Path, does: str) -> IO[str]:
    """Hold the lock until the file is closed (or the process ends, however it ends).

    ``does``  what the holder does with the lake (``writes``), for the sentence to the second one
    Raises ``Refused``, naming the process that holds it.
    """
    handle = path.open("a+", encoding="ascii")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        other = handle.read().strip() or "unknown"
        handle.close()
        to = {"writes": "writes to this lake", "compacts": "compacts this lake"}[does]
        raise Refused(
            f"{path.parent}: process {other} already {to}",
            f"stop process {other} first, or use another data folder",
        ) from None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle
