"""Reading ``sekisho.toml``: every problem named with its key, what was expected and the remedy."""

from __future__ import annotations

import ipaddress
import tomllib
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from sekisho.model import Refused
from sekisho.settings.shape import Access, Settings

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
    wrong = problems(settings)
    if wrong:
        raise Refused("\n".join(f"{path}: {problem}" for problem in wrong), "mend the named keys")
    return msgspec.structs.replace(settings, data=data)


def problems(settings: Settings) -> list[str]:
    """What the types alone cannot tell: zones, address ranges, keys that need each other."""
    found = []
    try:
        ZoneInfo(settings.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        found.append(f"zone = {settings.zone!r} is no IANA time zone; expected e.g. Asia/Tokyo")
    for text in settings.collect.syslog_allow:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError as error:
            found.append(f"collect.syslog_allow: {error}; expected e.g. 192.0.2.0/24")
    if settings.collect.syslog_tls_port and settings.collect.tls is None:
        found.append("collect.syslog_tls_port needs [collect.tls] with certificate and key")
    found += _keep_problems(settings)
    hooks = [hook.url_file for hook in settings.notify.webhooks]
    found += [
        f"notify.webhooks: {name} is named twice; give each webhook a file of its own"
        for name in sorted({name for name in hooks if hooks.count(name) > 1})
    ]
    return found + _roles(settings.access)


def _roles(access: Access) -> list[str]:
    names = [role.name for role in access.roles]
    found = [
        f"access.roles: {name} is named twice; give each role a name of its own"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    found += [
        f"access.roles: nobody has the role {role.name}; expected users or groups"
        for role in access.roles
        if not role.users and not role.groups
    ]
    return found


def _keep_problems(settings: Settings) -> list[str]:
    names = [entry.source for entry in settings.keep.sources]
    found = [
        f"keep.sources: {name} is named twice; give each source one entry"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    archive = settings.keep.archive
    if archive is not None and bool(archive.folder) == bool(archive.bucket):
        found.append("keep.archive needs either folder (another mount) or bucket (an S3-compatible store)")
    if archive is not None and archive.folder and archive.lock_days:
        found.append("keep.archive.lock_days needs a bucket: a folder has no Object Lock")
    return found
