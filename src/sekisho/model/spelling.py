"""How logs spell the name of one account, and names that only look like it.

``spellings`` are the same account, whatever writes it: Windows' DOMAIN\\name and DOMAIN/name, the mail form
of a DNS domain ([MS-ADTS] 5.1.1.1.1, userPrincipalName), the name of a guest in another tenant of Entra ID
(``name_domain#EXT#@tenant``), percent-encoding (RFC 3986, 2.1). ``user+tag@`` stays a name of its own
(``folding``).

``looks_like`` is no spelling: a name with letters of another script that show as Latin ones is somebody
else's, most likely an impostor's. It never stands for the account; it is told.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from sekisho.model.folding import fold, plain

_GUEST = re.compile(r"(.+)_([^_@]+\.[^_@]+)#ext#(?:@.*)?")
_DOMAIN = re.compile(r"([a-z0-9-]+(?:\.[a-z0-9-]+)+)[\\/]([^\\/@]+)")
_SLASH = re.compile(r"[a-z0-9.-]+/([^/@]+)")

#: Lower-case letters that show as Latin ones (Unicode Technical Standard 39, 4, among them those of Cyrillic,
#: Greek and Armenian, and Latin's own variants). Case and compatibility forms are folded before.
FROM = "аеорсухіјѕһԁԛԝӏкгьүѵѡҝαορνυικτηγχωσϳօսհոցզյıɑɡɩʋᴠᴡᴢᴏᴄꜱ"
TO = "aeopcyxijshdqwlkrbyvwkaopvuiktnyxwojouhngqjiagivvwzocs"
_LATIN = str.maketrans(FROM, TO)


def spellings(value: str) -> tuple[str, ...]:
    """Folded forms under which the account may be listed, the nearest first. All name the same account."""
    whole = fold(value)
    found = [whole]
    if "%" in whole and (decoded := fold(unquote(whole, errors="replace"))) != whole:
        found.append(decoded)
    for form in tuple(found):
        if (guest := _GUEST.fullmatch(form)) is not None:
            found.append(f"{guest[1]}@{guest[2]}")
        if (domain := _DOMAIN.fullmatch(form)) is not None:
            found.append(f"{domain[2]}@{domain[1]}")
        if "\\" in form:
            found.append(plain(form))
        if (slash := _SLASH.fullmatch(form)) is not None:
            found.append(fold(slash[1]))
    return tuple(dict.fromkeys(found))


def looks_like(value: str) -> str | None:
    """The Latin name as which the folded name shows; None if it shows as itself."""
    if value.isascii():
        return None
    shown = value.translate(_LATIN)
    return shown if shown != value else None
