"""Bad input and faults at the HTTP receiver, with raw sockets where a client would be too polite."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import logging
import ssl
import stat
import time
import zlib
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import zstandard
from aiohttp import web

from sekisho import settings
from sekisho.collect import guard
from sekisho.model import Refused
from tests.collect.http_server import Receiver, receiver
from tests.collect.syslog_keys import make_keys


async def ask(
    server: Receiver, method: str, path: str, data: bytes = b"", **headers: str
) -> tuple[int, Any, dict[str, str]]:
    sent = {"Authorization": f"Splunk {server.token}"} | {k.replace("_", "-"): v for k, v in headers.items()}
    async with (
        aiohttp.ClientSession() as client,
        client.request(method, server.url + path, data=data, headers=sent) as response,
    ):
        text = (await response.read()).decode(errors="replace")
        return (
            response.status,
            json.loads(text) if text[:1] in "{[" and text else text,
            dict(response.headers),
        )


async def raw(server: Receiver, *parts: bytes, pause: float = 0.0, half_close: bool = False) -> bytes:
    """Send the parts and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    answer = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        if half_close:
            writer.write_eof()
        async with asyncio.timeout(10):
            answer = await reader.read()
    except ConnectionError:
        pass
    finally:
        writer.close()
    return answer


async def test_wrong_token_is_refused_before_the_body(tmp_path: Path) -> None:
    async with receiver(tmp_path) as server:
        head = b"POST /services/collector HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head + b"Authorization: Splunk wrong\r\n\r\n")  # and not one byte of the body
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 401")
        assert b'"code": 4' in answer
        assert server.counters.refused == {("hec", "wrong-token"): 1}
        answer = await raw(server, head + b"Expect: 100-continue\r\nAuthorization: Splunk wrong\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 401")
        assert server.stored == []


async def test_ways_to_show_a_token(tmp_path: Path) -> None:
    async with receiver(tmp_path) as server:

        def b64(text: str) -> str:
            return base64.b64encode(text.encode()).decode()

        for header in (
            f"Splunk {server.token}",
            f"Bearer {server.token}",
            f"bearer {server.token}",
            f"ApiKey {b64('id:' + server.token)}",
            f"Basic {b64('any:' + server.token)}",
        ):
            assert (await ask(server, "POST", "/services/collector", b'{"event":1}', Authorization=header))[
                0
            ] == 200
        for header, code in (("Splunk", 3), ("Digest x", 3), ("Basic !", 3), ("Splunk wrong", 4)):
            status, said, _ = await ask(server, "POST", "/services/collector", b"x", Authorization=header)
            assert (status, said["code"]) == (401, code)


