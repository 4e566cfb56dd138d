"""verify, prove, verify-proof, keys and witness as a person types them, on a real data folder."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sekisho import wiring
from sekisho.cli.main import group
from sekisho.model import Records
from sekisho.settings import load
from tests.conftest import ROOT


def run(data: Path, *args: str) -> Result:
    return CliRunner().invoke(group, ["--data", str(data), *args])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Seven frames in segments of 4096 bytes, sealed."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "sekisho.toml").write_text("[collect]\nsegment_bytes = 4096\n")
    for i in range(7):
        bodies = tuple(b'{"uuid":"%d-%d"}' % (i, j) + bytes(range(256)) * 4 for j in range(3))
        with wiring.appending(load(folder)) as append:
            append(Records("okta", "ndjson", "none", "192.0.2.7", "edge", 1_770_000_000 * 10**9 + i, bodies))
    return folder


def pinned(data: Path) -> str:
    return run(data, "keys", "show").stdout.strip()


def test_verify_says_verified_and_names_the_first_fault(data: Path, tmp_path: Path) -> None:
    vkey = pinned(data)
    good = run(data, "verify", "--vkey", vkey)
    assert good.exit_code == 0
    assert "VERIFIED" in good.stdout
    assert "sealed     7 of 7 frames" in good.stdout
    unpinned = run(data, "verify")
    assert unpinned.exit_code == 0
    assert "not pinned" in unpinned.stdout
    copy = tmp_path / "copy"
    shutil.copytree(data / "journal", copy)
    assert run(data, "verify", "--journal", str(copy), "--vkey", vkey, "--jobs", "2").exit_code == 0
    assert run(data, "verify", "--journal", str(copy)).exit_code == 2
    segment = min((data / "journal").glob("*.seg"))
    raw = bytearray(segment.read_bytes())
    raw[100] ^= 1
    segment.write_bytes(bytes(raw))
    bad = run(data, "verify", "--vkey", vkey)
    assert bad.exit_code == 1
    assert bad.stdout.startswith(f"TAMPERED OR DAMAGED; first: altered frame 0 ({segment.name}, byte 24)")
    said = json.loads(run(data, "verify", "--vkey", vkey, "--json").stdout)
    assert (said["verdict"], said["first_fault"]["first"], said["key_pinned"]) == ("tampered", 0, True)
    assert run(data, "verify", "--vkey", vkey, "--from", "2026-02-02T02:40:00+00:00").exit_code in (0, 1)
    assert "neither a frame nor a time" in str(run(data, "verify", "--from", "soon").exception)


def test_a_proof_is_checked_without_the_data_folder(data: Path, tmp_path: Path) -> None:
    vkey = pinned(data)
    path = tmp_path / "event.proof"
    made = run(data, "prove", "4/1", "-o", str(path))
    assert made.exit_code == 0, made.exception
    assert "with 2 other records of its batch" in made.stderr
    key = tmp_path / "auditor.vkey"
    key.write_text(vkey)
    shutil.rmtree(data)
    checked = run(tmp_path / "nothing", "verify-proof", str(path), "--vkey", str(key))
    assert checked.exit_code == 0
    assert b'{"uuid":"4-1"}' in checked.stdout_bytes
    said = json.loads(run(tmp_path, "verify-proof", str(path), "--vkey", vkey, "--json").stdout)
    assert (said["frame"], said["size"], said["source"]) == (4, 5, "okta") or said["size"] >= 5
    proof = json.loads(path.read_text())
    for field, value in (
        ("index", 3),
        ("size", 6),
        ("path", proof["path"][:-1]),
        ("frame", "AAAA"),
        ("record", 3),
    ):
        path.write_text(json.dumps({**proof, field: value}))
        wrong = run(tmp_path, "verify-proof", str(path), "--vkey", vkey)
        assert wrong.exit_code == 1, field
        assert "NOT PROVEN" in wrong.stderr
    path.write_text("[]")
    assert run(tmp_path, "verify-proof", str(path), "--vkey", vkey).exit_code == 1


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_snippet_of_the_documents_checks_a_proof(data: Path, tmp_path: Path, language: str) -> None:
    page = (ROOT / "docs" / "operate" / language / "evidence.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "check.py").write_text(code, encoding="utf-8")
    (tmp_path / "key").write_text(pinned(data))
    for frame in range(7):
        path = tmp_path / f"{frame}.proof"
        assert run(data, "prove", f"{frame}/0", "-o", str(path)).exit_code == 0
        command = [sys.executable, str(tmp_path / "check.py"), str(path), str(tmp_path / "key")]
        done = subprocess.run(command, capture_output=True, check=False, env={"PYTHONUTF8": "1"})
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(b"PROVEN: frame %d of " % frame)
    proof = json.loads(path.read_text())
    path.write_text(json.dumps({**proof, "frame": "AAAA"}))
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_an_event_that_is_not_there_is_refused_with_a_remedy(data: Path) -> None:
    assert "nothing is searchable yet" in str(run(data, "prove", "0" * 32).exception)
    assert "no segment holds" in str(run(data, "prove", "99/0").exception) or "cannot be read" in str(
        run(data, "prove", "99/0").exception
    )
    assert "has 3 records, from 0 to 2" in str(run(data, "prove", "2/3").exception)


def test_an_altered_event_is_not_proven(data: Path) -> None:
    path = min((data / "journal").glob("*.leaf"))
    path.write_bytes(b"x" * path.stat().st_size)
    assert "does not lead to the signed root" in str(run(data, "prove", "0/0").exception)


def test_keys_are_rotated_backed_up_and_brought_back(data: Path, tmp_path: Path) -> None:
    before = pinned(data)
    phrase = tmp_path / "phrase"
    phrase.write_text("correct horse battery\n")
    assert run(data, "keys", "rotate", "--dry-run").exit_code == 0
    assert pinned(data) == before
    done = run(data, "keys", "rotate")
    assert done.exit_code == 0, done.exception
    after = pinned(data)
    assert done.stdout.strip() == after != before
    for vkey in (before, after):
        assert run(data, "verify", "--vkey", vkey).exit_code == 0
    proof = tmp_path / "p"
    assert run(data, "prove", "0/0", "-o", str(proof)).exit_code == 0
    assert run(data, "verify-proof", str(proof), "--vkey", before).exit_code == 0
    backup = tmp_path / "backup"
    made = run(data, "keys", "backup", "-o", str(backup), "--passphrase-file", str(phrase))
    assert made.exit_code == 0, made.exception
    assert backup.stat().st_mode & 0o777 == 0o600
    arguments = ("keys", "restore", str(backup), "--passphrase-file", str(phrase))
    assert "is there" in str(run(data, *arguments).exception)
    private = data / "secrets" / "seal.key"
    skey = private.read_text()
    private.unlink()
    restored = run(data, *arguments)
    assert restored.stdout.strip() == after
    assert private.read_text() == skey


def test_witness_list_without_any(data: Path) -> None:
    assert "No journal of others" in run(data, "witness", "list").stdout
    assert json.loads(run(data, "witness", "list", "--json").stdout) == {"vkey": None, "logs": []}
    assert "was cosigned here" in str(run(data, "witness", "show", "tokyo.example/sekisho").exception)
