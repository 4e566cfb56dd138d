"""A real HTTP receiver on loopback whose journal is a list."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from sekisho import settings
from sekisho.collect import http
from sekisho.collect.counters import Counters
from sekisho.collect.tokens import Tokens
from sekisho.model import Records, Retry

SOURCES = frozenset({"okta", "cloudtrail", "windows"})
SOURCETYPES = {"OktaIM2:log": "okta", "aws:cloudtrail": "cloudtrail"}


@dataclass
class Receiver:
    """``token`` may send anything, ``bound`` only as okta. ``full``: the journal says Retry."""

    port: int
    unix: Path
    tokens: Tokens
    token: str
    bound: str
    counters: Counters = field(default_factory=Counters)
    stored: list[Records] = field(default_factory=list)
    full: bool = False
    hold: asyncio.Event | None = None

    async def append(self, records: Records) -> int:
        if self.full:
            raise Retry(2.5, "the disk is full")
        if self.hold is not None:
            await self.hold.wait()
        self.stored.append(records)
        return len(self.stored) - 1

    @property
    def bodies(self) -> list[bytes]:
        return [body for records in self.stored for body in records.bodies]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Splunk {self.token}"}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@asynccontextmanager
async def receiver(
    folder: Path, *, routes: Iterable[web.RouteDef] = (), **changes: Any
) -> AsyncIterator[Receiver]:
    tokens = Tokens(folder / "secrets" / "tokens.json")
    made = Receiver(
        port=free_port(),
        unix=folder / "collect.sock",
        tokens=tokens,
        token=tokens.create("shipper", now=1.0),
        bound=tokens.create("okta-only", now=1.0, source="okta"),
    )
    collect = msgspec.structs.replace(settings.Collect(http_port=made.port), **changes)
    app = http.application(
        made.append,
        made.counters,
        tokens=tokens,
        collect=collect,
        source_ids=SOURCES,
        sourcetypes=SOURCETYPES,
        now=time.time_ns,
        local_routes=routes,
    )
    server = http.serve(app, collect, unix=made.unix)
    await server.start()
    try:
        yield made
    finally:
        await server.stop()
