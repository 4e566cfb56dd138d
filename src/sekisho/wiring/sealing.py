"""Sealing in the collector: checkpoints at least every interval, told to others, and being a witness.

All of it runs in threads beside the receivers. What fails here is said (status, metrics, log, an event of the
platform's own) and tried again; it never stops a log from being received.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from aiohttp import web

from sekisho.journal import JournalWriter, keys, telling
from sekisho.journal import note as notes
from sekisho.journal.note import BadNote
from sekisho.journal.sealer import Sealer
from sekisho.journal.told import Told
from sekisho.journal.witness import MAX_BODY, Witness
from sekisho.model import Records, Refused, Retry
from sekisho.settings import Settings
from sekisho.status import Count
from sekisho.wiring.clock import now_ns
from sekisho.wiring.seals import key_files, now_s, witness_dir, witness_key_files, witnessed_logs

log = logging.getLogger(__name__)

Append = Callable[[Records], Awaitable[int]]

_LOOK_SECONDS = 0.5
#: at a stop, for telling what was sealed last
_STOP_SECONDS = 5.0
ADD_CHECKPOINT = "/witness/add-checkpoint"


class Sealing:
    """``run`` until cancelled, then ``close``. ``append`` journals the platform's own events."""

    def __init__(self, settings: Settings, writer: JournalWriter, append: Append) -> None:
        self._settings = settings
        self._append = append
        self.sealer = Sealer(writer.folder, writer.tree, key_files(settings), now=now_s)
        self.told = tellers(settings, writer.folder, self.sealer)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="seal")
        self._telling = ThreadPoolExecutor(max(1, len(self.told)), thread_name_prefix="tell")
        self._reported = ""

    async def run(self) -> None:
        """Seal and tell until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._seal())
            for one in self.told:
                group.create_task(self._tell(one))

    async def close(self) -> None:
        """Nothing is appended any more: seal the rest, tell it if that is quick."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self.sealer.seal)
        if self.told:
            steps = [loop.run_in_executor(self._telling, one.step, now_s()) for one in self.told]
            await asyncio.wait(steps, timeout=_STOP_SECONDS)
        self._telling.shutdown(wait=False, cancel_futures=True)
        self._thread.shutdown()
        self.sealer.close()

    async def _seal(self) -> None:
        loop = asyncio.get_running_loop()
        sealed_at = loop.time() - self._settings.seal.interval
        while True:
            due = self.sealer.waiting > 0 and loop.time() - sealed_at >= self._settings.seal.interval
            if due or self.sealer.hurry:
                sealed_at = loop.time()
                await loop.run_in_executor(self._thread, self.sealer.seal)
                await self._report()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _report(self) -> None:
        """A journal that cannot be sealed is an event of its own, once per reason."""
        if self.sealer.error and self.sealer.error != self._reported:
            await self._event("seal.failed", f"the journal is not sealed: {self.sealer.error}")
        self._reported = self.sealer.error

    async def _tell(self, one: Told) -> None:
        loop = asyncio.get_running_loop()
        while True:
            step = await loop.run_in_executor(self._telling, one.step, now_s())
            if step.incident:
                await self._event("seal.refused", f"a witness refuses this journal: {step.incident}")
            await asyncio.sleep(max(step.pause, _LOOK_SECONDS))

    async def _event(self, code: str, message: str) -> None:
        with contextlib.suppress(Retry, Refused):  # the disk is full: the status says it all the same
            await self._append(own_event(code, message, now_ns()))

    # -- what status and metrics say ------------------------------------------------------------

    def numbers(self) -> dict[str, float]:
        last = self.sealer.last
        return {
            "sealed_frames": float(last.checkpoint.size if last else 0),
            "unsealed_frames": float(self.sealer.waiting),
            "seal_seconds": float(last.at if last else 0),
            "seal_failed": float(bool(self.sealer.error)),
        }

    def counts(self) -> dict[str, list[Count]]:
        sealed = self.sealer.last.checkpoint.size if self.sealer.last else 0
        states = [(one.kind, one.name, one.state) for one in self.told]
        return {
            "witness_told_seconds": [Count(kind, name, state.told_at) for kind, name, state in states],
            "witness_lag_frames": [
                Count(kind, name, max(0, sealed - state.size)) for kind, name, state in states
            ],
            "witness_failed": [Count(kind, name, int(bool(state.error))) for kind, name, state in states],
            "witness_refused": [Count(kind, name, int(state.refused)) for kind, name, state in states],
        }

    def texts(self) -> dict[str, str]:
        found = {f"witness {one.kind} {one.name}": one.state.error for one in self.told if one.state.error}
        if self.sealer.error:
            found["seal"] = self.sealer.error
        return found


