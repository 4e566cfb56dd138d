"""`sekisho sources`: which logs are understood, how to switch them on, and a try of a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import msgspec
import pyarrow as pa

from sekisho import wiring
from sekisho.cli.main import Global
from sekisho.cli.outside import echo, echo_json, shown
from sekisho.collect import files
from sekisho.collect.intake import printable
from sekisho.contract import Content
from sekisho.contract.discovery import cases_of
from sekisho.contract.source import AnySource, Json, Lines
from sekisho.model import Frame, Records, Refused, Reject
from sekisho.normalise import Normaliser
from sekisho.ocsf import CLASSES, MAPPED


@click.group(name="sources", short_help="Log sources: list, show, try a file.")
def command() -> None:
    """Which logs are understood.

    \b
    Examples:
      sekisho sources list
      sekisho sources show okta
      sekisho sources try export.json          what is it, and what becomes of it?
      sekisho sources try --source github audit.ndjson --event
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def list_(obj: Global, as_json: bool) -> None:
    """All sources: id, what it is, which advisory items it serves."""
    sources = wiring.content().sources
    if as_json:
        echo_json([_plain(source) for source in sources.values()])
        return
    width = max(map(len, sources), default=0)
    for source in sources.values():
        title = source.title.get(obj.settings.language)
        echo(f"{source.id:<{width}}  {title}  ({' '.join(source.advisory)})")


@command.command("show")
@click.argument("source_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def show(obj: Global, source_id: str, as_json: bool) -> None:
    """One source: how to switch it on, how it is recognised, where it is documented."""
    content = wiring.content()
    source = _source(content, source_id)
    path = content.files[f"source/{source.id}"]
    plain = _plain(source) | {"file": str(path), "cases": len(list(cases_of(path).glob("*.in")))}
    if as_json:
        echo_json(plain)
        return
    echo(f"{source.id}: {source.title.get(obj.settings.language)} ({source.vendor} {source.product})")
    echo(f"  switch on    {source.switch_on.get(obj.settings.language)}")
    echo(f"  advisory     {' '.join(source.advisory)}")
    echo(f"  records      {plain['records']}; {_recognised(source)}")
    echo(f"  times        {source.zone or 'carry their offset'}; up to {source.lag} s late is usual")
    echo(f"  accounts of  {', '.join(source.systems) or 'no system of the accounts table'}")
    echo(f"  reference    {source.reference}")
    echo(f"  file         {path} ({plain['cases']} cases)")


#: Records that no source recognises; so many are tried with each of them.
_UNKNOWN = "unknown-format"
_OFFERED = 100
_TEXTS = [column.name for column in MAPPED if column.type == pa.string()] + ["raw"]


@dataclass
class Tried:
    """What became of the records of a file. ``unmapped`` counts top-level names left over."""

    records: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)
    resembled: Counter[str] = field(default_factory=Counter)
    unmapped: Counter[str] = field(default_factory=Counter)
    formats: set[str] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)
    #: records that no source recognises, the first ones
    unknown: list[Records] = field(default_factory=list)
    #: what those would be under another label: (share that become events, values of the record
    #: that stand in columns, on average)
    offers: dict[str, tuple[float, float]] = field(default_factory=dict)
    first: dict[str, Any] = field(default_factory=dict)

    def reject(self, reject: Reject, records: Records) -> None:
        self.resembled.update(reject.candidates)
        if reject.code != _UNKNOWN:
            self.rejects[reject.code, reject.why] += 1
            return
        said = next((why for code, why in self.rejects if code == _UNKNOWN), reject.why)
        self.rejects[_UNKNOWN, said] += 1
        if len(self.unknown) < _OFFERED:
            body = records.bodies[reject.offset.index]
            self.unknown.append(msgspec.structs.replace(records, bodies=(body,)))

    def confidence(self, source: str) -> float:
        """Share of the records that became events of this source and no other, 0 to 1."""
        return self.sources[source] / self.records if self.records else 0.0


