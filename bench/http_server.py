"""Which HTTP server takes log batches fastest: aiohttp against uvicorn (ASGI), in one run.

    python -m bench.http_server

A second process posts bodies of 500 records (about 330 kB) over 8 kept-alive connections for some
seconds; the server reads the body whole, counts the lines and answers. One core each (this machine's
scheduler decides). Printed: requests and records per second, and the server's resident memory.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import sys
import time
from collections.abc import Callable

import aiohttp
import uvicorn
from aiohttp import web

BODY = b"\n".join(b'{"event":"' + b"x" * 640 + b'"}' for _ in range(500))
SECONDS = 6.0
CONNECTIONS = 8


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def serve_aiohttp(port: int) -> None:
    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        return web.json_response({"lines": body.count(b"\n") + 1})

    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/", take)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


def serve_uvicorn(port: int) -> None:
    async def app(scope, receive, send):  # type: ignore[no-untyped-def]
        if scope["type"] != "http":
            return
        parts = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        lines = b"".join(parts).count(b"\n") + 1
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"lines": %d}' % lines})

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False, http="httptools")


async def load(port: int) -> int:
    url = f"http://127.0.0.1:{port}/"
    done = 0
    async with aiohttp.ClientSession() as session:
        for _ in range(100):
            try:
                async with session.post(url, data=b"ready"):
                    break
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
        end = time.perf_counter() + SECONDS

        async def one() -> None:
            nonlocal done
            while time.perf_counter() < end:
                async with session.post(url, data=BODY) as answer:
                    assert (await answer.json())["lines"] == 500
                done += 1

        await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return done


def measure(name: str, serve: Callable[[int], None]) -> None:
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(port,), daemon=True)
    process.start()
    done = asyncio.run(load(port))
    with open(f"/proc/{process.pid}/statm") as file:
        resident = int(file.read().split()[1]) * 4096
    process.terminate()
    process.join()
    print(
        f"{name:<10} {done / SECONDS:8,.0f} requests/s {done * 500 / SECONDS:12,.0f} records/s"
        f" {done * len(BODY) / SECONDS / 1e6:8,.0f} MB/s {resident / 1e6:6,.0f} MB resident"
    )


def main() -> int:
    for _ in range(2):
        measure("aiohttp", serve_aiohttp)
        measure("uvicorn", serve_uvicorn)
    return 0


if __name__ == "__main__":
    sys.exit(main())
