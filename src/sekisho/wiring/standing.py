"""Standing rules at work: the digest follows the lake, the rules are asked, the alerts follow what they
state."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa
from django.db import DatabaseError, connections

from sekisho import status
from sekisho.contract import StandingRule
from sekisho.contract.standing import Spot
from sekisho.detect.standing import Digest, Judgement, Read, Seen, StoredPast, judge_past, statements
from sekisho.detect.standing.rises import Rejected
from sekisho.journal import Rejects
from sekisho.lake import manifest, reader
from sekisho.lake.engines import Engine, FileUnreadable, Rows
from sekisho.lake.engines.duckdb import DuckDB
from sekisho.lake.manifest import Stored
from sekisho.model import RECORDS_PER_FRAME, Evidence, Offset, Refused, Retry
from sekisho.modules import database
from sekisho.settings import Settings
from sekisho.wiring.clock import now
from sekisho.wiring.found import content
from sekisho.wiring.owing import deliver_audit

log = logging.getLogger(__name__)

#: Events that are read at once: bounds the memory of a rebuild.
CHUNK = 400_000
#: A collector must have run so long before "nothing came" is taken for silence: shippers first send what
#: waited.
SETTLE_SECONDS = 900.0
_WEEK_NS = 14 * 86_400 * 1_000_000_000
_DAY = 86_400_000_000
_FACTS = ("device_hostname", "metadata_event_code", "metadata_sequence", "activity_name", "user_name")


class Watched(msgspec.Struct):
    """What the last look came to, for the operator (``run/standing.json``). Seconds since 1970 UTC."""

    at: float
    upto: float
    seconds: float
    stated: dict[str, int]
    unjudged: dict[str, list[tuple[str, str]]]
    trouble: str = ""


def watched(run_dir: Path) -> Watched | None:
    """None before the first look."""
    try:
        return msgspec.json.decode((run_dir / "standing.json").read_bytes(), type=Watched)
    except (OSError, msgspec.MsgspecError):
        return None


class Carried(NamedTuple):
    """A look and what became of the alerts (uids)."""

    judgements: list[Judgement]
    raised: int
    restated: list[str]
    withdrawn: list[str]


class Standing:
    """The digest of one data folder and the rules over it. For one thread."""

    def __init__(self, settings: Settings, rules: Sequence[StandingRule] | None = None) -> None:
        found = content()
        self._settings = settings
        self.rules = list(found.standing.values()) if rules is None else list(rules)
        self._lags = {source.id: source.lag for source in found.sources.values()}
        self._digest = Digest(settings.data / "standing" / "digest.sqlite3")
        self._zone = ZoneInfo(settings.zone)

    def close(self) -> None:
        self._digest.close()

    # -- the digest --------------------------------------------------------------------------------

    def refresh(self, at: datetime, progress: Callable[[int], None] = lambda rows: None) -> int:
        """Read what was stored since the last time; returns how many events. Raises ``FileUnreadable``."""
        if not (self._settings.lake_dir / manifest.FILE).exists():
            return 0
        stored = reader.snapshot(self._settings.lake_dir)
        if stored.offset is None:
            return 0
        high = Offset(stored.offset, RECORDS_PER_FRAME - 1).packed
        total = sum(numbers.get("events", 0) for numbers in stored.counters.values())
        engine = DuckDB(self._settings.lake)
        try:
            beyond = _beyond(engine, stored, high)
            first = self._digest.state("offset") is None
            done = self._follow(engine, stored, high, progress)
            if self._known(total, beyond) != 0:
                if (
                    not first
                ):  # stored late at an old place (rejects tried again), or read while it was rewritten
                    with self._digest.writing():
                        self._digest.clear()
                    done = self._follow(engine, stored, high, progress)
                with self._digest.writing():
                    self._digest.set_state("base", self._known(total, beyond))
        finally:
            engine.close()
        with self._digest.writing():
            self._digest.prune(int(at.timestamp() * 1e6))
        return done

    def _known(self, total: int, beyond: int) -> int:
        """Stored events that the digest does not have: 0 if it goes with the lake."""
        return total - beyond - (self._digest.state("events") or 0) - (self._digest.state("base") or 0)

    def _follow(
        self, engine: Engine, stored: reader.Snapshot, high: int, progress: Callable[[int], None]
    ) -> int:
        low = self._digest.state("offset")
        low = -1 if low is None else low
        if high < low:  # another lake
            with self._digest.writing():
                self._digest.clear()
            low = -1
        done = 0
        for begin, end in spans(stored.files, low, high):
            files = [file for file in stored.files if file.offset_min <= end and file.offset_max > begin]
            paths = stored.paths(files)
            read = Read(*(engine.select(paths, sql, [begin, end]) for sql in statements()))
            with self._digest.writing():
                n = self._digest.add(read)
                self._digest.set_state("events", (self._digest.state("events") or 0) + n)
                self._digest.set_state("offset", end)
            done += n
            progress(done)
        return done

    # -- looking -----------------------------------------------------------------------------------

    def look(
        self, at: datetime, *, upto: datetime | None = None, since: datetime | None = None
    ) -> list[Judgement]:
        """Bring the digest up to date and ask the rules. ``upto``: up to when everything that arrived is
        stored (default: what the running platform shows, else the newest receipt)."""
        self.refresh(at)
        end = self._upto(at) if upto is None else _micros(upto)
        with DuckDBs(self._settings) as engine:
            seen = Seen(
                upto=end,
                zone=self._zone,
                lags=self._lags,
                rejected=self._rejected(end),
                record=lambda spot: self._record(engine, spot),
                since=None if since is None else _micros(since),
            )
            return judge_past(self.rules, StoredPast(self._digest, seen))

    def carry_out(self, at: datetime, judgements: Sequence[Judgement]) -> Carried:
        """The alerts follow. Django must be started and migrated."""
        from sekisho.modules.alerts import channels, standing

        to = channels.channels(self._settings.notify)
        raised = 0
        restated: list[str] = []
        withdrawn: list[str] = []
        for judged in judgements:
            followed = standing.follow(
                judged.rule,
                judged.findings,
                since=self.day(judged.since),
                unknown={each.subject for each in judged.unjudged},
                now=at,
                channels=to,
            )
            raised += followed.new
            restated += followed.restated
            withdrawn += followed.withdrawn
        if restated or withdrawn:
            deliver_audit(self._settings, alone=False)
        return Carried(list(judgements), raised, restated, withdrawn)

    def would_withdraw(self, judgements: Sequence[Judgement]) -> list[str]:
        """Alerts of which nothing is left, without touching them."""
        from sekisho.modules.alerts import standing

        return [
            uid
            for judged in judgements
            for uid in standing.groundless(
                judged.rule,
                judged.findings,
                since=self.day(judged.since),
                unknown={each.subject for each in judged.unjudged},
            )
        ]

    def day(self, micros: int) -> str:
        return datetime.fromtimestamp(micros / 1e6, self._zone).date().isoformat()

    def _upto(self, at: datetime) -> int:
        """Now, if the collector has run for a while and nothing waits; else the newest receipt that is
        stored."""
        newest = min(self._digest.state("newest") or 0, _micros(at))
        collect = status.read(self._settings.run_dir, "collect")
        pipeline = status.read(self._settings.run_dir, "pipeline")
        seconds = at.timestamp()
        if collect is None or pipeline is None or not status.alive(collect, seconds):
            return newest
        if seconds - collect.started_at < SETTLE_SECONDS or pipeline.numbers.get("backlog_frames", 1.0) > 0:
            return newest
        return _micros(at)

    def _rejected(self, upto: int) -> list[Rejected]:
        if not (self._settings.journal_dir / "rejects.sqlite3").exists():
            return []
        rejects = Rejects(self._settings.journal_dir)
        try:
            rows = rejects.by_hour(upto * 1000 - _WEEK_NS)
        finally:
            rejects.close()
        return [
            Rejected(
                source,
                code,
                hour,
                n,
                Evidence(
                    datetime.fromtimestamp(at / 1e9, UTC),
                    f"reject {first}",
                    source,
                    (("code", code), ("rejects", str(n))),
                ),
            )
            for source, code, hour, n, first, at in rows
        ]

    # -- one record --------------------------------------------------------------------------------

    def _record(self, engine: Engine, spot: Spot) -> Evidence | None:
        key = msgspec.json.encode([*spot, self._digest.state("events")]).decode()
        known = self._digest.known_record(key)
        if known is not None:
            return msgspec.json.decode(known[1], type=Evidence)
        stored = reader.snapshot(self._settings.lake_dir)
        for time in ("ingested_at",) if spot.source == "*" else ("time", "least(time, ingested_at)"):
            reach = 0 if time == "time" else 7 * _DAY
            paths = stored.paths(stored.within(spot.low - reach, spot.high + reach))
            sql, params = _question(spot, time)
            try:
                rows = engine.select(paths, sql, params).to_pylist()
            except FileUnreadable:
                return None
            if rows:
                facts = tuple((name, str(rows[0][name])) for name in _FACTS if rows[0][name] is not None)
                at = datetime.fromtimestamp(rows[0]["t"] / 1e6, UTC)
                found = Evidence(at, rows[0]["event_uid"], rows[0]["source"], facts)
                with self._digest.writing():
                    self._digest.remember_record(key, spot.low, msgspec.json.encode(found).decode())
                return found
        return None


class DuckDBs:
    """An engine that is opened when the first record is asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine: DuckDB | None = None

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def select(
        self, files: Sequence[Path], sql: str, params: Sequence[object], rows: Mapping[Path, Rows] = {}
    ) -> pa.Table:
        return self._opened().select(files, sql, params, rows)

    def counts(self, files: Sequence[Path], sql: str, params: Sequence[object]) -> pa.Table:
        return self._opened().counts(files, sql, params)

    def _opened(self) -> DuckDB:
        if self._engine is None:
            self._engine = DuckDB(self._settings.lake)
        return self._engine

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()


