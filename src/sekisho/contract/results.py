"""What the result of an authentication says of the secret. Rules that ask it read this one table.

Sources: Microsoft, "Microsoft Entra authentication and authorization error codes" (AADSTS); [MS-ERREF] 2.3
(NTSTATUS); RFC 4120, 7.5.9 (Kerberos). A code that is in no set proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any


class Secret(Enum):
    """Whether the right secret was shown. ``UNKNOWN``: the event does not say."""

    RIGHT = "right"
    WRONG = "wrong"
    UNKNOWN = "unknown"


#: A wrong secret does not get this far: something else refused it. Not in here, as they may come before the
#: secret is looked at: Entra ID's 50053 (locked) and 50057 (disabled), Windows' 0xc0000072 and 0xc0000234,
#: Kerberos' 0x12 and 0x17.
RIGHT_CODES = frozenset(
    ["50055", "50072", "50074", "50076", "50079", "50105", "50158", "53000", "53001", "53002", "53003",
     "53004", "500121", "0xc000006e", "0xc000006f", "0xc0000070", "0xc0000071", "0xc0000193", "0xc0000224"]
)  # fmt: skip
#: The secret was looked at and was wrong. A name that does not exist is not here: nothing was looked at.
WRONG_CODES = frozenset(["50126", "0xc000006a", "0x18"])
#: The same in the words of sources that have no codes.
WRONG_WORDS = frozenset(
    [
        "invalid_credentials",
        "login_failure_invalid_password",
        "wrong password",
        "incorrect password",
        "failed authentication",
    ]
)

#: OCSF classes of which a success shows that the secret was right: authentication, and use of an interface.
_PROVING = frozenset([3002, 6003])


def secret(event: Mapping[str, Any]) -> Secret:
    """Of an event with all columns. A success proves it only where something was signed in to or used."""
    proving = event["class_uid"] in _PROVING
    if event["status_id"] == 1:
        return Secret.RIGHT if proving else Secret.UNKNOWN
    code = plain_code(event["status_code"])
    blocked = event["disposition_id"] == 2 and event["policy_name"]  # policies are asked after the secret
    if proving and (blocked or code in RIGHT_CODES):
        return Secret.RIGHT
    words = (event["status_detail"] or "").strip().lower()
    return Secret.WRONG if code in WRONG_CODES or words in WRONG_WORDS else Secret.UNKNOWN


def plain_code(code: str | None) -> str:
    """In lower case; an NTSTATUS that a source gives as a decimal number as hexadecimal."""
    plain = (code or "").strip().lower()
    if plain.lstrip("-").isdecimal() and plain.isascii():
        number = int(plain[:12]) & 0xFFFFFFFF
        if number >= 0xC0000000:
            return f"0x{number:08x}"
    return plain
