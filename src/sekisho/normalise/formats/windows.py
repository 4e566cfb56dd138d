"""A Windows event in any notation → ``WindowsEvent``.

Event XML (``wevtutil``, Windows Event Forwarding, rendered or not), the JSON of evtx tools, Winlogbeat,
NXLog and other flat JSON, and Azure's tables. The notation is seen from the record itself.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sekisho.contract import Hints, Unmappable, WindowsEvent
from sekisho.normalise.formats import windows_beat, windows_evtx, windows_json, windows_xml

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def parse(payload: bytes, hints: Hints) -> WindowsEvent:
    """Raises ``Unmappable``: ``not-json``, ``not-xml``, ``wrong-shape`` or ``no-zone``."""
    start = payload[:1]
    if start == b"{":
        if payload.startswith(b'{"Event":') and (event := windows_evtx.parse(payload)) is not None:
            return event
        if b'"winlog"' in payload and (event := windows_beat.parse(payload)) is not None:
            return event
        try:
            return windows_json.parse(_decode(payload), hints)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unmappable("not-json", f"this is not JSON: {error}") from error
    head = payload[:200].lstrip()
    if head[:1] == b"<" or payload[:2] in (b"\xff\xfe", b"\xfe\xff") or payload[:4] == b"\xef\xbb\xbf<":
        return windows_xml.parse(payload)
    if head[:1] == b"{":
        return parse(payload.lstrip(), hints)
    raise Unmappable("wrong-shape", "a Windows event is a JSON object or an <Event> element; this is neither")
