"""The first start of an installation: folder, keys, a token, a commented settings file."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import NamedTuple

from sekisho.collect.tokens import Tokens
from sekisho.journal import keys, sealed
from sekisho.model import Refused
from sekisho.settings import FILE, TEMPLATE, load, secret

_MARK = "sekisho-data"


class Prepared(NamedTuple):
    """``token``: clear text of the first token, only when it was made just now; ``vkey``: verifier key of
    the seal, likewise."""

    first: bool
    token: str | None
    vkey: str | None = None


def prepare(data: Path, now: float, *, token: bool = False) -> Prepared:
    """Make the data folder complete; what is there stays. ``now``: seconds since 1970 UTC.

    ``token``: make the first token for shippers if there is none (`sekisho up`, which can show it).

    Raises ``Refused`` for a folder that holds something else.
    """
    marker = data / _MARK
    if data.exists() and not marker.exists() and any(data.iterdir()) and not (data / FILE).exists():
        raise Refused(
            f"{data} is not empty and not a Sekisho data folder",
            "name an empty or new folder with --data",
        )
    first = not marker.exists()
    for folder in (data, data / "secrets", data / "run", data / "journal", data / "lake", data / "context"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    secret(data / "secrets" / "decoy.key")
    if not (data / FILE).exists():
        (data / FILE).write_text(TEMPLATE, encoding="utf-8")
    (data / FILE).chmod(0o600)
    vkey = _sealing_key(data)
    tokens = Tokens(data / "secrets" / "tokens.json")
    made = tokens.create("default", now=now) if token and not tokens.names() else None
    if first:
        marker.write_text("data folder of Sekisho, layout 1\n")
    return Prepared(first, made, vkey)


def _sealing_key(data: Path) -> str | None:
    """Make the sealing key, if there never was one; gives its verifier key then.

    A journal that was sealed gets no other key by itself: a lost key comes back from its backup.
    """
    settings = load(data)
    files = keys.KeyFiles(settings.seal_key, data / "sekisho.vkey")
    if files.private.exists():
        if not files.public.exists():
            keys.publish(files.public, keys.load(files.private).verifier)
        return None
    checkpoints = data / "journal" / sealed.NAME
    if files.public.exists() or (checkpoints.exists() and checkpoints.stat().st_size):
        return None
    origin = settings.seal.origin or keys.default_origin(socket.gethostname())
    return keys.create(files, origin).verifier.vkey


def known(data: Path) -> None:
    """Raises ``Refused`` unless this is a data folder: a command that reads must not make one."""
    if not (data / _MARK).exists():
        raise Refused(
            f"{data} is no data folder of Sekisho",
            "name it with --data or $SEKISHO_DATA; a new one is made by `sekisho up` or `sekisho ingest`",
        )
