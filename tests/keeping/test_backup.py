"""Backups of a real installation: made, checked, spoilt, brought back, drilled."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest

from sekisho.keeping.backup import box
from sekisho.keeping.backup.description import newest, place
from sekisho.model import Refused
from tests.keeping import installation
from tests.keeping.installation import PASSPHRASE, sekisho
from tests.keeping.journals import bytes_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data folder and a backup of it beside."""
    folder = tmp_path_factory.mktemp("original")
    data = installation.make(folder)
    (folder / "passphrase").write_text(f"{PASSPHRASE}\n")
    said = sekisho(
        data, "backup", "make", str(folder / "backup"), "--passphrase-file", str(folder / "passphrase")
    )
    assert "MB" in said
    return folder


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    """Another copy of both, to be spoilt."""
    shutil.copytree(original, tmp_path / "copy")
    return tmp_path / "copy"


def _words(folder: Path, command: str) -> list[str]:
    return ["backup", command, str(folder / "backup"), "--passphrase-file", str(folder / "passphrase")]


def test_it_comes_back_whole_and_works(original: Path, tmp_path: Path) -> None:
    data, new = original / "data", tmp_path / "new"
    assert "files are whole" in sekisho(data, *_words(original, "verify"))
    sekisho(data, *_words(original, "restore"), "--into", str(new))
    mine, theirs = bytes_of(data / "journal"), bytes_of(new / "journal")
    assert installation.events(new) == installation.events(data) != []  # each question is journaled, too
    assert len(theirs) >= 2
    assert all(mine[name].startswith(data_) for name, data_ in theirs.items())
    for name in ("decoy.key", "tokens.json"):
        if (data / "secrets" / name).exists():
            assert (new / "secrets" / name).read_bytes() == (data / "secrets" / name).read_bytes()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in new.rglob("*") if path.is_file()}
    assert modes == {0o600}
    installation.add(tmp_path, new, 50, start=5_000)
    assert len(installation.events(new)) == len(installation.events(data)) + 50


def test_nothing_of_a_secret_is_readable_in_the_backup(original: Path) -> None:
    key = (original / "data" / "secrets" / "decoy.key").read_bytes().strip()
    for path in (original / "backup").rglob("*"):
        if path.is_file():
            assert key not in path.read_bytes()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_drill_passes_both_ways(original: Path) -> None:
    data = original / "data"
    said = json.loads(sekisho(data, *_words(original, "drill"), "--json").splitlines()[-1])
    assert said["passed"], said
    assert {"restored", "journal", "events", "alerts", "database"} <= {
        check["what"] for check in said["checks"]
    }
    said = sekisho(data, *_words(original, "drill"), "--rebuild")
    assert "PASSED" in said
    assert "rebuilt" in said
    assert "600 by count and digest" in said or "events" in said


def test_the_second_backup_writes_only_what_is_new(copy: Path, tmp_path: Path) -> None:
    data = copy / "data"
    first = newest(place(copy / "backup"))
    installation.add(tmp_path, data, 200, start=9_000)
    before = {path for path in (copy / "backup" / "files").rglob("*") if path.is_file()}
    sekisho(data, *_words(copy, "make"))
    second = newest(place(copy / "backup"))
    assert second.stamp != first.stamp
    old = {entry.path: entry.sha256 for entry in first.files if entry.path.endswith(".seg")}
    new = {entry.path: entry.sha256 for entry in second.files if entry.path.endswith(".seg")}
    assert sum(old[path] == new[path] for path in old) >= len(old) - 1
    added = {path for path in (copy / "backup" / "files").rglob("*") if path.is_file()} - before
    assert 0 < len(added) < len(second.files)
    assert "PASSED" in sekisho(data, *_words(copy, "drill"))
    listed = sekisho(data, "backup", "list", str(copy / "backup"))
    assert listed.count(" files ") == 2
    said = sekisho(data, *_words(copy, "drill"), "--backup", first.stamp)
    assert "PASSED" in said


def test_a_dry_run_writes_nothing(original: Path, tmp_path: Path) -> None:
    said = sekisho(original / "data", "backup", "make", str(tmp_path / "dry"), "--dry-run")
    assert "are new" in said
    assert not (tmp_path / "dry").exists()
    assert not list((original / "data" / "keeping").glob("mirror-*"))


def _stored(folder: Path, ending: str) -> tuple[str, Path]:
    at = place(folder / "backup")
    entry = next(entry for entry in newest(at).files if entry.path.endswith(ending) and entry.size > 100)
    return entry.path, at.file(entry.sha256)