def spans(files: Sequence[Stored], low: int, high: int) -> Iterator[tuple[int, int]]:
    """Stretches of the journal, low < offset <= high, of about ``CHUNK`` stored events each."""
    edges: list[tuple[int, int]] = []
    for file in files:
        first, last = max(file.offset_min - 1, low), min(file.offset_max, high)
        if first >= last:
            continue
        parts = -(-file.rows // CHUNK)
        edges += [(first + (last - first) * (part + 1) // parts, file.rows // parts) for part in range(parts)]
    rows = 0
    begin = low
    for end, n in sorted(edges):
        rows += n
        if rows >= CHUNK and end > begin:
            yield begin, end
            begin, rows = end, 0
    if begin < high:
        yield begin, high


def _beyond(engine: Engine, stored: reader.Snapshot, high: int) -> int:
    """Events of a frame that is taken in parts and not done yet."""
    late = [file for file in stored.files if file.offset_max > high]
    if not late:
        return 0
    counted = engine.select(
        stored.paths(late), "SELECT count(*) AS n FROM events WHERE journal_offset > ?", [high]
    )
    return int(counted["n"][0].as_py())


def _question(spot: Spot, time: str) -> tuple[str, list[object]]:
    """SQL for one record of a spot."""
    where = [f"epoch_us({time}) >= ?", f"epoch_us({time}) < ?", "source <> 'sekisho'"]
    params: list[object] = [spot.low, spot.high]
    if spot.sequence is not None:
        where.append("metadata_sequence = ?")
        params.append(spot.sequence)
        if spot.source == "syslog":
            where.append("source IN ('syslog', 'linux_auth', 'openssh')")
    if spot.source not in ("*", "syslog") or (spot.source == "syslog" and spot.sequence is None):
        where.append("source = ?")
        params.append(spot.source)
    if spot.device:
        where.append("(device_asset = ? OR lower(device_hostname) IN (?, ?))")
        params += [spot.device, spot.host, spot.device]
    elif spot.host is not None:
        where.append("coalesce(lower(device_hostname), '') = ?")
        params.append(spot.host)
    order = "DESC" if spot.newest else "ASC"
    sql = (
        f"SELECT event_uid, epoch_us({time}) AS t, source, {', '.join(_FACTS)} FROM events"  # noqa: S608 - constants
        f" WHERE {' AND '.join(where)} ORDER BY t {order}, event_uid LIMIT 1"
    )
    return sql, params


def _micros(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)


class Watch:
    """Looks again and again in a thread of its own: alerts of ordinary rules never wait for it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="standing")
        self.error: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        standing: Standing | None = None
        try:
            database.start(self._settings.data)
            standing = Standing(self._settings)
            while not self._stop.is_set():
                self._once(standing)
                self._stop.wait(self._settings.pipeline.absence_every)
        except Exception as error:  # noqa: BLE001 - top of the thread: handed to the main loop, which ends
            self.error = error
        finally:
            if standing is not None:
                standing.close()
            connections.close_all()

    def _once(self, standing: Standing) -> None:
        at = now()
        try:
            judgements = standing.look(at)
            standing.carry_out(at, judgements)
        except (FileUnreadable, Retry, Refused, DatabaseError) as error:
            log.warning("standing rules could not look: %s", error)
            said = Watched(at.timestamp(), 0.0, 0.0, {}, {}, str(error)[:500])
        else:
            said = say(at, now(), judgements)
        path = self._settings.run_dir / "standing.json"
        fresh = path.with_name(".standing.new")
        fresh.write_bytes(msgspec.json.encode(said))
        fresh.replace(path)


def say(at: datetime, end: datetime, judgements: Sequence[Judgement]) -> Watched:
    return Watched(
        at=at.timestamp(),
        upto=max((judged.upto for judged in judgements), default=0) / 1e6,
        seconds=(end - at).total_seconds(),
        stated={judged.rule: len(judged.findings) for judged in judgements},
        unjudged={judged.rule: [(u.subject, u.reason) for u in judged.unjudged] for judged in judgements},
    )
