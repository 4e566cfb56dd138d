"""The archive against a second, independent S3 server: versitygw over a folder (built with Go)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import boto3
import pytest

from sekisho import settings
from sekisho.keeping.archive import Archive, Throttle, Wanted, restore
from sekisho.keeping.archive import s3 as s3_module
from sekisho.keeping.archive.s3 import S3
from sekisho.keeping.catalogue import Catalogue
from sekisho.wiring import now
from tests.keeping.conftest import KEY, NOW_NS
from tests.keeping.journals import DAY, bytes_of, write

pytestmark = pytest.mark.slow
MODULE = "github.com/versity/versitygw/cmd/versitygw@latest"


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if ready := shutil.which("versitygw"):
        return Path(ready)
    if shutil.which("go") is None:
        pytest.skip("neither versitygw nor go is on the PATH")
    folder = tmp_path_factory.mktemp("go")
    done = subprocess.run(
        ["go", "install", MODULE],
        env={**os.environ, "GOBIN": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    if done.returncode:
        pytest.skip(f"versitygw could not be built: {done.stderr[-500:]}")
    return folder / "versitygw"


@pytest.fixture
def url(gateway: Path, tmp_path: Path) -> Iterator[str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    store, versions = tmp_path / "store", tmp_path / "versions"
    store.mkdir()
    versions.mkdir()
    process = subprocess.Popen(
        [
            str(gateway),
            "--port",
            f"127.0.0.1:{port}",
            "--access",
            KEY.key,
            "--secret",
            KEY.secret,
            "posix",
            "--versioning-dir",
            str(versions),
            str(store),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            with socket.socket() as sock:
                if not sock.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def test_locked_segments_go_in_parts_and_come_back(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_module, "PART", 5 << 20)
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=KEY.key,
        aws_secret_access_key=KEY.secret,
    )
    client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    journal = tmp_path / "journal"
    write(journal, [(n * DAY, "okta") for n in range(1, 12)], segment_bytes=12 << 20, size=1 << 20)
    options = settings.Archive(bucket="locked", endpoint=url, lock_mode="COMPLIANCE", lock_days=2)
    with Catalogue(tmp_path / "keeping") as known:
        archive = Archive(S3(options, KEY, Throttle(0), now), known, lambda: NOW_NS)
        assert archive.run(journal, 1 << 62).segments == 2
        assert [found.fault for found in archive.verify(deep=True)] == ["", ""]
        first = "sekisho/journal/0000000000000000.seg"
        head = client.head_object(Bucket="locked", Key=first, ChecksumMode="ENABLED")
        assert head["ObjectLockMode"] == "COMPLIANCE"
        assert head["ObjectLockRetainUntilDate"] > now() + timedelta(days=1)
        with pytest.raises(client.exceptions.ClientError, match=r"AccessDenied|locked|WORM|InvalidRequest"):
            client.delete_object(Bucket="locked", Key=first, VersionId=head["VersionId"])
        client.put_object(Bucket="locked", Key=first, Body=b"forged")
        done = restore(archive, None, tmp_path / "back", Wanted(), dry=False, now_ns=lambda: 0)
        assert done.faults == ()
        whole = bytes_of(journal)
        assert bytes_of(tmp_path / "back") == {name: whole[name] for name in sorted(whole)[:2]}
