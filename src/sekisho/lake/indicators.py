"""Lists of indicators as they are passed round: CSV, plain lists, STIX 2.0 and 2.1 bundles, MISP events.

Each entry becomes an ``Indicator`` or an ``Unusable`` with the reason; nothing is dropped silently.
Defanged forms (``hxxp://evil[.]example``) are understood.
"""

from __future__ import annotations

import csv
import io
import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import urlsplit

from sekisho.lake import stix
from sekisho.model import Refused

Kind = Literal["ip", "net", "domain", "url", "email", "md5", "sha1", "sha256", "file", "agent"]
KINDS: tuple[str, ...] = get_args(Kind)
#: Bytes and entries of one list.
LARGEST = 256 * 1024 * 1024
MOST = 1_000_000


class Indicator(NamedTuple):
    """``value`` in the form in which it is compared; ``name``: what the list calls it (id, comment)."""

    kind: str
    value: str
    name: str = ""


class Unusable(NamedTuple):
    """An entry that cannot be looked for: its place (line, id), text and the reason."""

    where: str
    text: str
    why: str


class Entry(NamedTuple):
    """As it stands in the list. ``kind`` empty: to be guessed. ``why``: the format says it is no use."""

    where: str
    text: str
    kind: str = ""
    name: str = ""
    why: str = ""


class Unfit(ValueError):  # noqa: N818 - becomes an Unusable
    """The text is no indicator of this kind."""


class Listed(NamedTuple):
    indicators: tuple[Indicator, ...]
    unusable: tuple[Unusable, ...]


def read(data: bytes, name: str) -> Listed:
    """Every indicator of a file, each once. Raises ``Refused`` if the file as a whole cannot be read."""
    if len(data) > LARGEST:
        raise Refused(f"{name}: larger than {LARGEST >> 20} MiB", "split the list")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(f"{name}: not UTF-8: {error}", "convert it, for example with iconv") from error
    found: dict[tuple[str, str], Indicator] = {}
    unusable = []
    for entry in _entries(text, name):
        try:
            if entry.why:
                raise Unfit(entry.why)
            for indicator in _indicators(entry):
                found.setdefault(indicator[:2], indicator)
        except Unfit as error:
            unusable.append(Unusable(entry.where, entry.text[:300], str(error)))
        if len(found) > MOST:
            raise Refused(f"{name}: more than {MOST:,} indicators", "split the list")
    if not found and not unusable:
        raise Refused(
            f"{name}: holds no indicator", "one per line, CSV with a column 'value', STIX 2 or MISP"
        )
    return Listed(tuple(found.values()), tuple(unusable))


def make(kind: str, text: str, name: str = "") -> Indicator:
    """One indicator; ``kind`` empty = guessed. Raises ``Unfit`` with the reason."""
    plain = refang(text)
    if not plain:
        raise Unfit("empty")
    if len(plain) > 4_000:
        raise Unfit("longer than 4,000 characters")
    kind = kind or _guess(plain)
    if kind in {"ip", "net"}:
        return _address(plain, name)
    return Indicator(kind, _CANONICAL[kind](plain), name)


# -- formats -----------------------------------------------------------------------------------------------


def _entries(text: str, name: str) -> Iterator[Entry]:
    start = text.lstrip()[:1]
    if start in {"{", "["}:
        try:
            tree = json.loads(text)
        except (ValueError, RecursionError) as error:
            if start == "{":
                raise Refused(f"{name}: not JSON: {error}", "mend the place that is named") from error
        else:
            yield from _json(tree, name)
            return
    yield from _lines(text)


def _json(tree: Any, name: str) -> Iterator[Entry]:
    if isinstance(tree, dict) and tree.get("type") == "bundle":
        yield from _stix(tree)
        return
    events = _misp_events(tree)
    if not events:
        raise Refused(f"{name}: neither a STIX 2 bundle nor a MISP event", "export it as one of these")
    for event in events:
        yield from _misp(event)


def _stix(bundle: dict[str, Any]) -> Iterator[Entry]:
    """Objects of type ``indicator`` (STIX 2.0 part 2, 2.5; STIX 2.1, 4.7); others describe, not indicate."""
    objects = bundle.get("objects")
    for held in objects if isinstance(objects, list) else []:
        if not isinstance(held, dict) or held.get("type") != "indicator":
            continue
        where = str(held.get("id") or "indicator without id")
        pattern = str(held.get("pattern") or "")
        name = str(held.get("name") or where)
        if held.get("revoked") is True:
            yield Entry(where, pattern, why="revoked by its author")
        elif held.get("pattern_type", "stix") != "stix":
            yield Entry(where, pattern, why=f"a pattern of type {held['pattern_type']}, not stix")
        else:
            try:
                terms = stix.terms(pattern)
            except stix.Unreadable as error:
                yield Entry(where, pattern, why=str(error))
                continue
            for term in terms:
                yield Entry(where, term.value, term.kind, name)


