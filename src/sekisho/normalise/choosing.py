"""From an opened body to a finished row: which mapper, and whether there is a record inside the record.

A label that says all is obeyed. ``auto``, and the label of a fallback source (``syslog``), leave it to the
router. A JSON object that no source takes and that is a shipper's document is opened: at once where the label
is that of a text source, else only after the object itself was not recognised or did not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import NamedTuple

from sekisho.contract import Lines, Unmappable
from sekisho.normalise.mapper import Mapper, Row
from sekisho.normalise.routing import Router
from sekisho.normalise.wrapping import Unwrapped, document

#: Verdicts on an object after which the text inside is tried.
_OPENED = ("unknown-format", "wrong-shape", "not-xml")
#: Verdicts after which it is not tried, even where the label names who must take the text.
_SHUT = ("mapping-fault", "no-zone", "not-utf-8", "unknown-source")
_DEEPEST = 3


class Around(NamedTuple):
    """``stated``: zone that the frame states, for times in records; ``zone``: that of syslog headers."""

    stated: tzinfo | None
    zone: tzinfo


class Refused(Exception):  # noqa: N818 - a verdict with its circumstances
    """``source`` (an id or the label) did not take ``unwrapped``."""

    def __init__(self, source: str, unwrapped: Unwrapped, verdict: Unmappable) -> None:
        self.source = source
        self.unwrapped = unwrapped
        self.verdict = verdict
        super().__init__(verdict.why)


Settled = tuple[Mapper, Unwrapped, Row]
Settle = Callable[[Unwrapped, Around], Settled]


class _Label:
    """A frame's label at work."""

    def __init__(self, label: str, mappers: Mapping[str, Mapper], router: Router) -> None:
        self._label, self._mappers, self._router = label, mappers, router
        mapper = mappers.get(label)
        source = mapper.source if mapper else None
        fallback = source is not None and source.recognise.fallback_for is not None
        self._free = label == "auto" or fallback
        #: the fallback source that the label names
        self._default = source if fallback else None
        #: the mapper of a label that says all, whatever the record is
        self._fixed = None if source is None or fallback or router.has_siblings(source) else mapper
        self._text = source is not None and not fallback and isinstance(source.decode, Lines)

    def settle(self, unwrapped: Unwrapped, around: Around, depth: int = 0) -> Settled:
        """Raises ``Refused``."""
        if unwrapped.payload[:1] != b"{" or unwrapped.wrapping not in ("none", "hec") or depth >= _DEEPEST:
            return self._once(unwrapped, around)
        if self._text:
            opened = document.unwrap(unwrapped, around.zone, depth)
            return self._once(unwrapped, around) if opened is None else self.settle(opened, around, depth + 1)
        try:
            return self._once(unwrapped, around, fallback=False)
        except Refused as refused:
            return self._inside(unwrapped, around, depth, refused)

    def _inside(self, unwrapped: Unwrapped, around: Around, depth: int, outer: Refused) -> Settled:
        """``unwrapped`` was refused as it is: the record in it, if it is a document, else the fallback."""
        code = outer.verdict.code
        tried = code in _OPENED if self._free else code not in _SHUT
        opened = document.unwrap(unwrapped, around.zone, depth) if tried else None
        if opened is None:
            if code != "unknown-format":
                raise outer
            return self._once(unwrapped, around)
        try:
            return self.settle(opened, around, depth + 1)
        except Refused as inner:
            # of two verdicts the one on what looks like a record of the source
            raise inner if code == "unknown-format" or opened.payload[:1] in (b"{", b"<") else outer from None

    def _once(self, unwrapped: Unwrapped, around: Around, *, fallback: bool = True) -> Settled:
        source = self._label
        try:
            mapper = self._fixed or self._mapper(unwrapped, fallback)
            source = mapper.source.id
            return mapper, unwrapped, mapper.row(unwrapped, around.stated)
        except Unmappable as verdict:
            raise Refused(source, unwrapped, verdict) from verdict

    def _mapper(self, unwrapped: Unwrapped, fallback: bool) -> Mapper:
        if self._free:
            return self._mappers[self._router.route(unwrapped, self._default, fallback=fallback).id]
        source = self._router.labelled(self._label)
        return self._mappers[self._router.sibling(source, unwrapped.payload).id]


class Chooser:
    """Mappers by the labels of frames."""

    def __init__(self, mappers: Mapping[str, Mapper], router: Router) -> None:
        self._mappers, self._router = mappers, router

    def settler(self, label: str) -> Settle:
        """The function that settles the bodies of one frame; it raises ``Refused``."""
        return _Label(label, self._mappers, self._router).settle
