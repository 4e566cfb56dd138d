"""User agents and times as products write them."""

from __future__ import annotations

from datetime import UTC, datetime

from sekisho.range.world import Person

CHROME_WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/149.0.0.0 Safari/537.36"
)
CHROME_MAC = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/149.0.0.0 Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_4 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Mobile/15E148"
)


def browser(person: Person) -> str:
    return CHROME_MAC if person.os == "mac" else CHROME_WINDOWS


def system(person: Person) -> str:
    return "Mac OS X" if person.os == "mac" else "Windows 11"


def zulu(time: datetime, digits: int = 3) -> str:
    """RFC 3339 in UTC with so many decimals (0 to 7)."""
    text = time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    if not digits:
        return text + "Z"
    return f"{text}.{f'{time.microsecond:06d}0'[:digits]}Z"


def millis(time: datetime) -> int:
    """Milliseconds since 1970 UTC."""
    return int(time.timestamp()) * 1000 + time.microsecond // 1000


COUNTRY_NAMES = {"JP": "Japan", "US": "United States", "PT": "Portugal", "SG": "Singapore", "DE": "Germany"}