@command.command("try")
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--source", "source_id", default="auto", metavar="ID", help="Take it for this source.")
@click.option("--limit", default=10_000, show_default=True, help="Read at most so many records.")
@click.option("--event", is_flag=True, help="Show the first event in full.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def try_(ctx: click.Context, path: Path, source_id: str, limit: int, event: bool, as_json: bool) -> None:
    """What a file is taken for, and what becomes of its records. Stores nothing.

    Exit code 1: a record was rejected, or some of the file could not be read.
    """
    opened: Global = ctx.obj
    content = wiring.content()
    if source_id != "auto":
        _source(content, source_id)
    tried = attempt(content, path, source_id, limit, wiring.now_ns(), opened.settings.zone)
    if as_json:
        echo_json(_tried(tried))
    else:
        _print(tried, source_id)
        if event and tried.first:
            _print_event(tried.first)
    if tried.rejects or tried.troubles:
        ctx.exit(1)


def attempt(content: Content, path: Path, source_id: str, limit: int, now: int, zone: str) -> Tried:
    """Normalise up to ``limit`` records of a file. ``now``: ns since 1970 UTC (for dates without year);
    ``zone``: of times that name none, as the platform would take them.
    """
    normaliser = Normaliser(content.sources, zone=zone)
    tried = Tried()
    for number, records in enumerate(_records(tried, path, source_id, limit, now)):
        result = normaliser.batch([Frame(number, records)])
        tried.records += len(records.bodies)
        for row in result.events.select(["source", "class_uid", "activity_id", "unmapped"]).to_pylist():
            tried.sources[row["source"]] += 1
            tried.kinds[_kind(row["class_uid"], row["activity_id"])] += 1
            tried.unmapped.update(_leaves(row["unmapped"]))
        for reject in result.rejects:
            tried.reject(reject, records)
        if not tried.first and result.events.num_rows:
            first = result.events.slice(0, 1).to_pylist()[0]
            tried.first = {name: value for name, value in first.items() if value is not None}
    if tried.unknown:
        tried.offers = _offers(content, normaliser, tried.unknown)
    return tried


def _offers(
    content: Content, normaliser: Normaliser, unknown: list[Records]
) -> dict[str, tuple[float, float]]:
    """What each source makes of records that none recognises, by its id; best first."""
    found: dict[str, tuple[float, float]] = {}
    for source in content.sources.values():
        if source.internal or source.recognise.fallback_for:
            continue
        frames = [
            Frame(number, msgspec.structs.replace(records, source=source.id))
            for number, records in enumerate(unknown)
        ]
        taken = [_taken(event) for event in normaliser.batch(frames).events.select(_TEXTS).to_pylist()]
        if sum(taken):
            found[source.id] = (len(taken) / len(unknown), sum(taken) / len(taken))
    return dict(sorted(found.items(), key=lambda offer: offer[1], reverse=True))


def _taken(event: dict[str, Any]) -> int:
    """How many texts of the record stand in columns of their own (the whole as a message is none)."""
    raw = event["raw"]
    return sum(
        1 for name, value in event.items() if name not in ("raw", "message") and value and value in raw
    )


def _records(tried: Tried, path: Path, source_id: str, limit: int, now: int) -> Iterator[Records]:
    left = limit
    for chunk in files.read_path(path):
        tried.formats.add(chunk.format)
        tried.troubles += [trouble.text.en for trouble in chunk.troubles]
        bodies = chunk.bodies[:left]
        left -= len(bodies)
        if bodies:
            yield Records(
                source_id, "file", chunk.wrapping, printable(path), "", now, tuple(bodies), chunk.attributes
            )
        if left <= 0:
            return


def _leaves(unmapped: str | None) -> list[str]:
    """Top-level names of what is left over, empty shells left out."""
    value = json.loads(unmapped) if unmapped else {}
    return [name for name, part in value.items() if part not in ({}, None, "")]


def _kind(class_uid: int, activity_id: int) -> str:
    known = CLASSES[class_uid]
    return f"{known.caption}: {known.activities[activity_id]}"


def _source(content: Content, source_id: str) -> AnySource:
    source = content.sources.get(source_id)
    if source is None:
        raise Refused(f"there is no source {source_id!r}", "there are: " + ", ".join(content.sources))
    return source


def _recognised(source: AnySource) -> str:
    recognise = source.recognise
    ways = [f"program {program}" for program in recognise.programs]
    marks = " ".join(mark.decode() for mark in recognise.marks)
    ways += [f"contains {marks}"] if marks else []
    ways += [f"matches {recognise.pattern.pattern.decode()}"] if recognise.pattern else []
    ways += [f"sourcetype {name}" for name in recognise.sourcetypes]
    return "recognised by: " + "; ".join(ways) if ways else "recognised only by its label"


def _plain(source: AnySource) -> dict[str, Any]:
    decode = source.decode
    return {
        "id": source.id,
        "title": {"ja": source.title.ja, "en": source.title.en},
        "vendor": source.vendor,
        "product": source.product,
        "records": "JSON" if isinstance(decode, Json) else "text" if isinstance(decode, Lines) else "Windows",
        "advisory": list(source.advisory),
        "systems": list(source.systems),
        "sourcetypes": list(source.recognise.sourcetypes),
        "programs": list(source.recognise.programs),
        "zone": source.zone,
        "lag": source.lag,
        "reference": source.reference,
        "switch_on": {"ja": source.switch_on.ja, "en": source.switch_on.en},
    }


def _tried(tried: Tried) -> dict[str, Any]:
    return {
        "records": tried.records,
        "events": tried.sources.total(),
        "formats": sorted(tried.formats),
        "sources": {
            name: {"events": n, "confidence": tried.confidence(name)} for name, n in tried.sources.items()
        },
        "kinds": dict(tried.kinds.most_common()),
        "unmapped": dict(tried.unmapped.most_common()),
        "rejects": [{"code": c, "why": w, "count": n} for (c, w), n in tried.rejects.most_common()],
        "offers": {
            name: {"share": share, "values": values} for name, (share, values) in tried.offers.items()
        },
        "resembles": dict(tried.resembled.most_common()),
        "troubles": tried.troubles,
        "first": tried.first,
    }


def _print(tried: Tried, source_id: str) -> None:
    echo(f"{tried.records} records ({', '.join(sorted(tried.formats)) or 'empty'})")
    if not tried.sources and source_id == "auto":
        echo("no source recognises it; `sekisho new source ID` starts one")
    if tried.offers:
        echo("what no source recognises could be read as (see the event with --source ID --event):")
        for name, (share, values) in list(tried.offers.items())[:5]:
            echo(f"  {name}: {share:.0%} of {len(tried.unknown)} records, {values:.0f} values each")
    for name, count in tried.sources.most_common():
        echo(f"  {name}: {count} events, confidence {tried.confidence(name):.0%}")
    _section("what happened", tried.kinds)
    _section("left over (kept in `unmapped`)", tried.unmapped)
    if tried.rejects:
        echo(f"rejected: {tried.rejects.total()}")
        for (code, why), count in tried.rejects.most_common(10):
            echo(f"  {count:>7}  {code}: {shown(why)}")
    _section("they resemble (name one with --source)", tried.resembled)
    for trouble in tried.troubles:
        echo(f"trouble: {shown(trouble)}")


def _print_event(first: dict[str, Any]) -> None:
    echo("\nfirst event:")
    for name, value in first.items():
        echo(f"  {name}: {shown(value)}")


def _section(title: str, counts: Counter[str]) -> None:
    if counts:
        echo(f"{title}:")
        for name, count in counts.most_common(15):
            echo(f"  {count:>7}  {shown(name)}")
