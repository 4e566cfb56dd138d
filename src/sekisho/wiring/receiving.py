"""The receivers, on the journal of which they are the only writer."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp import web

from sekisho.collect import http, local, syslog
from sekisho.collect.counters import Counters
from sekisho.collect.deliveries import Deliveries
from sekisho.collect.tokens import Tokens
from sekisho.contract.discovery import Content
from sekisho.journal import GroupCommit, JournalReader, JournalWriter
from sekisho.model import Refused
from sekisho.settings import Settings
from sekisho.wiring.clock import now_ns
from sekisho.wiring.found import content
from sekisho.wiring.journaling import open_journal
from sekisho.wiring.sealing import Sealing, witness_routes

SOCKET = "collect.sock"
#: An answer follows the journal within moments; so much of the journal's end (ns) may lack its answer.
_OWED = 60 * 1_000_000_000
_STEP = 64


@dataclass
class Receivers:
    """What listens. ``failed`` ends when the disk does; then the process must end and recover."""

    counters: Counters
    writer: JournalWriter
    failed: asyncio.Future[None]
    sealing: Sealing
    _commit: GroupCommit
    _http: http.Server
    _syslog: syslog.Receivers

    async def close(self) -> None:
        """Take nothing new; what was received is journaled and acknowledged; then the journal is closed."""
        await self._http.stop()
        await self._syslog.close()
        await self._commit.close()
        await self.sealing.close()
        self.writer.close()


async def receivers(
    settings: Settings,
    *,
    extra_routes: Iterable[web.RouteDef] = (),
    open_routes: Iterable[web.RouteDef] = (),
) -> Receivers:
    """Open the journal and every receiver that the settings switch on.

    ``extra_routes`` need a token, ``open_routes`` none. Raises ``Refused`` where an address is taken or
    another process writes the journal.
    """
    collect = settings.collect
    found = content()
    writer = open_journal(settings)
    commit = GroupCommit(writer)
    sealing = Sealing(settings, writer, commit.append)
    counters = Counters()
    app = http.application(
        commit.append,
        counters,
        tokens=Tokens(settings.secrets_dir / "tokens.json"),
        collect=collect,
        source_ids=frozenset(found.receivable()),
        sourcetypes=sourcetypes(found),
        now=now_ns,
        deliveries=owed_answers(settings, writer.next_frame),
        extra_routes=[*extra_routes, *witness_routes(settings, commit.append)],
        open_routes=open_routes,
        local_routes=[web.post(local.PATH, local.local_records(commit.append))],
    )
    server = http.serve(app, collect, unix=settings.run_dir / SOCKET)
    await server.start()
    context = http.tls_context(collect.tls) if collect.tls else None
    if context is not None and collect.tls is not None and collect.tls.client_ca:
        # syslog has no token beside the certificate, so with an authority named it must be shown
        context.verify_mode = ssl.CERT_REQUIRED
    try:
        lines = await syslog.start(commit.append, counters, collect, now=now_ns, ssl_context=context)
    except OSError as error:
        await server.stop()
        raise Refused(
            f"cannot listen for syslog on {collect.host} (TCP port {collect.syslog_tcp_port}, UDP port"
            f" {collect.syslog_udp_port}, TLS port {collect.syslog_tls_port}): {error}",
            "end the program that uses it, or set other ports in [collect]; 0 switches one off",
        ) from error
    return Receivers(counters, writer, commit.failed, sealing, commit, server, lines)


def owed_answers(settings: Settings, end: int) -> Deliveries:
    """What the last process may have journaled and not answered: the batches of the journal's last minute."""
    deliveries = Deliveries()
    reader = JournalReader(settings.journal_dir)
    try:
        at, last = end, 0
        while at > 0:
            low = max(0, at - _STEP)
            frames = [frame.records for number in range(low, at) if (frame := reader.frame(number))]
            at = low
            last = max([last, *(records.received_at for records in frames)])
            recent = [records for records in frames if last - records.received_at <= _OWED]
            deliveries.recall(records for records in recent if records.receiver in http.RECEIVERS)
            if len(recent) < len(frames):
                break
    finally:
        reader.close()
    return deliveries


def sourcetypes(found: Content) -> dict[str, str]:
    """What senders call a log (HEC source type, index, data stream) to source id."""
    return {name: source.id for source in found.sources.values() for name in source.recognise.sourcetypes}
