"""Looking back: a list of indicators against all history in one pass.

Parquet keeps a column as a dictionary of its different values and a number per row. So each different
value is judged once, and rows are touched only where a value hits: ten thousand cost what one does.
"""

from __future__ import annotations

import ipaddress
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sekisho.lake.engines import Engine, FileUnreadable
from sekisho.lake.indicators import Indicator, base_name, url_of
from sekisho.lake.manifest import Stored
from sekisho.lake.reader import Snapshot
from sekisho.lake.rights import ADMIN, Rights
from sekisho.lake.writer import Damage

#: Which columns can hold what. ``answers_rdata`` holds several values, joined by a blank.
_ADDRESSES = ("src_endpoint_ip", "dst_endpoint_ip", "device_ip")
_HOSTS = (
    "query_hostname",
    "http_request_url_hostname",
    "dst_endpoint_hostname",
    "src_endpoint_hostname",
    "tls_sni",
    "answers_rdata",
)
_MAIL = ("user_email_addr", "actor_user_email_addr", "user_name", "actor_user_name", "account")
_HASHES = ("process_file_hash_sha256", "file_hash_sha256")
_FILES = (
    "file_name",
    "file_path",
    "process_name",
    "process_file_path",
    "actor_process_name",
    "actor_process_file_path",
    "process_parent_process_name",
    "process_parent_process_file_path",
)
COLUMNS: dict[str, tuple[str, ...]] = {
    "ip": (*_ADDRESSES, *_HOSTS),
    "net": (*_ADDRESSES, "answers_rdata"),
    "domain": _HOSTS,
    "url": ("http_request_url_url_string",),
    "email": _MAIL,
    "sha256": _HASHES,
    "file": _FILES,
    "agent": ("http_request_user_agent",),
}
#: No column holds these: they are looked for in the record of system activity and findings (OCSF 1xxx, 2xxx).
IN_RECORD = ("md5", "sha1")
_WHO = ("person_uid", "account", "user_email_addr", "actor_user_email_addr", "user_name", "actor_user_name")
_DEVICE = ("device_asset", "device_hostname", "src_endpoint_hostname")
_KEEP = 20
_CACHED = 1_000_000

Hits = tuple[int, ...]


@dataclass
class Found:
    """What was found of one indicator. Times are µs since 1970 UTC; names are the most frequent ones."""

    indicator: Indicator
    n: int = 0
    first: int = 0
    last: int = 0
    persons: Counter[str] = field(default_factory=Counter)
    devices: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    columns: set[str] = field(default_factory=set)
    event_uid: str = ""

    def add(self, row: dict[str, Any]) -> None:
        self.first = row["first"] if not self.n else min(self.first, row["first"])
        self.last = max(self.last, row["last"])
        self.n += row["n"]
        self.event_uid = self.event_uid or row["event_uid"]
        for held, name in ((self.persons, "who"), (self.devices, "device"), (self.sources, "source")):
            if row[name] and (row[name] in held or len(held) < _KEEP * 50):
                held[row[name]] += row["n"]