_MISP = {
    "ip-src": "ip",
    "ip-dst": "ip",
    "domain": "domain",
    "hostname": "domain",
    "url": "url",
    "email": "email",
    "email-src": "email",
    "email-dst": "email",
    "md5": "md5",
    "sha1": "sha1",
    "sha256": "sha256",
    "filename": "file",
    "user-agent": "agent",
}


def _misp_events(tree: Any) -> list[dict[str, Any]]:
    if isinstance(tree, dict) and "response" in tree:
        tree = tree["response"]
    listed = tree if isinstance(tree, list) else [tree]
    return [
        held["Event"] for held in listed if isinstance(held, dict) and isinstance(held.get("Event"), dict)
    ]


def _misp(event: dict[str, Any]) -> Iterator[Entry]:
    """Attributes of a MISP event and of its objects (MISP core format, draft-dulaunoy-misp-core-format)."""
    groups = [event, *(o for o in event.get("Object") or [] if isinstance(o, dict))]
    title = str(event.get("info") or "MISP event")
    for group in groups:
        for held in group.get("Attribute") or []:
            if isinstance(held, dict):
                yield from _attribute(held, title)


def _attribute(held: dict[str, Any], title: str) -> Iterator[Entry]:
    where = str(held.get("uuid") or held.get("id") or "attribute without id")
    kind, value = str(held.get("type") or ""), str(held.get("value") or "")
    name = str(held.get("comment") or title)
    if held.get("to_ids") is False:
        yield Entry(where, value, why="its author does not mean it for detection (to_ids is false)")
        return
    parts = list(zip(kind.split("|"), value.split("|", kind.count("|")), strict=False))
    known = [(part, text) for part, text in parts if part in _MISP]
    if not known:
        yield Entry(where, value, why=f"attributes of type {kind or '(none)'} cannot be looked for")
    for part, text in known:
        yield Entry(where, text, _MISP[part], name)


_VALUE = ("value", "indicator", "ioc", "ioc_value", "observable")
_TYPE = ("type", "kind", "indicator_type", "ioc_type")
_NAME = ("name", "id", "comment", "description", "title", "malware", "threat")
_TYPES = _MISP | {kind: kind for kind in KINDS} | {
    "ipv4": "ip", "ipv6": "ip", "ipv4-addr": "ip", "ipv6-addr": "ip", "cidr": "net", "domain-name": "domain",
    "fqdn": "domain", "uri": "url", "mail": "email", "email-addr": "email", "sha-1": "sha1",
    "sha-256": "sha256",
    "filehash-md5": "md5", "filehash-sha1": "sha1", "filehash-sha256": "sha256", "user_agent": "agent",
    "useragent": "agent", "hash": "",
}  # fmt: skip


def _lines(text: str) -> Iterator[Entry]:
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    header = [cell.strip().lower() for cell in next(csv.reader([first]), [])]
    if len(header) > 1 and set(header) & set(_VALUE):
        yield from _csv(text, header)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        held = line.split(" #")[0].strip().strip('"').rstrip(",").strip('"')
        if held and not held.startswith(("#", "//", ";")):
            yield Entry(f"line {number}", held)


def _csv(text: str, header: list[str]) -> Iterator[Entry]:
    def column(names: tuple[str, ...]) -> int | None:
        return next((header.index(name) for name in names if name in header), None)

    def cell(row: list[str], at: int | None) -> str:
        return row[at].strip() if at is not None and at < len(row) else ""

    value, kind, name = column(_VALUE), column(_TYPE), column(_NAME)
    reader = csv.reader(io.StringIO(text))
    try:
        for row in reader:
            where = f"line {reader.line_num}"
            held = cell(row, value)
            if not held or row[0].startswith("#") or held.lower() in _VALUE:
                continue
            said = cell(row, kind).lower()
            if said and said not in _TYPES:
                yield Entry(where, held, why=f"indicators of type {said} cannot be looked for")
            else:
                yield Entry(where, held, _TYPES.get(said, ""), cell(row, name))
    except csv.Error as error:
        yield Entry(f"line {reader.line_num}", "", why=f"not CSV: {error}")


# -- values ------------------------------------------------------------------------------------------------

