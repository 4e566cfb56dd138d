"""A Unix socket in a folder of any depth: its address holds 107 bytes, paths may be longer (unix(7))."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sekisho.model import Refused

_BY_NUMBER = Path("/proc/self/fd")
#: bytes of ``sun_path`` without its end mark: Linux; other systems have 104 with it
LONGEST = 107 if _BY_NUMBER.is_dir() else 103


@contextmanager
def short(path: Path) -> Iterator[str]:
    """A name of the socket ``path`` that fits, for ``bind`` and ``connect`` within the context.

    Where the path itself does not fit it goes by way of its open folder. Raises ``OSError`` if there is no
    such folder, ``Refused`` on systems that cannot do so.
    """
    if len(os.fsencode(path)) <= LONGEST:
        yield str(path)
        return
    if not _BY_NUMBER.is_dir():
        raise Refused(f"{path} is too long for a Unix socket ({LONGEST} bytes)", "use a shorter data folder")
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"{_BY_NUMBER}/{folder}/{path.name}"
    finally:
        os.close(folder)
