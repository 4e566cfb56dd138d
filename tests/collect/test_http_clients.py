"""Real clients against the real receiver: what they sent is what was stored, once."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import splunk_handler  # type: ignore[import-untyped]
from elasticsearch import Elasticsearch, helpers
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from sekisho.collect.counters import Counters
from tests.collect.http_server import Receiver, receiver

COUNT = 2_000


def no_refusals(counters: Counters) -> None:
    assert not counters.refused, counters.refused


async def test_elasticsearch_bulk_helper(tmp_path: Path) -> None:
    def send(server: Receiver) -> tuple[int, list[dict[str, Any]]]:
        with Elasticsearch(server.url, api_key=("shipper", server.token), http_compress=True) as client:
            assert client.info()["version"]["number"]
            actions = ({"_index": "okta", "_source": {"n": n, "名": "関"}} for n in range(COUNT))
            done, errors = helpers.bulk(client, actions, raise_on_error=False)
            assert isinstance(errors, list)
            return done, errors

    async with receiver(tmp_path) as server:
        assert await asyncio.to_thread(send, server) == (COUNT, [])
        no_refusals(server.counters)
        assert {(r.source, r.receiver, r.wrapping, r.identity) for r in server.stored} == {
            ("okta", "bulk", "none", "shipper")
        }
    assert [json.loads(body) for body in server.bodies] == [{"n": n, "名": "関"} for n in range(COUNT)]


async def test_elasticsearch_reports_item_errors(tmp_path: Path) -> None:
    def send(server: Receiver) -> tuple[int, list[dict[str, Any]]]:
        with Elasticsearch(server.url, basic_auth=("any", server.token)) as client:
            actions: list[bytes | str | dict[str, Any]] = [
                {"_op_type": "create", "_index": "x", "_source": {"n": 1}},
                {"_op_type": "delete", "_index": "x", "_id": "1"},
                {"_op_type": "index", "_index": "x", "_source": {"n": "y" * 3000}},
                {"_op_type": "index", "_index": "x", "_source": {"n": 4}},
            ]
            done, errors = helpers.bulk(client, actions, raise_on_error=False)
            assert isinstance(errors, list)
            return done, errors

    async with receiver(tmp_path, max_record=2048) as server:
        done, errors = await asyncio.to_thread(send, server)
        assert done == 2
        found = {kind: item["status"] for error in errors for kind, item in dict(error).items()}
        assert found == {"delete": 400, "index": 400}  # any other status Logstash repeats for ever
        assert server.bodies == [b'{"n":1}', b'{"n":4}']
        assert server.counters.refused == {("bulk", "item"): 1, ("bulk", "record-too-large"): 1}


async def test_opentelemetry_sdk(tmp_path: Path) -> None:
    def send(server: Receiver) -> None:
        provider = LoggerProvider(
            resource=Resource.create({"service.name": "okta", "host.name": "h.example"})
        )
        exporter = OTLPLogExporter(
            endpoint=f"{server.url}/v1/logs",
            headers={"Authorization": f"Bearer {server.token}"},
            compression=Compression.Gzip,
        )
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
        handler = LoggingHandler(logger_provider=provider)
        logger = logging.Logger("tests.otlp")  # noqa: LOG001 - of this test alone
        logger.addHandler(handler)
        for n in range(COUNT):
            logger.warning("message %d", n, extra={"n": n, "flag": True, "ratio": 0.5})
        assert provider.force_flush()
        provider.shutdown()

    async with receiver(tmp_path) as server:
        await asyncio.to_thread(send, server)
        no_refusals(server.counters)
        assert {(r.source, r.receiver, r.wrapping) for r in server.stored} == {("okta", "otlp", "otlp")}
    found = [json.loads(body) for body in server.bodies]
    assert [one["logRecord"]["body"] for one in found] == [
        {"stringValue": f"message {n}"} for n in range(COUNT)
    ]
    first = found[0]
    attributes = {one["key"]: one["value"] for one in first["logRecord"]["attributes"]}
    assert attributes["n"] == {"intValue": "0"}
    assert attributes["flag"] == {"boolValue": True}
    assert attributes["ratio"] == {"doubleValue": 0.5}
    assert int(first["logRecord"]["timeUnixNano"]) > 0
    assert first["logRecord"]["severityNumber"] == 13
    assert {"key": "host.name", "value": {"stringValue": "h.example"}} in first["resource"]["attributes"]


async def test_splunk_handler(tmp_path: Path) -> None:
    def send(server: Receiver) -> None:
        handler = splunk_handler.SplunkHandler(
            host="127.0.0.1",
            port=server.port,
            token=server.token,
            index="main",
            hostname="h.example",
            protocol="http",
            sourcetype="OktaIM2:log",
            verify=False,
            flush_interval=0.1,
            queue_size=0,
        )
        logger = logging.Logger("tests.splunk")  # noqa: LOG001 - of this test alone
        logger.addHandler(handler)
        for n in range(COUNT):
            logger.warning("message }{ %d", n)
        handler.close()
        splunk_handler.instances.remove(handler)

    async with receiver(tmp_path) as server:
        await asyncio.to_thread(send, server)
        no_refusals(server.counters)
        assert {(r.source, r.receiver, r.wrapping) for r in server.stored} == {("okta", "hec", "hec")}
    events = [json.loads(body) for body in server.bodies]
    # the handler's timer and its closing may send two parts at once
    assert Counter(event["event"] for event in events) == Counter(f"message }}{{ {n}" for n in range(COUNT))
