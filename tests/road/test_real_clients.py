"""Real clients, 10,000 events each, with the receiver killed midway: none lost, none doubled.

The collecting process is ended with ``kill -9`` while a request is under way; the supervisor starts it again.
What was acknowledged is stored, what was not is sent again by the client, and what was stored without its
acknowledgement having arrived comes twice and is folded.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import splunk_handler  # type: ignore[import-untyped]
from bench.platform import Platform
from bench.shapes import records
from elasticsearch import Elasticsearch, helpers
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

pytestmark = pytest.mark.slow
COUNT = 10_000


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("clients") / "data") as running:
        yield running


def bodies(source: str) -> list[str]:
    return [body.decode() for body in records(source, COUNT)]


class Killer:
    """Ends the collecting process once, while requests are under way: as soon as the journal has grown,
    so that the batch is likely stored and its acknowledgement lost."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._thread = threading.Thread(target=self._strike)
        self.killed = 0

    def soon(self) -> None:
        """From the sender's thread, at half time."""
        self._thread.start()

    def _strike(self) -> None:
        pid = self._platform.pid("collect")
        size = self._size()
        while self._size() == size:
            time.sleep(0.0002)
        os.kill(pid, signal.SIGKILL)
        self.killed = pid

    def _size(self) -> int:
        return sum(path.stat().st_size for path in (self._platform.data / "journal").glob("*.seg"))

    def wait(self) -> None:
        self._thread.join()
        assert self.killed
        self._platform.wait_restarted("collect", self.killed)


def check(platform: Platform, source: str, number: str) -> None:
    """Exactly ``COUNT`` distinct events; ``number``: SQL for what makes each unique."""
    platform.until(
        lambda: (
            platform.sql(f"SELECT count(*) AS n FROM events WHERE source = '{source}'")[0]["n"] >= COUNT
            and not platform.status()["backlog"]
        ),
        60,
        f"{COUNT} events of {source}; {platform.status()}",
    )
    (row,) = platform.sql(
        f"SELECT count(*) AS events, count(DISTINCT {number}) AS distinct_numbers,"
        f" count(DISTINCT event_uid) AS uids FROM events WHERE source = '{source}'"
    )
    status = platform.status()
    print(f"\n{source}: {row}, folded in all {status['duplicates']}")
    assert row == {"events": COUNT, "distinct_numbers": COUNT, "uids": COUNT}
    assert status["rejects"] == 0
    assert not status["dropped"]


def test_elasticsearch_bulk_helper(platform: Platform) -> None:
    """``helpers.bulk``. By default the client retries a broken connection at once and thrice, which a
    restart of a second outlasts, and raises; so its own settings for pauses between retries are used
    (``max_retries``, ``retry_backoff_base``, ``retry_backoff_cap``), and those of the helper for 503.
    """
    killer = Killer(platform)

    def actions() -> Iterator[dict[str, object]]:
        for number, body in enumerate(bodies("okta")):
            if number == COUNT // 2:
                killer.soon()
            yield {"_index": "okta", "_source": body}

    with Elasticsearch(
        platform.url,
        api_key=("shipper", platform.token),
        http_compress=True,
        max_retries=20,
        retry_on_timeout=True,
        retry_backoff_base=0.2,
        retry_backoff_cap=2,
    ) as client:
        done, errors = helpers.bulk(
            client, actions(), max_retries=10, initial_backoff=0.5, retry_on_status=(429, 503)
        )
    assert (done, errors) == (COUNT, [])
    killer.wait()
    check(platform, "okta", "metadata_uid")


def test_opentelemetry_sdk(platform: Platform) -> None:
    """The OTLP exporter repeats by itself what a broken connection took (1, 2, 4 ... s, within its timeout).

    The SDK's queue holds 2,048 records and drops what comes on top, connection or not; whoever writes in
    bursts raises it (``OTEL_BLRP_MAX_QUEUE_SIZE``), likewise the timeout (``OTEL_EXPORTER_OTLP_TIMEOUT``,
    10 s) to what a restart may take.
    """
    killer = Killer(platform)
    provider = LoggerProvider(resource=Resource.create({"service.name": "cloudtrail"}))
    exporter = OTLPLogExporter(
        endpoint=f"{platform.url}/v1/logs",
        headers={"Authorization": f"Bearer {platform.token}"},
        compression=Compression.Gzip,
        timeout=60,
    )
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_queue_size=2 * COUNT))
    logger = logging.Logger("tests.road.otlp")  # noqa: LOG001 - of this test alone
    logger.addHandler(LoggingHandler(logger_provider=provider))
    for number, body in enumerate(bodies("cloudtrail")):
        if number == COUNT // 2:
            killer.soon()
        logger.warning(body)
    assert provider.force_flush(120_000)
    provider.shutdown()
    killer.wait()
    check(platform, "cloudtrail", "metadata_uid")


def test_splunk_handler(platform: Platform) -> None:
    """splunk_handler over HEC. It repeats what a broken connection took (``retry_count`` times, each pause
    twice the one before, from ``retry_backoff``); after that it drops the batch with a line on standard
    output, and above ``queue_size`` (5,000) it drops new records: 0 is no limit. ``wait_until_empty``
    before ``close``: its ``close`` sends in the caller's thread beside its own.
    """
    killer = Killer(platform)
    handler = splunk_handler.SplunkHandler(
        host="127.0.0.1",
        port=platform.http_port,
        token=platform.token,
        index="main",
        hostname="tyo-app-01.example.jp",
        protocol="http",
        source="app",
        sourcetype="windows",
        verify=False,
        flush_interval=0.1,
        queue_size=0,
        retry_count=8,
        retry_backoff=0.5,
    )
    logger = logging.Logger("tests.road.splunk")  # noqa: LOG001 - of this test alone
    logger.addHandler(handler)
    for number, body in enumerate(bodies("windows")):
        if number == COUNT // 2:
            killer.soon()
        logger.warning(body)
    handler.wait_until_empty()
    handler.close()
    splunk_handler.instances.remove(handler)
    killer.wait()
    check(platform, "windows", "metadata_sequence")
