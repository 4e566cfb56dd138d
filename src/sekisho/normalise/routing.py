"""Which source a record belongs to: by its label, by its syslog program, or by what is in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from sekisho.contract import Hints, Unmappable, WindowsEvents
from sekisho.contract.source import AnySource, Recognise
from sekisho.normalise.wrapping import Unwrapped
from sekisho.normalise.wrapping.syslog import inner

_REMEDY = (
    "`sekisho sources try FILE` shows what each source makes of it; name the source when sending, "
    "or add one with `sekisho sources new ID`"
)


def _by_content(recognise: Recognise, payload: bytes) -> bool:
    if not recognise.marks and recognise.pattern is None:
        return False
    for mark in recognise.marks:
        if mark not in payload:
            return False
    return recognise.pattern is None or recognise.pattern.search(payload) is not None


class Router:
    """Sources in the order of their rank; the choice among equals is nobody's, so it is ambiguous."""

    def __init__(self, sources: Mapping[str, AnySource]) -> None:
        ordered = sorted(sources.values(), key=lambda source: (-source.recognise.rank, source.id))
        self._sources = dict(sources)
        self._ordered = [source for source in ordered if source.recognise.marks or source.recognise.pattern]
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
        self._windows = [source for source in self._ordered if isinstance(source.decode, WindowsEvents)]

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
            if other.recognise.rank <= source.recognise.rank:
                break
            if _by_content(other.recognise, payload):
                return other
        return source

    def content(self, payload: bytes, among: Iterable[AnySource] | None = None) -> list[AnySource]:
        """Sources of the highest rank whose marks are in the payload; more than one is ambiguous."""
        found: list[AnySource] = []
        for source in self._ordered if among is None else among:
            if found and source.recognise.rank < found[0].recognise.rank:
                break
            if _by_content(source.recognise, payload):
                found.append(source)
        return found

    def candidates(self, unwrapped: Unwrapped) -> list[AnySource]:
        """What ``route`` chooses from, best first; the first wins if its rank is alone at the top."""
        payload, program = unwrapped.payload, unwrapped.hints.program
        if unwrapped.label is not None:
            if unwrapped.label in self._sources:
                return [self._sources[unwrapped.label]]
            if found := self._labels.get(unwrapped.label):
                return self._narrowed(found, payload)
        if program is not None and (named := self._programs.get(program)):
            return named
        return self.content(payload) or self._fallback.get(unwrapped.wrapping, [])

    def _narrowed(self, found: list[AnySource], payload: bytes) -> list[AnySource]:
        return (self.content(payload, found) or found) if len(found) > 1 else found

    def route(self, unwrapped: Unwrapped) -> AnySource:
        """Raises ``Unmappable`` ``unknown-format`` or ``ambiguous`` (candidates named in ``why``)."""
        found = self.candidates(unwrapped)
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
