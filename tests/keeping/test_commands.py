"""The commands as a person calls them, on a stopped and on a running installation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bench.platform import Platform

from sekisho.journal import JournalReader
from sekisho.keeping.archive.s3 import Credentials
from sekisho.lake import Lake
from sekisho.model import Refused
from sekisho.settings import Archive, load
from sekisho.wiring import keeper, now
from sekisho.wiring.keeping import credentials
from tests.keeping import installation
from tests.keeping.conftest import KEY, Store
from tests.keeping.installation import sekisho
from tests.keeping.journals import DAY, bytes_of, write

pytestmark = pytest.mark.slow


def old_installation(folder: Path) -> Path:
    """Sixty days of a batch each half day, read by the pipeline; the newest of today."""
    data = installation.make(folder, 0)
    today = int(datetime.now(UTC).timestamp()) * 1_000_000_000
    batches = [(today - age * DAY // 2, "syslog") for age in range(2 * 60, 0, -1)]
    write(data / "journal", batches)
    (folder / "last.json").write_bytes(installation.okta(3))
    sekisho(data, "ingest", str(folder / "last.json"), "--source", "okta")
    return data


def keep(data: Path, text: str) -> None:
    base = "[collect]\nsegment_bytes = 4096\nmin_free = 0\n"
    (data / "sekisho.toml").write_text(f"{base}\n{text}")


def audited(data: Path) -> list[str]:
    said = sekisho(data, "search", "source:sekisho", "--limit", "0", "--json", "--order", "oldest")
    return [str(json.loads(line)["message"]) for line in said.splitlines() if line.startswith("{")]


def test_a_shorter_period_waits_for_a_person_and_is_journaled(tmp_path: Path) -> None:
    data = old_installation(tmp_path)
    assert "goes" not in sekisho(data, "retention", "show")
    keep(data, "[keep]\nhot_days = 30\njournal_years = 0.1\n")
    shown = sekisho(data, "retention", "run", "--dry-run", code=3)
    assert "waits for confirmation" in shown
    before = bytes_of(data / "journal")
    sekisho(data, "retention", "run", code=3)
    assert bytes_of(data / "journal") == before
    said = json.loads(sekisho(data, "retention", "run", "--yes", "--json"))
    assert said["segments"] > 3
    assert len(bytes_of(data / "journal")) < len(before)
    sekisho(data, "ingest", str(tmp_path / "last.json"), "--source", "okta")  # takes the record along
    (message,) = [text for text in audited(data) if "retention deletes" in text]
    assert "hot_days=30 journal_years=0.1 (confirmed by a person)" in message
    gone = sorted(set(before) - set(bytes_of(data / "journal")))
    assert all(name in message for name in gone)
    status = json.loads(sekisho(data, "status", "--json", code=1))
    assert status["keeping"]["segments"] == said["segments"]


def test_a_hold_by_commands(tmp_path: Path) -> None:
    data = old_installation(tmp_path)
    keep(data, "[keep]\nhot_days = 30\njournal_years = 0.1\n")
    begin = (datetime.now(UTC) - timedelta(days=50)).strftime("%Y-%m-%d")
    words = ["--source", "syslog", "--from", begin, "--why", "theft"]
    assert "is held" in sekisho(data, "hold", "add", "CASE-1", *words)
    assert "held already" in sekisho(data, "hold", "add", "CASE-1", *words, code=1)
    assert "say what is held" in sekisho(data, "hold", "add", "CASE-2", "--why", "x", code=1)
    assert "column" in sekisho(data, "hold", "add", "CASE-2", "--query", "usr:x", "--why", "x", code=1)
    before = len(bytes_of(data / "journal"))
    shown = sekisho(data, "retention", "run", "--yes", code=3)
    assert "held for the case CASE-1" in shown
    kept = bytes_of(data / "journal")
    assert 3 < len(kept) < before
    assert "theft" in sekisho(data, "hold", "list")
    assert "is not held" in sekisho(data, "hold", "release", "CASE-9", "--why", "x", code=1)
    sekisho(data, "hold", "release", "CASE-1", "--why", "closed")
    sekisho(data, "retention", "run", "--yes")
    assert len(bytes_of(data / "journal")) < len(kept)
    assert json.loads(sekisho(data, "hold", "list", "--json")) == []
    assert "closed" in sekisho(data, "hold", "list", "--released")
    sekisho(data, "ingest", str(tmp_path / "last.json"), "--source", "okta")
    told = audited(data)
    assert any("legal hold CASE-1: source syslog" in text for text in told)
    assert any("released; why: closed" in text for text in told)


def test_archive_and_restore_by_commands(tmp_path: Path, store: Store) -> None:
    data = old_installation(tmp_path)
    secret = tmp_path / "s3-credentials"
    secret.write_text(f"[default]\naws_access_key_id = {KEY.key}\naws_secret_access_key = {KEY.secret}\n")
    keep(
        data,
        f'[keep]\njournal_years = 0.1\n[keep.archive]\nbucket = "locked"\nlock_days = 30\n'
        f'endpoint = "http://127.0.0.1:{store.port}"\ncredentials_file = "{secret}"\n',
    )
    secret.chmod(0o644)
    assert "others may read" in sekisho(data, "archive", "run", code=1)
    secret.chmod(0o600)
    assert "would go" in sekisho(data, "archive", "run", "--dry-run")
    before = bytes_of(data / "journal")
    assert "not in the archive yet" in sekisho(data, "retention", "run", "--yes", code=3)
    assert "archived" in sekisho(data, "archive", "run")
    assert "as they should be" in sekisho(data, "archive", "verify")
    sekisho(data, "retention", "run", "--yes")
    after = bytes_of(data / "journal")
    assert len(after) < len(before)
    rows = [json.loads(line) for line in sekisho(data, "archive", "list", "--json").splitlines()]
    away = [row for row in rows if not row["here"]]
    assert len(away) == len(before) - len(after)
    frames = ["--from", str(away[0]["first"]), "--to", str(away[0]["first"])]
    assert "would come back" in sekisho(data, "restore", *frames, "--dry-run")
    assert bytes_of(data / "journal") == after
    sekisho(data, "restore", *frames)
    assert JournalReader(data / "journal").frame(away[0]["first"]) is not None
    sekisho(data, "restore", "--into", str(tmp_path / "evidence"))
    back = bytes_of(tmp_path / "evidence")
    assert all(before[name] == back[name] for name in set(before) - set(after))
    day = datetime.fromisoformat(away[0]["from"])
    span = f"{day - timedelta(days=1):%Y-%m-%d}..{day + timedelta(days=1):%Y-%m-%d}"
    assert "would come back" in sekisho(data, "restore", "--days", span, "--dry-run")
    sekisho(data, "retention", "run", "--yes")
    assert JournalReader(data / "journal").frame(away[0]["first"]) is not None, "restored: it stays 30 days"


def test_a_running_platform_retains_and_is_backed_up(tmp_path: Path) -> None:
    data = old_installation(tmp_path)
    (tmp_path / "passphrase").write_text(installation.PASSPHRASE)
    extra = "[keep]\nhot_days = 30\njournal_years = 0.1\n"
    with Platform(data, extra, "segment_bytes = 4096") as platform:
        before = len(bytes_of(data / "journal"))
        platform.wait_for(1, 60)
        said = json.loads(platform.run("retention", "run", "--yes", "--json"))
        assert said["error"] == ""
        assert said["segments"] > 3
        assert len(bytes_of(data / "journal")) < before + 2
        sender = subprocess.Popen(
            [sys.executable, "-c", _SENDER, platform.url, platform.token],
            stdout=subprocess.PIPE,
        )
        try:
            passphrase = ["--passphrase-file", str(tmp_path / "passphrase")]
            time.sleep(2)
            for _ in range(2):
                platform.run("backup", "make", str(tmp_path / "backup"), *passphrase)
            report = platform.run("backup", "drill", str(tmp_path / "backup"), *passphrase)
            assert "PASSED" in report
            report = platform.run("backup", "drill", str(tmp_path / "backup"), *passphrase, "--rebuild")
            assert "PASSED" in report
        finally:
            sender.kill()
            sender.wait()
        assert any("retention deletes" in text for text in audited(data))


def test_the_daily_work_archives_and_says_what_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = old_installation(tmp_path)
    mount = tmp_path / "mount"
    mount.mkdir()
    keep(data, f'[keep.archive]\nfolder = "{mount}"\n')
    monkeypatch.setattr(keeper, "FIRST_SECONDS", 0.0)
    settings = load(data)
    with Lake(settings.lake_dir, settings.lake, now=now) as lake:
        daily = keeper.Keeper(settings, lake)
        try:
            Platform.until(lambda: keeper.last_run(settings), 60, "the first run")
        finally:
            daily.close()
    ran = keeper.last_run(settings)
    assert ran is not None
    assert (ran.error, ran.waiting) == ("", [])
    assert len(list(mount.glob("journal/*.seg"))) == len(bytes_of(data / "journal")) - 1
    assert keeper.numbers(settings)["retention_failed"] == 0.0
    shown = json.loads(sekisho(data, "retention", "show", "--json"))
    assert {row["source"]: row["events"] for row in shown["sources"]}["okta"] == 3
    (data / "keeping" / "holds.json").write_text("{")
    monkeypatch.setattr(keeper, "EVERY_SECONDS", 0.0)
    with Lake(settings.lake_dir, settings.lake, now=now) as lake:
        daily = keeper.Keeper(settings, lake)
        try:
            Platform.until(lambda: keeper.numbers(settings)["retention_failed"], 60, "a failure that is told")
        finally:
            daily.close()
    assert "nothing is deleted" in sekisho(data, "status", code=1)


_SENDER = """
import sys, json, http.client, itertools
from urllib.parse import urlsplit
url, token = sys.argv[1:]
connection = http.client.HTTPConnection(urlsplit(url).netloc)
for number in itertools.count():
    body = "".join(f"<86>1 2026-05-14T00:00:00Z host-{n} app - - - {number} {n}\\n" for n in range(50))
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    connection.request("POST", "/v1/ingest/syslog", body, headers)
    connection.getresponse().read()
