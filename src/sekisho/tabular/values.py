"""One cell into its value, by the kind of its column."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from sekisho.contract import Field
from sekisho.model import Text
from sekisho.tabular.countries import COUNTRIES

#: A typed cell: text, instant (UTC), truth, or None for an empty cell.
Value = str | datetime | bool | None

_TIME = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?"
    r" ?(Z|[+-]\d{2}:?\d{2})?",
    re.IGNORECASE | re.ASCII,
)
_DAY = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})", re.ASCII)
_EMAIL = re.compile(r"[^\s@<>\"(),;:]{1,64}@[^\s@<>\"(),;:]{1,255}")
_TRUE = {"yes", "true", "1", "はい"}
_FALSE = {"no", "false", "0", "いいえ"}
_LONGEST = 500
_YEARS = range(1900, 3000)


class Row(NamedTuple):
    """``values`` holds the columns that the file has; ``given`` the texts, for messages."""

    number: int
    values: dict[str, Value]
    given: dict[str, str]


class NotThis(Exception):  # noqa: N818 - a verdict on a cell, turned into a Problem by the caller
    """The cell is not what its column takes."""

    def __init__(self, expected: Text, example: str = "") -> None:
        self.expected = expected
        self.example = example
        super().__init__(expected.en)


def value(field: Field, text: str, zone: str | None) -> Value:
    """``text`` is not empty; ``zone`` is the row's time zone, if it has a valid one. Raises ``NotThis``."""
    if field.kind == "date-or-time":
        return _day_or_instant(field, text, zone)
    return _KINDS[field.kind](field, text)


def show(item: Value, zone: str = "UTC") -> str:
    """As it is written to a file, and read again: times with the offset of ``zone``."""
    if item is None:
        return ""
    if isinstance(item, bool):
        return "yes" if item else "no"
    if isinstance(item, datetime):
        local = item.astimezone(ZoneInfo(zone))
        whole = local.strftime("%z")[5:] == ""  # local mean times of old had offsets with seconds
        return (local if whole else item.astimezone(UTC)).isoformat()
    return item


def is_end(field: Field) -> bool:
    return field.name.endswith(("_end", "_to"))


def _text(field: Field, text: str) -> str:
    if any(
        unicodedata.category(c) == "Cc" or c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
        for c in text
    ):
        raise NotThis(
            Text(ja="改行や制御文字を含まない文字列", en="a text without line breaks or control characters"),
            field.example,
        )
    if len(text) > _LONGEST:
        raise NotThis(Text(ja=f"{_LONGEST} 文字以下", en=f"at most {_LONGEST} characters"), field.example)
    return unicodedata.normalize("NFC", text)


def _email(field: Field, text: str) -> str:
    if not _EMAIL.fullmatch(text):
        raise NotThis(Text(ja="メールアドレス 1 件", en="one mail address"), field.example)
    return _text(field, text)


def _bool(field: Field, text: str) -> bool:
    word = text.casefold()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise NotThis(
        Text(
            ja="はい、いいえ、yes、no、true、false、1、0 のいずれか",
            en="yes, no, true, false, 1, 0, はい or いいえ",
        ),
        field.example,
    )


def _choice(field: Field, text: str) -> str:
    if text.casefold() not in field.choices:
        words = ", ".join(field.choices)
        raise NotThis(Text(ja=f"次のいずれか: {words}", en=f"one of: {words}"), field.example)
    return text.casefold()


@cache
def _zones() -> dict[str, str]:
    return {name.casefold(): name for name in available_timezones()}


def _zone(field: Field, text: str) -> str:
    name = _zones().get(text.casefold())
    if name is None:
        raise NotThis(Text(ja="IANA の時間帯名", en="a time zone name of the IANA database"), field.example)
    return name


def _country(field: Field, text: str) -> str:
    if text.upper() not in COUNTRIES:
        raise NotThis(
            Text(ja="ISO 3166-1 の 2 文字の国コード", en="a country code of two letters (ISO 3166-1)"),
            field.example,
        )
    return text.upper()


def _cidr(field: Field, text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise NotThis(Text(ja="アドレス範囲（CIDR）", en="an address range (CIDR)"), field.example) from None
    if ipaddress.ip_address(text.partition("/")[0]) != network.network_address:
        raise NotThis(
            Text(
                ja="範囲の先頭アドレスで始まる CIDR（ホスト部は 0）",
                en="a range that starts at its first address (host bits 0)",
            ),
            str(network),
        )
    return str(network)


_NO_OFFSET = Text(
    ja="UTC との時差を付けた時刻（時差のない時刻は推測せず受け付けません）",
    en="a time with its UTC offset (a time without one is not guessed)",
)


def _instant(field: Field, text: str) -> datetime:
    found = _TIME.fullmatch(text)
    example = field.example if "T" in field.example else "2026-04-01T09:00:00+09:00"
    if not found or not found[8]:
        raise NotThis(_NO_OFFSET, example)
    offset = "+00:00" if found[8] in "Zz" else found[8]
    second, fraction = int(found[6] or 0), (found[7] or "").ljust(6, "0")
    try:
        year, month, day, hour, minute = (int(found[place]) for place in range(1, 6))
        far = datetime.strptime(offset, "%z").tzinfo
        local = datetime(year, month, day, hour, minute, second, int(fraction), tzinfo=far)
    except ValueError:
        raise NotThis(Text(ja="実在する日時", en="a date and time that exist"), example) from None
    if local.year not in _YEARS:
        raise NotThis(Text(ja="1900 年から 2999 年まで", en="a year from 1900 to 2999"), example)
    return local.astimezone(UTC)


def _day_or_instant(field: Field, text: str, zone: str | None) -> Value:
    found = _DAY.fullmatch(text)
    if not found:
        return _instant(field, text)
    try:
        day = date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        raise NotThis(Text(ja="実在する日付", en="a date that exists"), field.example) from None
    if day.year not in _YEARS:
        raise NotThis(Text(ja="1900 年から 2999 年まで", en="a year from 1900 to 2999"), field.example)
    if zone is None:
        return None  # the zone's own problem is told; the day cannot be placed without it
    if is_end(field):
        day += timedelta(days=1)  # the end of a day is the midnight that follows it
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


_KINDS: Mapping[str, Callable[[Field, str], Value]] = {
    "text": _text,
    "email": _email,
    "bool": _bool,
    "choice": _choice,
    "zone": _zone,
    "country": _country,
    "cidr": _cidr,
    "time": _instant,
}