_DEFANGED = (
    (re.compile(r"^h(?:xx|\*\*|XX)p", re.IGNORECASE), "http"),
    (re.compile(r"\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\)", re.IGNORECASE), "."),
    (re.compile(r"\[:\]"), ":"),
    (re.compile(r"\[://\]"), "://"),
    (re.compile(r"\[@\]|\[at\]|\(at\)", re.IGNORECASE), "@"),
    (re.compile(r"\[/\]"), "/"),
)
_DOMAIN = re.compile(
    r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]"
)
_EMAIL = re.compile(r"[^\s@]{1,64}@[^\s@]+")
_WITH_PORT = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}:\d{1,5}|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?")
_HEX = {32: "md5", 40: "sha1", 64: "sha256"}
_LENGTHS = {kind: length for length, kind in _HEX.items()}


def refang(text: str) -> str:
    """What was meant: ``hxxp://evil[.]example`` → ``http://evil.example``."""
    text = text.strip()
    for pattern, plain in _DEFANGED:
        text = pattern.sub(plain, text)
    return text


def _guess(text: str) -> str:
    if re.fullmatch(r"[0-9A-Fa-f]+", text) and len(text) in _HEX:
        return _HEX[len(text)]
    if "://" in text:
        return "url"
    if _WITH_PORT.fullmatch(text):
        return "ip"
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        pass
    else:
        return "ip"
    if _EMAIL.fullmatch(text):
        return "email"
    if _DOMAIN.fullmatch(_ascii(text)):
        return "domain"
    if "/" in text and _DOMAIN.fullmatch(_ascii(text.split("/")[0])):
        return "url"
    raise Unfit("neither address, domain, URL, mail address nor hash; say its type in a CSV column 'type'")


def _address(text: str, name: str) -> Indicator:
    if _WITH_PORT.fullmatch(text):
        text = (text if text.endswith("]") else text.rpartition(":")[0]).strip("[]")
    try:
        net = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise Unfit("not an IP address or network") from None
    if net.num_addresses == 1:
        return Indicator("ip", str(net.network_address), name)
    if net.prefixlen < (8 if net.version == 4 else 16):
        raise Unfit(f"{net}: so large a network matches nearly everything")
    return Indicator("net", str(net), name)


def _ascii(text: str) -> str:
    """A host name as logs have it: lower case, internationalised labels encoded (RFC 5891 by IDNA 2003)."""
    held = text.strip().rstrip(".").lower().removeprefix("*.").removeprefix(".")
    if held.isascii():
        return held
    try:
        return held.encode("idna").decode("ascii")
    except UnicodeError:
        raise Unfit("not a host name") from None


def _domain(text: str) -> str:
    held = _ascii(text)
    if not _DOMAIN.fullmatch(held):
        raise Unfit("not a domain name")
    return held


def url_of(text: str) -> str:
    """A URL for comparison: host in lower case, no fragment, no default port, a path at least ``/``."""
    if "://" not in text:
        text = "http://" + text
    parts = urlsplit(text)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port
    default = {"http": 80, "https": 443}.get(parts.scheme)
    place = f"[{host}]" if ":" in host else host
    if port is not None and port != default:
        place = f"{place}:{port}"
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{place}{parts.path or '/'}{query}"


def _url(text: str) -> str:
    try:
        held = url_of(text)
    except ValueError as error:
        raise Unfit(f"not a URL: {error}") from None
    if "://" in held and not urlsplit(held).hostname:
        raise Unfit("a URL without a host")
    return held


def _email(text: str) -> str:
    if not _EMAIL.fullmatch(text):
        raise Unfit("not a mail address")
    return text.lower()


def _hash(kind: str) -> Callable[[str], str]:
    def canonical(text: str) -> str:
        if not re.fullmatch(f"[0-9A-Fa-f]{{{_LENGTHS[kind]}}}", text):
            raise Unfit(f"not {_LENGTHS[kind]} hexadecimal digits, as {kind} has")
        return text.lower()

    return canonical


def base_name(text: str) -> str:
    return re.split(r"[\\/]", text)[-1].lower()


def _file(text: str) -> str:
    held = base_name(text)
    if len(held) < 3 or not re.search(r"[\w]", held):
        raise Unfit("not the name of a file")
    return held


def _agent(text: str) -> str:
    if len(text) < 6:
        raise Unfit("too short for a user agent")
    return text.lower()


_CANONICAL: dict[str, Callable[[str], str]] = {
    "domain": _domain,
    "url": _url,
    "email": _email,
    "md5": _hash("md5"),
    "sha1": _hash("sha1"),
    "sha256": _hash("sha256"),
    "file": _file,
    "agent": _agent,
}


def _indicators(entry: Entry) -> Iterator[Indicator]:
    yield make(entry.kind, entry.text, entry.name)