"""


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own in memory; needs root."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sekisho.keeping import durably
    from sekisho.keeping.archive import Archive as Opened
    from sekisho.keeping.archive import Folder, Throttle, Wanted, restore
    from sekisho.keeping.catalogue import Catalogue

    journal = tmp_path / "journal"
    write(journal, [(n * DAY, "okta") for n in range(1, 30)], segment_bytes=1 << 20, size=100_000)
    with Catalogue(tmp_path / "keeping") as known, small_disk(tmp_path / "disk", "4m") as disk:
        archive = Opened(Folder(disk, Throttle(0)), known, lambda: 0)
        with pytest.raises(Refused, match="are free"):
            archive.run(journal, 1 << 62)
        monkeypatch.setattr(durably, "SPARE", 0)
        monkeypatch.setattr(durably, "room", lambda *_: None)
        with pytest.raises(Refused, match="the disk is full; nothing half-written"):
            archive.run(journal, 1 << 62)
        names = [path.name for path in disk.rglob("*") if path.is_file()]
        assert names
        assert not [name for name in names if name.startswith(".draft")]
        good = [found for found in archive.verify(deep=True) if not found.fault]
        assert good, "what is described is whole"
        monkeypatch.undo()
    mount = tmp_path / "mount"
    mount.mkdir()
    with Catalogue(tmp_path / "keeping-2") as known, small_disk(tmp_path / "disk-2", "3m") as disk:
        archive = Opened(Folder(mount, Throttle(0)), known, lambda: 0)
        archive.run(journal, 1 << 62)
        into = disk / "back"
        with pytest.raises(Refused, match="are free"):
            restore(archive, None, into, Wanted(), dry=False, now_ns=lambda: 0)
        assert not into.exists()
        monkeypatch.setattr(durably, "room", lambda *_: None)
        with pytest.raises(Refused, match="the disk is full"):
            restore(archive, None, into, Wanted(), dry=False, now_ns=lambda: 0)
        whole = bytes_of(journal)
        assert all(whole[name] == data for name, data in bytes_of(into).items())
        assert not list(into.glob(".draft*"))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")
def test_a_backup_onto_a_small_disk_and_back_is_refused_before_it_begins(tmp_path: Path) -> None:
    data = installation.make(tmp_path, 200)
    (tmp_path / "passphrase").write_text(installation.PASSPHRASE)
    words = ["--passphrase-file", str(tmp_path / "passphrase")]
    with small_disk(tmp_path / "disk", "1m") as disk:
        said = sekisho(data, "backup", "make", str(disk / "b"), *words, code=1)
        assert "are free" in said
        assert not list(disk.rglob("*.draft*")) + list((disk / "b").glob("backups/*"))
        sekisho(data, "backup", "make", str(tmp_path / "b"), *words)
        words += ["--into", str(disk / "n")]
        said = sekisho(data, "backup", "restore", str(tmp_path / "b"), *words, code=1)
        assert "are free" in said
        assert not (disk / "n").exists()
        assert not (disk / "n.partial").exists()


def test_credentials_come_from_a_private_file_or_the_environment(tmp_path: Path) -> None:
    there = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    assert credentials(Archive(bucket="b"), lambda name: there.get(name)) == Credentials("k", "s", None)
    with pytest.raises(Refused, match="no credentials"):
        credentials(Archive(bucket="b"), lambda _: None)
    path = tmp_path / "file"
    path.write_text("nonsense")
    path.chmod(0o600)
    with pytest.raises(Refused, match="not readable as credentials") as refused:
        credentials(Archive(bucket="b", credentials_file=str(path)), lambda _: None)
    assert "nonsense" not in str(refused.value)