async def test_too_many_wrong_tokens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with receiver(tmp_path) as server:
        seen = [
            (await ask(server, "GET", "/", Authorization="Bearer guess-sesame"))[0]
            for _ in range(guard.FAILURES + 2)
        ]
        assert seen == [401] * guard.FAILURES + [429] * 2
        assert (await ask(server, "GET", "/"))[0] == 200  # a valid token from the same address
        await raw(server, b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Splunk sesame\x00\x01\r\n\r\n")
        assert server.counters.refused["http", "bad-http"] == 1
        assert "sesame" not in caplog.text
        assert server.token not in caplog.text


async def test_revoked_and_bound_tokens(tmp_path: Path) -> None:
    async with receiver(tmp_path) as server:
        bound = f"Bearer {server.bound}"
        assert (await ask(server, "POST", "/v1/ingest/auto", b"{}", Authorization=bound))[1][
            "source"
        ] == "okta"
        assert (await ask(server, "POST", "/v1/ingest/windows", b"{}", Authorization=bound))[0] == 403
        hec = b'{"event":1,"sourcetype":"aws:cloudtrail"}'
        await ask(server, "POST", "/services/collector", hec, Authorization=bound)
        assert [records.source for records in server.stored] == ["okta", "okta"]
        server.tokens.revoke("okta-only")
        assert (await ask(server, "POST", "/v1/ingest/auto", b"{}", Authorization=bound))[0] == 401


async def test_unknown_source_names_those_there_are(tmp_path: Path) -> None:
    async with receiver(tmp_path) as server:
        status, said, _ = await ask(server, "POST", "/v1/ingest/oktaa", b"{}")
        assert status == 400
        assert said["error"]["sources"] == ["auto", "cloudtrail", "okta", "windows"]


async def test_encodings_and_bombs(tmp_path: Path) -> None:
    body = b'{"event":"x"}\n' * 50
    raw_deflate = zlib.compressobj(wbits=-15)
    zeros = b"\0" * 20_000_000
    async with receiver(tmp_path, max_body=100_000) as server:
        for name, data in (
            ("gzip", gzip.compress(body[:350]) + gzip.compress(body[350:])),
            ("deflate", zlib.compress(body)),
            ("deflate", raw_deflate.compress(body) + raw_deflate.flush()),
            ("zstd", zstandard.compress(body[:14]) + zstandard.compress(body[14:])),
        ):
            assert (await ask(server, "POST", "/services/collector", data, Content_Encoding=name))[0] == 200
            assert len(server.stored.pop().bodies) == 50
        for name, data in (
            ("gzip", gzip.compress(zeros)),
            ("zstd", zstandard.compress(zeros)),
            ("identity", zeros),
        ):
            status, said, _ = await ask(server, "POST", "/v1/ingest/auto", data, Content_Encoding=name)
            assert status == 413
            assert "100000 bytes" in said["error"]["message"]
        for name, data in (
            ("gzip", gzip.compress(body)[:-9]),
            ("zstd", zstandard.compress(body)[:-3]),
            ("gzip", body),
        ):
            assert (await ask(server, "POST", "/services/collector", data, Content_Encoding=name))[0] == 400
        status, said, _ = await ask(server, "POST", "/v1/ingest/auto", body, Content_Encoding="br")
        assert (status, server.stored) == (415, [])
        assert "gzip" in said["error"]["remedy"]


async def test_slow_and_half_closed(tmp_path: Path) -> None:
    async with receiver(tmp_path, read_timeout=0.5) as server:
        began = time.perf_counter()
        assert (
            await raw(server, *[b"G", b"E", b"T", b" ", b"/"], pause=0.2) == b""
        )  # drop by drop, never whole
        head = b"POST /v1/ingest/auto HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n" + (
            f"Authorization: Bearer {server.token}\r\n\r\n".encode()
        )
        assert (await raw(server, head, b"abc\n")).startswith(b"HTTP/1.1 408")
        await raw(server, head, b"abc\n", half_close=True)
        assert time.perf_counter() - began < 10
        await asyncio.sleep(0.1)
        assert server.stored == []
        assert server.counters.refused == {("ndjson", "slow"): 1, ("ndjson", "half-closed"): 1}


async def test_a_full_journal_is_503_and_acknowledges_nothing(tmp_path: Path) -> None:
    async with receiver(tmp_path) as server:
        server.full = True
        for path in ("/services/collector", "/_bulk", "/v1/ingest/auto"):
            data = b'{"index":{}}\n{"event":1}\n' if path == "/_bulk" else b'{"event":1}'
            status, _, headers = await ask(server, "POST", path, data)
            assert (status, headers["Retry-After"]) == (503, "3")
        server.full, server.hold = False, asyncio.Event()
        task = asyncio.create_task(ask(server, "POST", "/services/collector?channel=c", b'{"event":1}'))
        await asyncio.sleep(0.2)
        assert not task.done()
        server.hold.set()
        _, said, _ = await task
        asked = json.dumps({"acks": [said["ackId"], said["ackId"] + 1]}).encode()
        _, acks, _ = await ask(server, "POST", "/services/collector/ack?channel=c", asked)
        assert acks == {"acks": {str(said["ackId"]): True, str(said["ackId"] + 1): False}}
    (tmp_path / "again").mkdir()
    async with receiver(tmp_path / "again") as server:  # as after a crash: what was acknowledged stays so
        _, acks, _ = await ask(server, "POST", "/services/collector/ack?channel=c", asked)
        assert acks["acks"][str(said["ackId"])] is True
        _, acks, _ = await ask(server, "POST", "/services/collector/ack?channel=c", b'{"acks":[0,7]}')
        assert acks == {"acks": {"0": False, "7": False}}


async def test_hec_malformed_and_oversized(tmp_path: Path) -> None:
    async with receiver(tmp_path, max_record=2000) as server:
        good, cut, deep = b'{"event":"ok"}', b'{"event":"cut', b'{"event":' + b"[" * 1500 + b"]" * 480
        status, said, _ = await ask(server, "POST", "/services/collector", good + cut + b"\n" + good)
        assert (status, said) == (200, {"text": "Invalid data format", "code": 6, "invalid-event-number": 1})
        assert server.bodies == [good, cut, good]
        for data, code in ((b"", 5), (b"\x00\xff", 6), (deep, 6), (b'{"time":1}', 12), (b'{"event":""}', 13)):
            status, said, _ = await ask(server, "POST", "/services/collector", data)
            assert (status, said["code"]) == (400, code)
        assert server.bodies[3:] == [b"\x00\xff", deep, b'{"time":1}', b'{"event":""}']
        server.stored.clear()
        status, said, _ = await ask(
            server, "POST", "/services/collector", good + b'{"event":"%s"}' % (b"x" * 3000)
        )
        assert (status, server.bodies) == (400, [good])  # 413 would be repeated by some
        assert said["invalid-event-number"] == 1
        assert server.counters.refused["hec", "record-too-large"] == 1
        assert "record 1" in said["text"]
        assert "2000" in said["text"]


async def test_otlp_json_and_malformed(tmp_path: Path) -> None:
    record = b'{ "body": {"stringValue":"x"}, "timeUnixNano": "1" }'
    request = (
        b'{"resourceLogs":[{"resource":{"attributes":[]},"scopeLogs":[{"logRecords":[' + record + b"]}]}]}"
    )
    async with receiver(tmp_path) as server:
        status, said, _ = await ask(server, "POST", "/v1/logs", request, Content_Type="application/json")
        assert (status, said) == (200, {})
        assert server.bodies == [b'{"resource":{"attributes":[]},"scope":{},"logRecord":' + record + b"}"]
        for kind in ("application/json", "application/x-protobuf"):
            status, _, headers = await ask(
                server, "POST", "/v1/logs", b"\xff\xff nonsense", Content_Type=kind
            )
            assert (status, headers["Content-Type"].split(";")[0]) == (400, kind)
        assert server.bodies[1:] == [b"\xff\xff nonsense"] * 2


async def test_connections_are_limited(tmp_path: Path) -> None:
    async with receiver(tmp_path, max_connections=2) as server:
        held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert (await raw(server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 503")
        for _, writer in held:
            writer.close()
        await asyncio.sleep(0.1)
        assert (await ask(server, "GET", "/"))[0] == 200


async def test_local_socket_needs_no_token(tmp_path: Path) -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    async with receiver(tmp_path, routes=[web.get("/local/hello", hello)]) as server:
        assert stat.S_IMODE(server.unix.stat().st_mode) == 0o600
        assert (await ask(server, "GET", "/local/hello"))[0] == 404
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(server.unix))) as client:
            async with client.get("http://local/local/hello") as response:
                assert await response.text() == "hello"
            async with client.post("http://local/v1/ingest/okta", data=b"{}") as response:
                assert response.status == 200
        assert (server.stored[0].identity, server.stored[0].peer) == ("local", "local")
    assert not server.unix.exists()


async def test_mutual_tls(tmp_path: Path) -> None:
    keys = make_keys(tmp_path)
    (tmp_path / "other").mkdir()
    other = make_keys(tmp_path / "other")
    tls = settings.Tls(str(keys.server), str(keys.server_key), str(keys.ca))
    async with receiver(tmp_path, tls=tls) as server:
        for certificate, key, wanted in (
            (keys.client, keys.client_key, 200),
            (None, None, 401),
            (other.client, other.client_key, 0),
        ):
            context = ssl.create_default_context(cafile=str(keys.ca))
            if certificate is not None and key is not None:
                context.load_cert_chain(certificate, key)
            status = 0
            async with aiohttp.ClientSession() as client:
                try:
                    url = f"https://127.0.0.1:{server.port}/v1/ingest/auto"
                    async with client.post(url, data=b"{}", ssl=context) as response:
                        status = response.status
                except aiohttp.ClientError:
                    status = 0
            assert status == wanted
        assert [records.identity for records in server.stored] == ["shipper-01.example.jp"]


def test_files_that_do_not_fit_are_named() -> None:
    from sekisho.collect import http

    with pytest.raises(Refused, match=r"nowhere\.pem"):
        http.tls_context(settings.Tls("nowhere.pem", "nowhere.key"))


async def test_what_shippers_ask_before_they_send(tmp_path: Path) -> None:
    async with receiver(tmp_path) as server:
        for method, path in (
            ("GET", "/"),
            ("HEAD", "/"),
            ("GET", "/_license?human=false"),
            ("GET", "/_xpack"),
            ("GET", "/_cat/health"),
            ("GET", "/_cluster/health"),
            ("GET", "/_ilm/policy/filebeat"),
            ("PUT", "/_ilm/policy/filebeat"),
            ("HEAD", "/_index_template/winlogbeat-9.1.0"),
            ("PUT", "/_index_template/winlogbeat-9.1.0"),
            ("GET", "/_data_stream/filebeat-9.1.0"),
            ("PUT", "/_data_stream/filebeat-9.1.0"),
            ("PUT", "/_ingest/pipeline/filebeat-x"),
        ):
            status, _, headers = await ask(server, method, path, b"{}" if method == "PUT" else b"")
            assert (status, headers["X-Elastic-Product"]) == (200, "Elasticsearch"), path
        for index, label in (
            ("okta-2026.05.14", "okta"),
            ("logs-okta-default", "okta"),
            ("filebeat-9.1.0", "auto"),
        ):
            body = b'{"create":{"_index":"%s"}}\n{"a":1}\n' % index.encode()
            assert (await ask(server, "POST", "/_bulk", body))[1]["errors"] is False
            assert server.stored[-1].source == label
        status, _, headers = await ask(server, "POST", "/_bulk", Authorization="Bearer x")
        assert (status, headers["X-Elastic-Product"]) == (401, "Elasticsearch")
