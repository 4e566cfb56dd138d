"""Where one syslog message ends and the next begins on a byte stream (RFC 6587). Pure.

Both methods of RFC 6587 are understood on one connection, message by message: *octet counting*
(``LEN SP MSG``, also the only method of RFC 5425) and *non-transparent framing* (LF; NUL and CR LF are
taken as trailers too, as RFC 6587, 3.4.2 reports them from the field). Nothing is thrown away: what
breaks the framing comes out as a message with a reason.
"""

from __future__ import annotations

from typing import NamedTuple

TOO_LONG = "too-long"
OCTET_COUNT = "octet-count"
CUT_OFF = "cut-off"

#: RFC 6587 sets no bound for MSG-LEN; more digits than these are not a length but something else.
MAX_DIGITS = 9
_TRAILERS = b"\r\n\x00"


class Message(NamedTuple):
    """One message without its frame. ``reason`` is empty if the framing was in order, else a word:

    ``too-long``     a piece of a message longer than the limit (the pieces follow each other)
    ``octet-count``  an octet count was expected here; taken up to the next line end
    ``cut-off``      the stream ended inside a counted message
    """

    body: bytes
    reason: str = ""


class Framing:
    """State of one connection. The messages do not depend on how the stream was cut into chunks.

    ``limit`` is the size of the longest message in bytes; memory used is at most that plus a chunk.
    """

    def __init__(self, limit: int = 1 << 20) -> None:
        if limit < 16:
            raise ValueError("limit must be at least 16 bytes, longer than any count")
        self._limit = limit
        self._buffer = bytearray()
        self._scanned = 0
        self._counted = False
        self._left = 0
        self._reason = ""
        self._continued = False

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer) or self._left > 0 or self._continued

    @property
    def held(self) -> int:
        """Bytes of the message that has not ended."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Message]:
        """Messages that are complete with ``data``."""
        self._buffer += data
        found: list[Message] = []
        while self._step(found):
            pass
        return found

    def end(self) -> list[Message]:
        """The stream has ended: what is left, as a message."""
        rest = bytes(self._buffer)
        reason = CUT_OFF if self._left else self._reason
        self._buffer.clear()
        self._left, self._scanned, self._reason, self._continued = 0, 0, "", False
        rest = rest if reason == CUT_OFF else rest.rstrip(_TRAILERS)
        return [Message(rest, reason)] if rest else []

    def _step(self, found: list[Message]) -> bool:
        """One message or piece; False if more bytes are needed."""
        if self._left:
            return self._counted_body(found)
        if self._reason or self._continued:
            return self._line(found)
        return self._begin()

    def _begin(self) -> bool:
        """At the first byte of a message: decide how it is framed. False if that cannot be told yet."""
        buffer = self._buffer
        skip = 0
        while skip < len(buffer) and buffer[skip] in _TRAILERS:
            skip += 1
        del buffer[:skip]
        if not buffer:
            return False
        head = bytes(buffer[: MAX_DIGITS + 2])
        digits = len(head) - len(head.lstrip(b"0123456789"))
        if digits == len(head) and digits <= MAX_DIGITS:
            return False
        if not self._is_count(head, digits):
            if self._counted and head[:1] != b"<":
                self._reason = OCTET_COUNT
            self._continued = True
            return True
        if len(head) < digits + 2:
            return False
        if not self._counted and head[digits + 1 : digits + 2] != b"<":
            self._continued = True
            return True
        del buffer[: digits + 1]
        self._left = int(head[:digits])
        self._reason = TOO_LONG if self._left > self._limit else ""
        self._counted = True
        return True

    @staticmethod
    def _is_count(head: bytes, digits: int) -> bool:
        """``MSG-LEN = NONZERO-DIGIT *DIGIT`` and a space (RFC 6587, 3.4.1)."""
        return 0 < digits <= MAX_DIGITS and head[:1] != b"0" and head[digits : digits + 1] == b" "

    def _counted_body(self, found: list[Message]) -> bool:
        size = min(self._left, self._limit)
        if len(self._buffer) < size:
            return False
        body = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._left -= size
        reason = self._reason
        if not self._left:
            self._reason = ""
        body = body if reason else body.rstrip(_TRAILERS)
        if body:
            found.append(Message(body, reason))
        return True

    def _line(self, found: list[Message]) -> bool:
        buffer = self._buffer
        end = self._line_end()
        if end < 0 and len(buffer) <= self._limit:
            self._scanned = len(buffer)
            return False
        self._scanned = 0
        if end < 0 or end > self._limit:
            self._reason = self._reason or TOO_LONG
            found.append(Message(bytes(buffer[: self._limit]), self._reason))
            del buffer[: self._limit]
            return True
        body = bytes(buffer[:end]).rstrip(b"\r")
        del buffer[: end + 1]
        if body:
            found.append(Message(body, self._reason))
        self._reason, self._continued = "", False
        return True

    def _line_end(self) -> int:
        """Index of the first LF or NUL, -1 if there is none yet."""
        line_feed = self._buffer.find(b"\n", self._scanned)
        nul = self._buffer.find(b"\x00", self._scanned, line_feed if line_feed >= 0 else len(self._buffer))
        return nul if nul >= 0 else line_feed
