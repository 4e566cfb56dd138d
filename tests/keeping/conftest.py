"""A real S3-compatible server (moto's, over HTTP on loopback) for the tests of the archive."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from moto.server import ThreadedMotoServer

from sekisho import settings
from sekisho.keeping.archive import Archive, Throttle
from sekisho.keeping.archive.s3 import S3, Credentials
from sekisho.keeping.catalogue import Catalogue
from tests.keeping.bad_proxy import BadProxy

KEY = Credentials("test-key", "test-secret", None)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 1_000_000_000


class Store(NamedTuple):
    """``client``: boto3's, straight to the server."""

    port: int
    client: Any


@pytest.fixture(scope="session")
def server() -> Iterator[int]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    _, port = moto.get_host_and_port()
    yield port
    moto.stop()


@pytest.fixture
def store(server: int) -> Store:
    """The server, emptied, with two buckets: ``plain`` and ``locked`` (Object Lock)."""
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{server}",
        region_name="us-east-1",
        aws_access_key_id=KEY.key,
        aws_secret_access_key=KEY.secret,
    )
    import urllib.request

    urllib.request.urlopen(
        urllib.request.Request(f"http://127.0.0.1:{server}/moto-api/reset", method="POST")
    ).read()
    client.create_bucket(Bucket="plain")
    client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    return Store(server, client)


@pytest.fixture
def proxy(store: Store) -> Iterator[BadProxy]:
    with BadProxy(store.port) as between:
        yield between


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with Catalogue(tmp_path / "keeping") as opened:
        yield opened


Opened = Callable[..., Archive]


@pytest.fixture
def s3(proxy: BadProxy, catalogue: Catalogue) -> Opened:
    """An archive behind the spoiling proxy; pauses are not waited for."""

    def make(bucket: str = "locked", **words: Any) -> Archive:
        options = settings.Archive(bucket=bucket, endpoint=proxy.url, **words)
        place = S3(options, KEY, Throttle(0), lambda: NOW, sleep=lambda _: None, patience=0.5)
        return Archive(place, catalogue, lambda: NOW_NS, sleep=lambda _: None)

    return make
