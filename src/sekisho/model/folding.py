"""Names of accounts for comparison: one form on both sides, however a log or a table writes them.

Unicode 15, 3.13 (toNFKC_Casefold): compatibility forms, case and invisible characters make no other name.
``user+tag@`` stays what it is: whether a system sends both to one account is not for us to say.
"""

from __future__ import annotations

import hmac
import re
import unicodedata
from functools import lru_cache

#: Distinct names that are remembered.
_REMEMBERED = 1 << 16

#: Control characters, and those that Unicode calls default-ignorable: they show as nothing.
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


@lru_cache(maxsize=_REMEMBERED)
def fold(value: str) -> str:
    """Without case, compatibility forms, invisible characters, surrounding blanks and trailing dots.

    Folding twice changes nothing. A name of dots only stays.
    """
    if value.isascii() and value.isprintable():
        return _trimmed(value.lower())
    while (folded := _once(value)) != value:
        value = folded
    return value


def _once(value: str) -> str:
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFKC", value))
    return _trimmed(unicodedata.normalize("NFKC", visible.casefold()))


def _trimmed(value: str) -> str:
    """Windows and DNS take a name with trailing dots or blanks for the name without."""
    return value.strip().rstrip(". ") or value.strip()


@lru_cache(maxsize=_REMEMBERED)
def plain(value: str) -> str:
    """Folded name without its Windows domain."""
    return fold(fold(value).rpartition("\\")[2])


def keyed_hash(key: bytes, identifier: str) -> str:
    """How the table ``decoys`` holds an identifier: hex HMAC-SHA256 (RFC 2104) of its folded form."""
    return hmac.digest(key, fold(identifier).encode("utf-8", "surrogatepass"), "sha256").hex()
