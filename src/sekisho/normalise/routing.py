"""Which source a record belongs to: by its label, by its syslog program, or by what is in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from sekisho.contract import Hints, Json, Lines, Unmappable, WindowsEvents
from sekisho.contract.source import AnySource
from sekisho.normalise.literals import branches, literals
from sekisho.normalise.wrapping import Unwrapped
from sekisho.normalise.wrapping.syslog import inner

_REMEDY = (
    "`sekisho sources try FILE` shows what each source makes of it; name the source when sending, "
    "or add one with `sekisho new source ID`"
)
#: First byte of an XML element, or of a byte order mark before it (UTF-8, UTF-16).
_ELEMENT = (b"<", b"\xef", b"\xff", b"\xfe")


class _Known:
    """A source and how it is known by content."""

    __slots__ = ("_marks", "_searches", "rank", "source", "veto")

    def __init__(self, source: AnySource) -> None:
        self.source, self.rank = source, source.recognise.rank
        pattern = source.recognise.pattern
        self._marks = source.recognise.marks
        #: one of these finds whatever the pattern does, and before it one of its literals is in the payload
        #: (no literals: nothing is known); empty: there is no pattern
        self._searches = [(literals(one), one.search) for one in branches(pattern)] if pattern else []
        #: a mark that was absent from the last payload: asked for first, it changes nothing but speed
        self.veto = self._marks[0] if self._marks else b""

    def matches(self, payload: bytes) -> bool:
        for mark in self._marks:
            if mark not in payload:
                self.veto = mark
                return False
        for some, search in self._searches:
            if not some:
                if search(payload):
                    return True
                continue
            for literal in some:
                if literal in payload:
                    if search(payload):
                        return True
                    break
        return not self._searches


class Router:
    """Sources in the order of their rank; the choice among equals is nobody's, so it is ambiguous.

    By content a JSON object is never a line of text, and nothing else is a JSON record: a firewall that
    quotes a JSON record in its line stays a firewall. Windows events are JSON objects or XML elements.
    """

    def __init__(self, sources: Mapping[str, AnySource]) -> None:
        ordered = sorted(sources.values(), key=lambda source: (-source.recognise.rank, source.id))
        self._sources = dict(sources)
        #: what a sender may name; the platform's own source is not among them
        self._named = {source.id: source for source in ordered if not source.internal}
        known = [
            _Known(source)
            for source in ordered
            if source.recognise.marks or source.recognise.pattern is not None
        ]
        self._objects = [one for one in known if not isinstance(one.source.decode, Lines)]
        self._elements = [one for one in known if not isinstance(one.source.decode, Json)]
        self._lines = [one for one in known if isinstance(one.source.decode, Lines)]
        self._programs: dict[str, list[AnySource]] = {}
        self._labels: dict[str, list[AnySource]] = {}
        self._fallback: dict[str, list[AnySource]] = {}
        for source in ordered:
            for program in source.recognise.programs:
                self._programs.setdefault(program, []).append(source)
            for label in source.recognise.sourcetypes:
                self._labels.setdefault(label, []).append(source)
            if source.recognise.fallback_for:
                self._fallback.setdefault(source.recognise.fallback_for, []).append(source)
        self._notation = {source.id for source in ordered if isinstance(source.decode, WindowsEvents)}
        self._windows = [one for one in known if one.source.id in self._notation]

    def labelled(self, label: str) -> AnySource:
        """The source of an explicit label. Raises ``Unmappable`` if there is none."""
        try:
            return self._sources[label]
        except KeyError:
            known = ", ".join(sorted(self._sources))
            raise Unmappable("unknown-source", f"no source is called {label!r}; there are: {known}") from None

    def has_siblings(self, source: AnySource) -> bool:
        """Whether ``sibling`` looks at the record."""
        return source.id in self._notation

    def sibling(self, source: AnySource, payload: bytes) -> AnySource:
        """A label of one Windows source only says "a Windows event": its provider decides which it is."""
        if source.id not in self._notation:
            return source
        for other in self._windows:
            if other.rank <= source.recognise.rank:
                break
            if other.matches(payload):
                return other.source
        return source

    def _possible(self, first: bytes) -> list[_Known]:
        if first == b"{":
            return self._objects
        return self._elements if first in _ELEMENT else self._lines

    def content(self, payload: bytes, among: Iterable[AnySource] | None = None) -> list[AnySource]:
        """Sources of the highest rank whose marks are in the payload; more than one is ambiguous."""
        first = payload[:1] if payload[:1] > b" " else payload.lstrip()[:1]
        found: list[AnySource] = []
        absent = None
        top = 0
        for known in self._possible(first):
            if found and known.rank < top:
                break
            if known.veto == absent or known.veto not in payload:
                absent = known.veto
                continue
            if (among is None or known.source in among) and known.matches(payload):
                found.append(known.source)
                top = known.rank
        return found

    def candidates(self, unwrapped: Unwrapped, default: AnySource | None = None) -> list[AnySource]:
        """What ``route`` chooses from, best first; the first wins if its rank is alone at the top."""
        found = self.recognised(unwrapped)
        if not found and (named := self._named.get(unwrapped.label or "")) and named.recognise.fallback_for:
            return [named]
        return found or ([default] if default else self._fallback.get(unwrapped.wrapping, []))

    def recognised(self, unwrapped: Unwrapped) -> list[AnySource]:
        """``candidates`` without any fallback: the label of a fallback says no more than none at all."""
        payload, program = unwrapped.payload, unwrapped.hints.program
        if unwrapped.label is not None:
            named = self._named.get(unwrapped.label)
            if named is not None and not named.recognise.fallback_for:
                return [named]
            if found := self._labels.get(unwrapped.label):
                return self._narrowed(found, payload)
        if program is not None and (of_program := self._programs.get(program)):
            return of_program
        return self.content(payload)

    def _narrowed(self, found: list[AnySource], payload: bytes) -> list[AnySource]:
        return (self.content(payload, found) or found) if len(found) > 1 else found

    def route(
        self, unwrapped: Unwrapped, default: AnySource | None = None, *, fallback: bool = True
    ) -> AnySource:
        """Raises ``Unmappable`` ``unknown-format`` or ``ambiguous`` (candidates named in ``why``)."""
        found = self.candidates(unwrapped, default) if fallback else self.recognised(unwrapped)
        if not found:
            shown = unwrapped.payload[:80].decode("utf-8", "backslashreplace")
            raise Unmappable("unknown-format", f"no source recognises this record ({shown!r} ...); {_REMEDY}")
        if len(found) > 1 and found[0].recognise.rank == found[1].recognise.rank:
            names = ", ".join(source.id for source in found)
            raise Unmappable("ambiguous", f"several sources recognise this record ({names}); {_REMEDY}")
        return found[0]


def recognise(payload: bytes, sources: Mapping[str, AnySource]) -> tuple[str, ...]:
    """Ids of the sources that a record without label resembles, best first (empty: none)."""
    received_at = datetime(1970, 1, 1, tzinfo=UTC)
    unwrapped = inner(Unwrapped(payload, Hints(received_at)), received_at, UTC)
    return tuple(source.id for source in Router(sources).candidates(unwrapped))
