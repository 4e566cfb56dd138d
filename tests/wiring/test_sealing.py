"""The collector as it runs: two installations, one the witness of the other, over real sockets."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from sekisho import first_run, status, wiring
from sekisho.collect.tokens import Tokens
from sekisho.journal import JournalReader, keys
from sekisho.journal.trust import judge
from sekisho.journal.verify import VERIFIED, Report, verify
from sekisho.settings import Collect, Seal, SealFile, SealWitness, Settings, Witness, WitnessLog


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def installation(folder: Path) -> tuple[Settings, str, str]:
    """Settings, verifier key and token of a new data folder."""
    prepared = first_run.prepare(folder, time.time(), token=True)
    assert prepared.vkey
    assert prepared.token
    collect = Collect(http_port=free_port(), syslog_udp_port=0, syslog_tcp_port=0)
    return Settings(data=folder, collect=collect, seal=Seal(interval=1)), prepared.vkey, prepared.token


@asynccontextmanager
async def collecting(settings: Settings) -> AsyncIterator[wiring.Receivers]:
    receivers = await wiring.receivers(settings)
    sealing = asyncio.ensure_future(receivers.sealing.run())
    try:
        yield receivers
    finally:
        sealing.cancel()
        await asyncio.wait({sealing})
        await receivers.close()


async def send(settings: Settings, token: str, count: int) -> None:
    url = f"http://127.0.0.1:{settings.collect.http_port}/v1/ingest/okta"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        for i in range(count):
            async with session.post(url, data=json.dumps({"uuid": f"{i}", "at": time.time_ns()})) as answer:
                assert answer.status == 200


async def until(what: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.05)


def verified(settings: Settings, vkey: str, **more: object) -> Report:
    pinned = keys.given(vkey)
    return verify(settings.journal_dir, judge(settings.journal_dir, pinned, **more))  # type: ignore[arg-type]


def own_events(settings: Settings) -> list[str]:
    """Codes of the platform's own events in its journal."""
    taken = JournalReader(settings.journal_dir).read(0, 10**6)
    bodies = [b for f in taken.frames if f.records.source == "sekisho" for b in f.records.bodies]
    return [json.loads(body)["metadata"]["event_code"] for body in bodies]


async def test_one_installation_is_the_witness_of_another(tmp_path: Path) -> None:
    theirs, _, their_token = installation(tmp_path / "osaka")
    ours, vkey, token = installation(tmp_path / "tokyo")
    for_us = Tokens(theirs.secrets_dir / "tokens.json").create("tokyo", now=time.time())
    del their_token
    (ours.data / "osaka-token").write_text(for_us)
    theirs = msgspec.structs.replace(
        theirs, witness=Witness(name="osaka.example/witness", logs=(WitnessLog(vkey),))
    )
    async with collecting(theirs):
        witness_vkey = keys.published(theirs.data / "witness.vkey").vkey
        url = f"http://127.0.0.1:{theirs.collect.http_port}/witness"
        seal = Seal(
            interval=1,
            files=(SealFile("worm", str(tmp_path / "worm")),),
            witnesses=(SealWitness("osaka", url, witness_vkey, "osaka-token"),),
        )
        ours = msgspec.structs.replace(ours, seal=seal)
        async with collecting(ours) as receivers:
            await send(ours, token, 5)
            shutil.copytree(ours.data, tmp_path / "older", ignore=shutil.ignore_patterns("*.sock"))
            await send(ours, token, 15)
            told = {one.kind: one for one in receivers.sealing.told}
            await until(lambda: told["witness"].state.size >= 20 and told["file"].state.size >= 20)
            assert receivers.sealing.texts() == {}
            assert receivers.sealing.numbers()["sealed_frames"] >= 20
            for values in receivers.sealing.counts().values():
                assert {(count.first, count.second) for count in values} == {
                    ("file", "worm"),
                    ("witness", "osaka"),
                }
            named = {metric.name for metric in status.METRICS}
            assert {*receivers.sealing.numbers(), *receivers.sealing.counts()} <= named
            assert verified(ours, vkey).code == VERIFIED, "while it runs"
        report = verified(
            ours, vkey, witness_files=[tmp_path / "worm"], witness_keys=[keys.given(witness_vkey)]
        )
        assert (report.code, report.sealed) == (VERIFIED, 20)
        assert report.trusted.cosigned["osaka.example/witness"] >= 1

        # the intruder puts the older copy back, and the collector starts on it
        shutil.rmtree(ours.data)
        shutil.copytree(tmp_path / "older", ours.data)
        async with collecting(ours) as receivers:
            await send(ours, token, 3)
            told = {one.kind: one for one in receivers.sealing.told}
            await until(lambda: told["witness"].state.refused)
            await until(lambda: "seal.refused" in own_events(ours))
            assert "rolled back" in receivers.sealing.texts()["witness witness osaka"]
            assert any(c.value for c in receivers.sealing.counts()["witness_refused"])
            await send(ours, token, 3)  # receiving goes on
    assert "witness.refused" in own_events(theirs)