class Matcher:
    """Which indicators a value of a column fulfils. Answers are remembered: logs repeat themselves."""

    def __init__(self, indicators: Sequence[Indicator]) -> None:
        self._exact: dict[str, dict[str, list[int]]] = {}
        self._nets: dict[tuple[int, int], dict[int, list[int]]] = {}
        for number, held in enumerate(indicators):
            if held.kind == "net":
                net = ipaddress.ip_network(held.value)
                by = self._nets.setdefault((net.version, net.max_prefixlen - net.prefixlen), {})
                shift = net.max_prefixlen - net.prefixlen
                by.setdefault(int(net.network_address) >> shift, []).append(number)
            else:
                self._exact.setdefault(held.kind, {}).setdefault(held.value, []).append(number)
        kinds = {*self._exact, *(["net"] if self._nets else [])}
        self.columns: dict[str, Callable[[str], Iterable[int]]] = {}
        for columns, judge in (
            (_ADDRESSES, self._address),
            (_HOSTS, self._host),
            (COLUMNS["url"], self._url),
            (_MAIL, self._plain("email")),
            (_HASHES, self._plain("sha256")),
            (_FILES, self._file),
            (COLUMNS["agent"], self._plain("agent")),
        ):
            wanted = {kind for kind in kinds if set(COLUMNS.get(kind, ())) & set(columns)}
            if wanted:
                self.columns.update(dict.fromkeys(columns, judge))
        self._seen: dict[Callable[[str], Iterable[int]], dict[str, Hits]] = {}

    def hits(self, column: str, values: Sequence[str | None]) -> list[tuple[int, Hits]]:
        """Place and indicators of the values that hit."""
        judge = self.columns[column]
        seen = self._seen.setdefault(judge, {})
        found = []
        for place, value in enumerate(values):
            if value is None:
                continue
            hit = seen.get(value)
            if hit is None:
                hit = tuple(dict.fromkeys(judge(value)))
                if len(seen) >= _CACHED:
                    seen.clear()
                seen[value] = hit
            if hit:
                found.append((place, hit))
        return found

    def _plain(self, kind: str) -> Callable[[str], Iterable[int]]:
        held = self._exact.get(kind, {})
        return lambda value: held.get(value.lower(), ())

    def _address(self, value: str) -> Iterator[int]:
        ips = self._exact.get("ip", {})
        yield from ips.get(value, ())
        six = ":" in value
        if not self._nets and not six:
            return
        try:
            packed = socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, value)
        except (OSError, ValueError):
            return
        if six and (plain := socket.inet_ntop(socket.AF_INET6, packed)) != value:
            yield from ips.get(plain, ())
        number = int.from_bytes(packed)
        for (version, shift), by in self._nets.items():
            if six == (version == 6):
                yield from by.get(number >> shift, ())

    def _host(self, value: str) -> Iterator[int]:
        domains = self._exact.get("domain", {})
        for word in value.lower().split():
            name = word.rstrip(".")
            if name[-1:].isdigit() or ":" in name:
                yield from self._address(name)
                continue
            while domains:
                yield from domains.get(name, ())
                _, dot, name = name.partition(".")
                if not dot:
                    break

    def _url(self, value: str) -> Iterator[int]:
        try:
            yield from self._exact.get("url", {}).get(url_of(value), ())
        except ValueError:
            return  # what a client sent need not be a URL

    def _file(self, value: str) -> Iterator[int]:
        yield from self._exact.get("file", {}).get(base_name(value), ())