def own_event(code: str, message: str, at_ns: int) -> Records:
    """Detection Finding (OCSF class 2004) of the platform itself, for its own journal."""
    event = {
        "class_uid": 2004,
        "category_uid": 2,
        "activity_id": 1,
        "type_uid": 200401,
        "time": at_ns // 1_000_000,
        "severity_id": 5,
        "message": message,
        "metadata": {
            "version": "1.8.0",
            "uid": f"{code}-{at_ns // 1000}",
            "event_code": code,
            "log_name": "journal",
            "product": {"name": "Sekisho", "vendor_name": "Sekisho"},
        },
    }
    return Records("sekisho", "internal", "none", "collect", "sekisho", at_ns, (msgspec.json.encode(event),))


def tellers(settings: Settings, folder: Path, sealer: Sealer) -> list[Told]:
    """All ways of telling that the settings name. Raises ``Refused`` for a key that is none."""
    seal, data = settings.seal, settings.data
    found: list[tuple[str, str, telling.Teller]] = [
        ("file", file.name, telling.ToFile(data / file.path)) for file in seal.files
    ]
    found += [("webhook", h.name, telling.ToWebhook(data / h.url_file, h.ca)) for h in seal.webhooks]
    found += [("syslog", s.name, telling.ToSyslog(s.host, s.port, tls=s.tls, ca=s.ca)) for s in seal.syslog]
    for one in seal.witnesses:
        token = data / one.token_file if one.token_file else None
        try:
            teller = telling.ToWitness(folder, sealer.file, one.url, one.vkey, token, one.ca)
        except BadNote as error:
            raise Refused(f"seal.witnesses: {one.name}: {error.why}", "take the key that it shows") from error
        found.append(("witness", one.name, teller))
    if seal.tsa_url:
        ca = str(data / seal.tsa_ca) if seal.tsa_ca else ""
        teller_tsa = telling.ToAuthority(sealer.file, seal.tsa_url, ca, seal.tsa_interval)
        found.append(("tsa", "tsa", teller_tsa))
    return [Told(name, kind, teller, folder, data / "seal") for kind, name, teller in found]


# -- being a witness ----------------------------------------------------------------------------


def witness_routes(settings: Settings, append: Append) -> list[web.RouteDef]:
    """The route of a witness, if the settings name logs; needs a token like all others."""
    logs = witnessed_logs(settings)
    if not logs:
        return []
    name = settings.witness.name or f"{socket.gethostname() or 'sekisho'}/witness"
    signer = keys.create(witness_key_files(settings), name, notes.COSIGNATURE)
    witness = Witness(witness_dir(settings), signer, logs)
    told: set[str] = set()

    async def add_checkpoint(request: web.Request) -> web.Response:
        body = await _read(request)
        try:
            answer = await asyncio.to_thread(witness.add_checkpoint, body, now_s())
        except OSError as error:
            log.error("the witness cannot sign: %s", error)
            return web.Response(status=503, headers={"Retry-After": "60"})
        if answer.incident and f"{answer.origin} {answer.incident}" not in told:
            told.add(f"{answer.origin} {answer.incident}")
            log.error("witness of %s: %s", answer.origin, answer.incident)
            event = own_event("witness.refused", f"witness of {answer.origin}: {answer.incident}", now_ns())
            with contextlib.suppress(Retry, Refused):
                await append(event)
        return web.Response(status=answer.status, text=answer.body, content_type=answer.content_type)

    return [web.post(ADD_CHECKPOINT, add_checkpoint)]


async def _read(request: web.Request) -> bytes:
    """The body, bounded; raises the answer 413."""
    body = await request.content.read(MAX_BODY + 1)
    while len(body) <= MAX_BODY and (more := await request.content.read(MAX_BODY + 1 - len(body))):
        body += more
    if len(body) > MAX_BODY:
        raise web.HTTPRequestEntityTooLarge(MAX_BODY, len(body))
    return body
