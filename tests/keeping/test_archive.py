"""Segments in an archive: a real S3 server behind a proxy that spoils requests, and a folder."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from sekisho import settings
from sekisho.journal import JournalReader
from sekisho.keeping.archive import Archive, Folder, Throttle, Wanted, restore
from sekisho.keeping.archive import s3 as s3_module
from sekisho.keeping.archive.s3 import S3
from sekisho.keeping.catalogue import Catalogue
from sekisho.model import Refused, Retry
from tests.keeping.bad_proxy import BadProxy
from tests.keeping.conftest import KEY, NOW, NOW_NS, Opened, Store
from tests.keeping.journals import bytes_of, days, write

EVER = 1 << 62


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    folder = tmp_path / "journal"
    write(folder, days(10))
    for path in folder.glob("*.seg"):
        path.with_suffix(".leaf").write_bytes(path.name.encode() * 3)
    (folder / "checkpoints").write_bytes(b"first checkpoint\n")
    return folder


def finished(journal: Path) -> list[str]:
    return sorted(bytes_of(journal))[:-1]


def _restore(archive: Archive, into: Path, catalogue: Catalogue | None = None) -> tuple[str, ...]:
    done = restore(archive, catalogue, into, Wanted(), dry=False, now_ns=lambda: NOW_NS)
    return done.faults


def test_all_finished_segments_go_and_come_back_byte_for_byte(
    s3: Opened, journal: Path, tmp_path: Path, store: Store
) -> None:
    archive = s3(lock_mode="COMPLIANCE", lock_days=30)
    done = archive.run(journal, EVER)
    assert done.segments == len(finished(journal)) > 3
    assert done.problems == ()
    assert archive.run(journal, EVER).segments == 0
    head = store.client.head_object(Bucket="locked", Key=f"sekisho/journal/{finished(journal)[0]}")
    assert head["ObjectLockMode"] == "COMPLIANCE"
    assert abs(head["ObjectLockRetainUntilDate"] - NOW - timedelta(days=30)) < timedelta(minutes=1)
    assert [found.fault for found in archive.verify(deep=True)] == [""] * done.segments
    into = tmp_path / "back"
    assert _restore(archive, into) == ()
    before = bytes_of(journal)
    assert bytes_of(into) == {name: before[name] for name in finished(journal)}
    assert (into / finished(journal)[0]).with_suffix(".leaf").read_bytes()


def test_only_what_is_sealed_goes(s3: Opened, journal: Path) -> None:
    archive = s3("plain")
    second = int(Path(finished(journal)[1]).stem)
    assert [path.name for path in archive.waiting(journal, second)] == finished(journal)[:1]
    assert archive.waiting(journal, second - 1) == []


def test_a_reader_sees_what_came_back(s3: Opened, journal: Path, catalogue: Catalogue) -> None:
    archive = s3("plain")
    archive.run(journal, EVER)
    gone = journal / finished(journal)[1]
    frame = int(gone.stem)
    whole = JournalReader(journal).frame(frame)
    gone.unlink()
    assert JournalReader(journal).frame(frame) is None
    assert _restore(archive, journal, catalogue) == ()
    assert JournalReader(journal).frame(frame) == whole
    known = catalogue.segment(frame)
    assert known is not None
    assert known.restored_at == NOW_NS


@pytest.mark.parametrize("fault", ["500", "cut", "hang", "short"])
def test_many_requests_fail_and_nothing_is_lost(
    s3: Opened, proxy: BadProxy, journal: Path, tmp_path: Path, fault: str
) -> None:
    archive = s3("plain")
    every = 9 if fault == "hang" else 3
    proxy.fault = lambda _m, _p, number: fault if number % every == 0 else ""
    assert archive.run(journal, EVER).segments == len(finished(journal))
    assert sum(bool(seen[2]) for seen in proxy.seen) > 3
    assert _restore(archive, tmp_path / "back") == ()
    assert set(bytes_of(tmp_path / "back")) == set(finished(journal))


def test_bytes_that_change_on_the_way_do_not_count(s3: Opened, proxy: BadProxy, journal: Path) -> None:
    archive = s3("plain")
    proxy.fault = lambda method, _p, _n: "flip" if method == "PUT" else ""
    with pytest.raises(Retry, match=r"other bytes|other|checksum|BadDigest|failed"):
        archive.run(journal, EVER)
    assert not archive.holds(0, deep=False)
    proxy.fault = lambda *_: ""
    assert archive.run(journal, EVER).segments == len(finished(journal))
    assert archive.holds(0, deep=True)


def test_bytes_that_change_on_the_way_back_are_not_restored(
    s3: Opened, proxy: BadProxy, journal: Path, tmp_path: Path
) -> None:
    archive = s3("plain")
    archive.run(journal, EVER)
    proxy.fault = lambda method, path, _n: "flip-answer" if method == "GET" and ".seg" in path else ""
    faults = _restore(archive, tmp_path / "back")
    assert len(faults) == len(finished(journal))
    assert "its bytes have SHA-256" in faults[0]
    assert bytes_of(tmp_path / "back") == {}
    assert not list((tmp_path / "back").glob(".draft-*"))


def test_an_upload_in_parts_goes_on_where_it_was(
    s3: Opened, proxy: BadProxy, tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_module, "PART", 5 << 20)
    journal = tmp_path / "large"
    write(journal, days(2), segment_bytes=17 << 20, size=1 << 20)
    archive = s3("plain")
    proxy.fault = lambda method, path, _n: "cut" if "partNumber=3" in path else ""
    with pytest.raises(Retry, match="upload_part failed 6 times"):
        archive.run(journal, EVER)
    assert not archive.holds(0, deep=False)
    proxy.fault = lambda *_: ""
    proxy.seen.clear()
    assert archive.run(journal, EVER).segments == 1
    sent = [path.partition("partNumber=")[2][:1] for _, path, _ in proxy.seen if "partNumber=" in path]
    assert sent == ["3", "4"], "the first two parts are not sent again"
    assert archive.holds(0, deep=True)


def test_an_object_that_was_overwritten_is_read_in_its_own_version(
    s3: Opened, store: Store, journal: Path, tmp_path: Path
) -> None:
    archive = s3()
    archive.run(journal, EVER)
    name = finished(journal)[0]
    store.client.put_object(Bucket="locked", Key=f"sekisho/journal/{name}", Body=b"forged")
    assert [found.fault for found in archive.verify(deep=True) if found.fault] == []
    assert _restore(archive, tmp_path / "back") == ()
    assert bytes_of(tmp_path / "back")[name] == bytes_of(journal)[name]


def test_altered_missing_and_forged_objects_are_named(s3: Opened, store: Store, journal: Path) -> None:
    archive = s3("plain")
    archive.run(journal, EVER)
    first, second, third = (f"sekisho/journal/{name}" for name in finished(journal)[:3])
    body = store.client.get_object(Bucket="plain", Key=first)
    data = bytearray(body["Body"].read())
    data[100] ^= 1
    store.client.put_object(Bucket="plain", Key=first, Body=bytes(data), Metadata=body["Metadata"])
    store.client.delete_object(Bucket="plain", Key=second)
    described = third.replace(".seg", ".json")
    text = json.loads(store.client.get_object(Bucket="plain", Key=described)["Body"].read())
    text["contents"]["last"] += 1
    forged = json.dumps(text, indent=2).encode()
    store.client.put_object(Bucket="plain", Key=described, Body=forged)
    faults = [found.fault for found in archive.verify(deep=True)]
    assert "its bytes have SHA-256" in faults[0]
    assert "nothing under that name" in faults[1]
    assert "is not what was written there" in faults[2] or "ends at byte" in faults[2]
    assert faults[3:] == [""] * (len(finished(journal)) - 3)
    assert not archive.holds(0, deep=True)
    assert archive.run(journal, EVER).segments == 1, "what proved bad is archived again"


def test_a_bucket_without_object_lock_is_refused(s3: Opened, journal: Path) -> None:
    with pytest.raises(Refused, match="lock"):
        s3("plain", lock_days=30).run(journal, EVER)


def test_a_bucket_that_is_not_there_and_a_store_that_is_away(
    s3: Opened, proxy: BadProxy, journal: Path
) -> None:
    with pytest.raises(Refused, match="NoSuchBucket"):
        s3("nowhere").run(journal, EVER)
    proxy.fault = lambda *_: "cut"
    with pytest.raises(Retry, match="failed 6 times"):
        s3("plain").run(journal, EVER)


def test_checkpoints_go_piece_by_piece_and_an_altered_one_is_named(s3: Opened, journal: Path) -> None:
    archive = s3("plain")
    archive.run(journal, EVER)
    with (journal / "checkpoints").open("ab") as file:
        file.write(b"second checkpoint\n")
    archive.run(journal, EVER)
    pieces = list(archive.place.names("standing/checkpoints/"))
    assert [int(piece.rpartition("/")[2]) for piece in pieces] == [0, 17]
    (journal / "checkpoints").write_bytes(b"First checkpoint\nsecond checkpoint\n")
    (problem,) = archive.run(journal, EVER).problems
    assert "altered, not only appended to" in problem


def test_a_lost_catalogue_is_learnt_from_the_archive(s3: Opened, journal: Path, tmp_path: Path) -> None:
    archive = s3("plain")
    archive.run(journal, EVER)
    with Catalogue(tmp_path / "other") as fresh:
        again = Archive(archive.place, fresh, lambda: NOW_NS)
        assert again.run(journal, EVER).segments == 0
        fresh.learn(journal / finished(journal)[0])
        assert again.holds(0, deep=True)


def test_a_segment_that_differs_from_what_was_known_is_not_brought_back(
    s3: Opened, journal: Path, tmp_path: Path
) -> None:
    """The archive was taken over and holds another history; this installation remembers its own."""
    archive = s3("plain")
    archive.run(journal, EVER)
    other = tmp_path / "other-journal"
    write(other, days(10, ("github",)))
    with Catalogue(tmp_path / "other") as own:
        for path in sorted(other.glob("*.seg"))[:-1]:
            own.learn(path)
        faults = restore(archive, own, tmp_path / "back", Wanted(last=0), dry=False, now_ns=lambda: 0).faults
    assert "was known as" in faults[0]
    assert bytes_of(tmp_path / "back") == {}


def test_frames_and_days_choose_segments(s3: Opened, journal: Path, tmp_path: Path) -> None:
    archive = s3("plain")
    archive.run(journal, EVER)
    firsts = [int(Path(name).stem) for name in finished(journal)]
    into = tmp_path / "back"
    chosen = restore(archive, None, into, Wanted(firsts[1], firsts[1]), dry=True, now_ns=lambda: 0)
    assert [name for name in chosen.done if name.endswith(".seg")] == [finished(journal)[1]]
    assert not into.exists()
    hour = NOW_NS // 3_600_000_000_000
    with pytest.raises(Refused, match="no such segment"):
        restore(archive, None, into, Wanted(from_hour=hour), dry=True, now_ns=lambda: 0)


def test_a_file_that_is_there_is_never_replaced(s3: Opened, journal: Path) -> None:
    archive = s3("plain")
    archive.run(journal, EVER)
    path = journal / finished(journal)[0]
    path.write_bytes(b"altered here")
    (fault,) = _restore(archive, journal)
    assert "differs from the archive" in fault
    assert path.read_bytes() == b"altered here"


def test_a_folder_is_an_archive(journal: Path, tmp_path: Path, catalogue: Catalogue) -> None:
    mount = tmp_path / "mount"
    archive = Archive(Folder(mount, Throttle(0)), catalogue, lambda: NOW_NS)
    with pytest.raises(Refused, match="not there"):
        archive.run(journal, EVER)
    mount.mkdir()
    assert archive.run(journal, EVER).segments == len(finished(journal))
    assert [found.fault for found in archive.verify(deep=True)] == [""] * len(finished(journal))
    assert _restore(archive, tmp_path / "back") == ()
    copy = mount / "journal" / finished(journal)[0]
    assert copy.stat().st_mode & 0o077 == 0
    copy.write_bytes(copy.read_bytes()[:-1])
    (mount / "journal" / finished(journal)[1]).unlink()
    faults = [found.fault for found in archive.verify(deep=False)]
    assert "bytes long instead of" in faults[0]
    assert "missing" in faults[1]
    assert not archive.holds(0, deep=False)
    with pytest.raises(Refused, match="holds other bytes"):
        archive.run(journal, EVER)


def test_the_rate_is_kept() -> None:
    slept: list[float] = []
    clock = 100.0

    def sleep(seconds: float) -> None:
        nonlocal clock
        slept.append(seconds)
        clock += seconds

    throttle = Throttle(1000.0, lambda: clock, sleep)
    for _ in range(10):
        throttle.take(500)
    assert sum(slept) == pytest.approx(5.0)


def test_no_secret_is_in_the_catalogue_or_the_name(s3: Opened, journal: Path, catalogue: Catalogue) -> None:
    archive = s3("plain")
    archive.run(journal, EVER)
    assert KEY.secret not in archive.place.name
    assert KEY.secret.encode() not in catalogue.path.read_bytes()
    assert isinstance(archive.place, S3)
    assert settings.Archive(bucket="b").lock_days == 0