@pytest.mark.parametrize("spoil", ["flip", "cut", "remove"])
@pytest.mark.parametrize("ending", [".seg", ".parquet", "console.sqlite3"])
def test_a_spoilt_part_is_named_and_not_brought_back(
    copy: Path, tmp_path: Path, spoil: str, ending: str
) -> None:
    data = copy / "data"
    if ending == "console.sqlite3" and not (data / ending).exists():
        pytest.skip("this installation has no control database yet")
    name, path = _stored(copy, ending)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if spoil == "flip":
        path.write_bytes(bytes(content))
    elif spoil == "cut":
        path.write_bytes(bytes(content[:-1]))
    else:
        path.unlink()
    assert name in sekisho(data, *_words(copy, "verify"), code=1)
    said = sekisho(data, *_words(copy, "restore"), "--into", str(tmp_path / "new"), code=1)
    assert name in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"], "nothing is left behind"


def test_a_rewritten_description_is_found_with_the_passphrase(copy: Path) -> None:
    at = place(copy / "backup")
    path = at.description(newest(at).stamp)
    held = json.loads(path.read_text())
    held["files"] = [entry for entry in held["files"] if not entry["path"].endswith(".seg")]
    path.write_text(json.dumps(held))
    assert "altered since it was written" in sekisho(copy / "data", *_words(copy, "verify"), code=1)
    words = ["backup", "verify", str(copy / "backup"), "--without-secrets"]
    assert "nobody can tell" in sekisho(copy / "data", *words)


def test_a_forged_path_cannot_leave_the_folder(copy: Path, tmp_path: Path) -> None:
    at = place(copy / "backup")
    path = at.description(newest(at).stamp)
    held = json.loads(path.read_text())
    held["files"][0]["path"] = "../../escaped"
    path.write_text(json.dumps(held))
    words = ["backup", "restore", str(copy / "backup"), "--without-secrets", "--into", str(tmp_path / "new")]
    assert "no path inside" in sekisho(copy / "data", *words, code=1)
    assert not (tmp_path / "escaped").exists()


def test_a_wrong_passphrase_opens_nothing(original: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("another passphrase")
    words = ["backup", "restore", str(original / "backup"), "--passphrase-file", str(tmp_path / "wrong")]
    said = sekisho(original / "data", *words, "--into", str(tmp_path / "new"), code=1)
    assert "another passphrase" in said
    assert not (tmp_path / "new").exists()


def test_there_must_be_somebody_to_ask(original: Path, tmp_path: Path) -> None:
    said = sekisho(original / "data", "backup", "make", str(tmp_path / "b"), code=1)
    assert "nobody to ask" in said
    assert not (tmp_path / "b").exists()


def test_folders_that_hold_something_else_are_refused(original: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    data = original / "data"
    passphrase = ["--passphrase-file", str(original / "passphrase")]
    assert "not empty" in sekisho(data, "backup", "make", str(tmp_path / "full"), *passphrase, code=1)
    assert "inside the data folder" in sekisho(data, "backup", "make", str(data / "b"), *passphrase, code=1)
    assert "holds no backup" in sekisho(data, "backup", "verify", str(tmp_path), *passphrase, code=1)
    words = [*_words(original, "restore"), "--into", str(tmp_path / "full")]
    assert "not empty" in sekisho(data, *words, code=1)


def test_without_the_lake_the_drill_rebuilds_it(original: Path, tmp_path: Path) -> None:
    data = original / "data"
    words = ["--without-lake", "--passphrase-file", str(original / "passphrase")]
    sekisho(data, "backup", "make", str(tmp_path / "slim"), *words)
    assert not any(entry.path.startswith("lake/") for entry in newest(place(tmp_path / "slim")).files)
    said = sekisho(data, "backup", "drill", str(tmp_path / "slim"), *words[1:])
    assert "rebuilt" in said
    assert "PASSED" in said


def test_boxes() -> None:
    one = box.keys(PASSPHRASE, b"0" * 16)
    sealed = box.close(b"secret", one)
    assert box.open_(sealed, one) == b"secret"
    for keys, data in (
        (box.keys(PASSPHRASE, b"1" * 16), sealed),
        (one, sealed[:-1]),
        (one, sealed[:20] + bytes([sealed[20] ^ 1]) + sealed[21:]),
    ):
        with pytest.raises(Refused):
            box.open_(data, keys)
    with pytest.raises(Refused, match="shorter"):
        box.keys("short", b"0" * 16)