async def test_no_witness_within_reach_stops_nothing(tmp_path: Path) -> None:
    ours, vkey, token = installation(tmp_path / "tokyo")
    from sekisho.journal.note import COSIGNATURE, Signer

    nobody = Signer.new("nobody.example/w", COSIGNATURE).verifier.vkey
    seal = Seal(
        interval=1,
        files=(SealFile("gone", "/nonexistent/folder/file"),),
        witnesses=(SealWitness("nobody", f"http://127.0.0.1:{free_port()}/w", nobody),),
    )
    ours = msgspec.structs.replace(ours, seal=seal)
    async with collecting(ours) as receivers:
        await send(ours, token, 5)
        await until(lambda: receivers.sealing.numbers()["sealed_frames"] >= 5)
        await until(lambda: len(receivers.sealing.texts()) == 2)
        assert all(count.value for count in receivers.sealing.counts()["witness_failed"])
        assert not any(count.value for count in receivers.sealing.counts()["witness_refused"])
    assert verified(ours, vkey).code == VERIFIED


async def test_the_witness_needs_a_token_and_takes_no_large_body(tmp_path: Path) -> None:
    ours, vkey, token = installation(tmp_path / "osaka")
    ours = msgspec.structs.replace(ours, witness=Witness(logs=(WitnessLog(vkey),)))
    url = f"http://127.0.0.1:{ours.collect.http_port}/witness/add-checkpoint"
    async with collecting(ours), aiohttp.ClientSession() as session:
        async with session.post(url, data=b"old 0\n\n") as answer:
            assert answer.status == 401
        headers = {"Authorization": f"Bearer {token}"}
        async with session.post(url, data=b"old 0\n\n", headers=headers) as answer:
            assert answer.status == 400
        async with session.post(url, data=b"x" * 200_000, headers=headers) as answer:
            assert answer.status == 413


async def test_a_journal_that_cannot_be_sealed_is_an_event_and_goes_on(tmp_path: Path) -> None:
    ours, vkey, token = installation(tmp_path / "tokyo")
    async with collecting(ours):
        await send(ours, token, 3)
    (ours.secrets_dir / "seal.key").unlink()
    assert first_run.prepare(ours.data, time.time()).vkey is None, "a lost key is not replaced in silence"
    assert not (ours.secrets_dir / "seal.key").exists()
    async with collecting(ours) as receivers:
        await send(ours, token, 3)
        await until(lambda: "seal.failed" in own_events(ours))
        assert "private key is not there" in receivers.sealing.texts()["seal"]
        assert receivers.sealing.numbers()["seal_failed"] == 1
    assert verified(ours, vkey).sealed == 3


@pytest.mark.parametrize("name", ["", "exchange.example/sekisho-tokyo"])
def test_the_key_is_made_at_the_first_start_and_stays(tmp_path: Path, name: str) -> None:
    tmp_path.chmod(0o700)
    if name:
        (tmp_path / "sekisho.toml").write_text(f'[seal]\norigin = "{name}"\n')
    made = first_run.prepare(tmp_path, time.time())
    assert made.vkey
    assert made.vkey.startswith(name or f"{socket.gethostname()}/sekisho/")
    assert (tmp_path / "secrets" / "seal.key").stat().st_mode & 0o777 == 0o600
    assert keys.published(tmp_path / "sekisho.vkey").vkey == made.vkey
    assert first_run.prepare(tmp_path, time.time()).vkey is None
