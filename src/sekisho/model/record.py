"""What came in: records, byte for byte, in the batch in which they were received."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

#: Upper bound of records in one frame; a larger batch is cut into several frames by the receiver.
RECORDS_PER_FRAME = 1 << 20
#: Attribute of a batch that its sender sent again for want of an answer: ``received_at`` of the first time.
RETRY_OF = "retry_of"

#: How a body wraps the source's own record. ``none``: the body is the record. ``hec``: Splunk HEC
#: event object. ``otlp``: one OTLP/JSON log record with its resource and scope. ``syslog``: an
#: RFC 5424 or RFC 3164 message. ``csv``: one row, the header is in ``attributes["csv_header"]``.
Wrapping = Literal["none", "hec", "otlp", "syslog", "csv"]


class Records(msgspec.Struct, frozen=True, gc=False):
    """One received batch; it becomes one frame of the journal.

    ``source``       a source id, or ``auto`` where nothing names it (it is recognised by content)
    ``receiver``     hec, bulk, otlp, ndjson, syslog-udp, syslog-tcp, syslog-tls, file, internal
    ``peer``         address of the sender, or path of the file
    ``identity``     name of the token or subject of the client certificate; empty if none
    ``received_at``  nanoseconds since 1970-01-01 UTC
    ``bodies``       the records byte for byte
    ``attributes``   what the receiver learnt beside the bodies (index name, file digest, HEC channel)
    """

    source: str
    receiver: str
    wrapping: Wrapping
    peer: str
    identity: str
    received_at: int
    bodies: tuple[bytes, ...]
    attributes: dict[str, str] = {}


class Frame(NamedTuple):
    """A journaled batch. ``number`` counts from 0 over the whole journal without gaps."""

    number: int
    records: Records


class Offset(NamedTuple):
    """Place of one record in the journal."""

    frame: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here

    @property
    def packed(self) -> int:
        """One int64 that sorts like the journal (column ``journal_offset`` of the lake)."""
        return self.frame * RECORDS_PER_FRAME + self.index

    @classmethod
    def unpack(cls, packed: int) -> Offset:
        return cls(*divmod(packed, RECORDS_PER_FRAME))

    def __str__(self) -> str:
        return f"{self.frame}:{self.index}"


class Reject(msgspec.Struct, frozen=True):
    """A value: this record could not become an event, and why. Its body stays in the journal.

    ``code`` is a short stable word for counting (``not-json``, ``wrong-shape``, ``unknown-format``,
    ``no-zone``, ...). ``candidates`` offers sources that the record resembles.
    """

    offset: Offset
    source: str
    code: str
    why: str
    candidates: tuple[str, ...] = ()