class Hunt:
    """One pass. ``found`` by number of the indicator; ``skipped`` says why of indicators not looked for."""

    def __init__(
        self,
        snapshot: Snapshot,
        engine: Engine,
        indicators: Sequence[Indicator],
        *,
        since: int | None = None,
        rights: Rights = ADMIN,
        threads: int = 2,
    ) -> None:
        self.indicators = tuple(indicators)
        self.found: dict[int, Found] = {}
        self.skipped: dict[int, str] = {}
        self.damaged: list[Damage] = list(snapshot.damaged)
        self.files: list[Stored] = snapshot.within(since, None, rights.sources)
        self.rows = sum(file.rows for file in self.files)
        self._snapshot = snapshot
        self._engine = engine
        self._since = since
        self._rights = rights
        self._threads = threads
        self._matcher = Matcher(self.indicators)

    def run(self, told: Callable[[int], None]) -> None:
        """``told``: rows that have been looked through since it was last called; may raise to stop."""
        with ThreadPoolExecutor(self._threads) as pool:
            waiting = []
            for file in self.files:
                waiting.append((file, pool.submit(self._file, self._snapshot.paths([file])[0])))
                if len(waiting) > self._threads:
                    self._take(*waiting.pop(0), told)
            for one in waiting:
                self._take(*one, told)
        self._records()

    def _take(self, file: Stored, done: Any, told: Callable[[int], None]) -> None:
        try:
            for number, columns, rows in done.result():
                held = self.found.setdefault(number, Found(self.indicators[number]))
                held.columns |= columns
                for row in rows:
                    held.add(row)
        except (OSError, pa.ArrowException) as error:
            self.damaged.append(Damage(self._snapshot.paths([file])[0], str(error), file.rows))
        told(file.rows)

    # -- one file ----------------------------------------------------------------------------------

    def _file(self, path: Path) -> list[tuple[int, set[str], list[dict[str, Any]]]]:
        wanted = list(self._matcher.columns)
        if not wanted:
            return []
        found = []
        held = pq.read_metadata(path)
        present = [name for name in wanted if name in held.schema.names]
        with pq.ParquetFile(path, metadata=held, read_dictionary=present) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=present, use_threads=False)
                numbers, rows, columns = self._pairs(table)
                if len(numbers):
                    found += self._details(file, group, numbers, rows, columns)
        return found

    def _pairs(self, table: pa.Table) -> tuple[Any, Any, dict[int, set[str]]]:
        """Number of the indicator and of the row, wherever a value hits."""
        numbers: list[Any] = []
        rows: list[Any] = []
        columns: dict[int, set[str]] = {}
        for name in table.column_names:
            start = 0
            for chunk in table[name].chunks:
                if pa.types.is_dictionary(chunk.type):
                    for number, at in self._rows_of(name, chunk):
                        numbers.append(np.full(len(at), number))
                        rows.append(at + start)
                        columns.setdefault(number, set()).add(name)
                start += len(chunk)
        if not numbers:
            return np.empty(0, int), np.empty(0, int), columns
        pairs = np.unique(np.stack([np.concatenate(numbers), np.concatenate(rows)]), axis=1)
        return pairs[0], pairs[1], columns

    def _rows_of(self, name: str, chunk: Any) -> Iterator[tuple[int, Any]]:
        """Indicators that values of this piece of a column hit, each with the rows."""
        hits = self._matcher.hits(name, chunk.dictionary.to_pylist())
        if not hits:
            return
        none = len(chunk.dictionary)
        wanted = np.zeros(none + 1, dtype=bool)
        wanted[[place for place, _ in hits]] = True
        keys = chunk.indices.fill_null(none).to_numpy(zero_copy_only=False)
        at = np.flatnonzero(wanted[keys])
        order = np.argsort(keys[at], kind="stable")
        at, found = at[order], keys[at][order]
        for place, which in hits:
            low, high = np.searchsorted(found, [place, place + 1])
            for number in which if high > low else ():
                yield number, at[low:high]

    def _details(
        self, file: pq.ParquetFile, group: int, numbers: Any, rows: Any, columns: dict[int, set[str]]
    ) -> list[tuple[int, set[str], list[dict[str, Any]]]]:
        names = [n for n in ("time", "event_uid", "source", *_WHO, *_DEVICE) if n in file.schema_arrow.names]
        held = file.read_row_group(group, columns=names, use_threads=False).take(pa.array(rows))
        nothing = pa.nulls(held.num_rows, pa.string())

        def first(wanted: tuple[str, ...]) -> Any:
            there = [held[name] for name in wanted if name in names]
            return pc.coalesce(*there, nothing) if there else nothing

        told = pa.table(
            {
                "number": pa.array(numbers, pa.int64()),
                "time": held["time"].cast(pa.int64()),
                "event_uid": held["event_uid"],
                "source": held["source"],
                "who": first(_WHO),
                "device": first(_DEVICE),
            }
        )
        told = self._allowed(told)
        grouped = told.group_by(["number", "source", "who", "device"]).aggregate(
            [("time", "min"), ("time", "max"), ("time", "count"), ("event_uid", "min")]
        )
        out: dict[int, list[dict[str, Any]]] = {}
        for row in grouped.to_pylist():
            out.setdefault(row["number"], []).append(
                {
                    **{name: row[name] for name in ("source", "who", "device")},
                    "first": row["time_min"],
                    "last": row["time_max"],
                    "n": row["time_count"],
                    "event_uid": row["event_uid_min"],
                }
            )
        return [(number, columns[number], of) for number, of in out.items()]

    def _allowed(self, told: pa.Table) -> pa.Table:
        """Only what lies in the time and in the sources of the role."""
        if self._since is not None:
            told = told.filter(pc.greater_equal(told["time"], self._since))
        if self._rights.sources is not None:
            told = told.filter(pc.is_in(told["source"], value_set=pa.array(sorted(self._rights.sources))))
        return told

    # -- in the record -----------------------------------------------------------------------------

    def _records(self) -> None:
        by = {held.value: n for n, held in enumerate(self.indicators) if held.kind in IN_RECORD}
        if not by:
            return
        if not self._rights.raw:
            why = "only the records hold it, and the role may not see them"
            self.skipped.update(dict.fromkeys(by.values(), why))
            return
        who, device = (f"coalesce({', '.join(names)})" for names in (_WHO, _DEVICE))
        since = "" if self._since is None else f" AND time >= make_timestamptz({self._since:d}::BIGINT)"
        sql = (
            "SELECT h, source, who, device, count(*) AS n, min(us) AS first, max(us) AS last,"  # noqa: S608 - constants
            " min(event_uid) AS event_uid FROM (SELECT unnest(list_distinct("
            "regexp_extract_all(lower(raw), '\\b[0-9a-f]{32}(?:[0-9a-f]{8})?\\b'))) AS h,"
            f" source, {who} AS who, {device} AS device, epoch_us(time) AS us, event_uid"
            f" FROM events WHERE class_uid < 3000{since}) WHERE h IN (SELECT unnest(?)) GROUP BY ALL"
        )
        waiting = [[file] for file in self.files]
        for group in waiting:
            try:
                rows = self._engine.select(self._snapshot.paths(group), sql, [list(by)]).to_pylist()
            except FileUnreadable as error:
                self.damaged.append(Damage(self._snapshot.paths(group)[0], str(error), group[0].rows))
                continue
            for row in rows:
                held = self.found.setdefault(by[row["h"]], Found(self.indicators[by[row["h"]]]))
                held.columns.add("raw")
                held.add(row)


