"""Reading ``sekisho.toml``: every problem named with its key, what was expected and the remedy."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from sekisho.model import Refused
from sekisho.settings.shape import Settings

FILE = "sekisho.toml"


def load(data: Path) -> Settings:
    """Settings of the data folder; defaults where the file is absent.

    Raises ``Refused`` with file, place and remedy if the file cannot be understood.
    """
    path = data / FILE
    if not path.exists():
        return Settings(data=data)
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused(f"{path}: not TOML: {error}", "mend the line that is named") from error
    if "data" in tree:
        raise Refused(
            f"{path}: 'data' cannot be set in the file",
            "remove the line; the data folder is the one that holds the file",
        )
    try:
        settings = msgspec.convert(tree, Settings)
    except msgspec.ValidationError as error:
        raise Refused(f"{path}: {error}", "see docs/reference/settings.md for what each key takes") from error
    return msgspec.structs.replace(settings, data=data)
