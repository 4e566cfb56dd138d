"""Windows event XML (schema ``http://schemas.microsoft.com/win/2004/08/events``), no entities expanded.

``Data`` elements without a name become ``param1``, ``param2`` … (as Winlogbeat names them). ``UserData``
gives its leaves by their own names. Times are UTC (``SystemTime`` ends in ``Z``; old tools leave it out,
the schema says UTC).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from sekisho.contract import Unmappable, WindowsEvent

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def _local(element: Element) -> str:
    return str(element.tag).rsplit("}", 1)[-1]


def _trimmed(text: bytes) -> bytes:
    """Blanks and NULs at the ends are the shipper's; in UTF-16 they are half a character."""
    return text if text[:2] in (b"\xff\xfe", b"\xfe\xff") else text.strip(b"\x00 \r\n\t")


def _read(text: bytes | str) -> Element:
    try:
        root: Element = fromstring(_trimmed(text) if isinstance(text, bytes) else text)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise Unmappable("not-xml", f"this is not an XML event: {error!r}") from error
    return root


def _unnamed(data: dict[str, str]) -> str:
    number = 1
    while f"param{number}" in data:
        number += 1
    return f"param{number}"


def _leaves(element: Element, data: dict[str, str], depth: int = 0) -> None:
    for child in element:
        if len(child) and depth < 20:
            _leaves(child, data, depth + 1)
        elif (value := (child.text or "").strip("\r\n")) or not len(child):
            data[_local(child)] = value


def event_data(element: Element) -> dict[str, str]:
    """Values of an ``EventData`` element by name."""
    data: dict[str, str] = {}
    for child in element:
        name = child.get("Name")
        if name is None:
            name = _unnamed(data) if _local(child) == "Data" else _local(child)
        data[name] = child.text or ""
    return data


def event_data_text(text: str) -> dict[str, str]:
    """Values of an ``EventData`` element given as text (Azure tables). Raises ``Unmappable``."""
    root = _read(text)
    if _local(root) != "EventData":
        found = next((child for child in root.iter() if _local(child) == "EventData"), None)
        if found is None:
            raise Unmappable("wrong-shape", "EventData holds XML without an EventData element")
        root = found
    return event_data(root)


def moment(text: str) -> datetime:
    """``SystemTime``: ISO 8601, up to 9 digits of fraction, UTC also where the ``Z`` is missing."""
    try:
        time = datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError as error:
        raise Unmappable("wrong-shape", f"TimeCreated: {text[:60]!r} is no time") from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def number(text: str | None, name: str) -> int | None:
    if text is None or not text.strip():
        return None
    try:
        return int(text, 0)
    except ValueError as error:
        raise Unmappable("wrong-shape", f"{name}: {text[:60]!r} is no number") from error


def _optional(text: str | None, name: str, rest: dict[str, str]) -> int | None:
    """A number that an event need not have; what is none is left in ``rest``."""
    try:
        return number(text, name)
    except Unmappable:
        rest.setdefault(name, text or "")
        return None


class _System:
    """The ``System`` element: texts and attributes by element name."""

    def __init__(self, element: Element) -> None:
        self._elements = {_local(child): child for child in element}

    def text(self, name: str) -> str | None:
        element = self._elements.get(name)
        return None if element is None else element.text

    def attribute(self, name: str, attribute: str) -> str | None:
        element = self._elements.get(name)
        return None if element is None else element.get(attribute)


def _message(root: Element) -> str | None:
    for part in root:
        if _local(part) == "RenderingInfo":
            for child in part:
                if _local(child) == "Message":
                    return child.text
    return None


def parse(payload: bytes) -> WindowsEvent:
    root = _read(payload)
    parts = {_local(child): child for child in root}
    if _local(root) != "Event" or "System" not in parts:
        raise Unmappable("wrong-shape", f"an <Event> with <System> was expected, not <{_local(root)[:40]}>")
    rest: dict[str, str] = {}
    if "EventData" in parts:
        rest = event_data(parts["EventData"])
    if "UserData" in parts:
        _leaves(parts["UserData"], rest)
    return _event(_System(parts["System"]), rest, _message(root))


def _event(system: _System, rest: dict[str, str], message: str | None) -> WindowsEvent:
    event_id = number(system.text("EventID"), "EventID")
    time = system.attribute("TimeCreated", "SystemTime")
    if event_id is None or time is None:
        raise Unmappable("wrong-shape", "System has no EventID or no TimeCreated/@SystemTime")
    for name in ("Keywords", "Task"):
        if value := system.text(name):
            rest.setdefault(f"System.{name}", value)
    return WindowsEvent(
        provider=system.attribute("Provider", "Name")
        or system.attribute("Provider", "EventSourceName")
        or "",
        event_id=event_id,
        channel=system.text("Channel") or "",
        computer=system.text("Computer") or "",
        time=moment(time),
        rest=rest,
        record_id=_optional(system.text("EventRecordID"), "EventRecordID", rest),
        level=_optional(system.text("Level"), "Level", rest),
        opcode=_optional(system.text("Opcode"), "Opcode", rest),
        process_id=_optional(system.attribute("Execution", "ProcessID"), "Execution/@ProcessID", rest),
        user_sid=system.attribute("Security", "UserID"),
        activity_id=system.attribute("Correlation", "ActivityID"),
        message=message,
    )