SCHEMA: pa.Schema = pa.schema(
    [
        ("kind", pa.string()),
        ("value", pa.string()),
        ("name", pa.string()),
        ("n", pa.int64()),
        ("first_seen", pa.timestamp("us", "UTC")),
        ("last_seen", pa.timestamp("us", "UTC")),
        ("persons", pa.string()),
        ("devices", pa.string()),
        ("sources", pa.string()),
        ("columns", pa.string()),
        ("event_uid", pa.string()),
    ]
)


def table(found: Iterable[Found]) -> pa.Table:
    """One row per indicator that was seen, the most frequent first."""
    rows = sorted(found, key=lambda held: (-held.n, held.indicator.value))
    return pa.Table.from_pylist(
        [
            {
                "kind": held.indicator.kind,
                "value": held.indicator.value,
                "name": held.indicator.name,
                "n": held.n,
                "first_seen": held.first,
                "last_seen": held.last,
                "persons": _names(held.persons),
                "devices": _names(held.devices),
                "sources": _names(held.sources),
                "columns": " ".join(sorted(held.columns)),
                "event_uid": held.event_uid,
            }
            for held in rows
        ],
        schema=SCHEMA,
    )


def _names(held: Counter[str]) -> str:
    shown = " ".join(name for name, _ in held.most_common(_KEEP))
    return shown if len(held) <= _KEEP else f"{shown} … ({len(held)})"
