"""Sealing: when, with which key, and what happens when it cannot."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from sekisho.journal import JournalWriter, keys, merkle
from sekisho.journal import sealed as sealed_file
from sekisho.journal.leaves import StoredTree
from sekisho.journal.note import Signer
from sekisho.journal.sealer import Sealer
from sekisho.journal.verify import CANNOT, TAMPERED, VERIFIED
from sekisho.model import Refused
from tests.journal.sealing import ORIGIN, T0, World, batch, sealed_world


def sizes(world: World) -> list[int]:
    found = [sealed_file.sealed(e.line) for e in sealed_file.entries(world.folder) if e.line and e.line.note]
    return [one.checkpoint.size for one in found]


def hurried(world: World) -> bool:
    return world.sealer.hurry


def test_a_seal_covers_what_is_new_and_each_end_of_a_segment(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.sealer.seal() == []
    world.write(20, seal_every=0)
    assert world.sealer.waiting == 20
    assert hurried(world)
    world.sealer.seal()
    ends = [int(path.stem) for path in sorted(world.folder.glob("*.seg"))][1:]
    assert sizes(world) == [*ends, 20]
    assert not hurried(world)
    assert world.sealer.waiting == 0
    assert world.sealer.seal() == []
    world.stop()


def test_the_tree_on_the_disk_is_that_of_the_frames(tmp_path: Path) -> None:
    """Inner nodes are kept from 256 leaves on; with and without them the roots and proofs are the same."""
    world = World(tmp_path, segment=20_000)
    world.write(700, seal_every=0)
    world.stop()
    assert (world.folder / "nodes.8").stat().st_size == 2 * 32
    kept, bare = StoredTree(world.folder), StoredTree(world.folder, shortcuts=False)
    assert kept.size() == 700
    last = sealed_file.last(world.folder)
    assert last is not None
    for size in (1, 255, 256, 257, 511, 512, 700):
        assert merkle.root(kept.node, size) == merkle.root(bare.node, size)
        proof = merkle.consistency(kept.node, size, 700)
        assert merkle.consistent(size, merkle.root(kept.node, size), 700, last.checkpoint.root, proof)
    (world.folder / "nodes.8").write_bytes(b"x" * 64)  # altered shortcuts are not believed
    world.open()
    assert not world.sealer.error
    world.write(1)
    world.stop()
    assert world.verify().code == VERIFIED
    assert (world.folder / "nodes.8").read_bytes() != b"x" * 64


def test_a_hand_over_is_followed_from_either_key(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write(6)
    old = world.pin
    new = keys.prepare_rotation(world.files)
    assert keys.prepare_rotation(world.files) == new
    world.sealer.seal()
    assert keys.load(world.files.private).verifier == new == keys.published(world.files.public)
    assert not world.files.coming.exists()
    world.write(6)
    third = keys.prepare_rotation(world.files)
    world.stop()
    for pin in (old, new, third):
        report = world.verify(pin=pin)
        assert report.code == VERIFIED
        assert [key.vkey for key in report.trusted.keys] == [old.vkey, new.vkey, third.vkey]
    assert world.verify(pin=Signer.new(ORIGIN).verifier).code == TAMPERED
    world.open()
    assert not world.sealer.error
    world.stop()


def test_a_crash_in_the_hand_over_is_finished_at_the_next_start(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write(6)
    before = world.files.private.read_bytes()
    keys.prepare_rotation(world.files)
    coming = world.files.coming.read_bytes()
    world.sealer.seal()
    world.stop()
    world.files.private.write_bytes(before)  # as if killed between the checkpoint and the new key
    world.files.coming.write_bytes(coming)
    world.files.coming.chmod(0o600)
    world.open()
    assert not world.sealer.error
    assert not world.files.coming.exists()
    world.write(6)
    world.stop()
    assert world.verify().code == VERIFIED


def test_without_its_key_the_journal_is_kept_and_said_to_be_unsealed(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write(6)
    world.stop()
    private = world.files.private.read_bytes()
    world.files.private.unlink()
    world.open()
    assert "not there" in world.sealer.error
    world.write(3)
    world.stop()
    assert world.verify().code == CANNOT
    world.files.private.write_bytes(private)
    world.files.private.chmod(0o644)
    with pytest.raises(Refused, match="others may read"):
        keys.load(world.files.private)
    world.files.private.chmod(0o600)
    world.open()
    world.stop()
    assert world.verify().code == VERIFIED


def test_another_key_does_not_seal_on(tmp_path: Path) -> None:
    world = sealed_world(tmp_path, 6)
    keys.write_private(world.files.private, Signer.new(ORIGIN))
    world.open()
    assert "is not signed by the key" in world.sealer.error
    assert world.sealer.seal() == []
    world.stop()
    assert world.verify().code == VERIFIED


def test_a_journal_that_does_not_lead_to_its_seal_is_not_sealed_on(tmp_path: Path) -> None:
    world = sealed_world(tmp_path)
    path = sorted(world.folder.glob("*.leaf"))[1]
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    world.open()
    assert "do not lead to the root" in world.sealer.error
    world.write(6)
    world.stop()
    report = world.verify()
    assert report.code == TAMPERED
    assert (report.faults[0].kind, report.faults[0].where) == ("leaf", path.name)
    path.unlink()  # the remedy: the leaf file that verify names is made again
    world.open()
    assert not world.sealer.error
    world.stop()
    report = world.verify()
    assert (report.code, report.sealed) == (VERIFIED, 46)


def test_a_backup_brings_the_key_back(tmp_path: Path) -> None:
    signer = Signer.new(ORIGIN)
    data = keys.backup(signer, "correct horse battery")
    assert signer.skey.encode() not in data
    assert keys.from_backup(data, "correct horse battery").skey == signer.skey
    with pytest.raises(Refused, match="passphrase"):
        keys.from_backup(data, "correct horse batterx")
    with pytest.raises(Refused, match="passphrase"):
        keys.from_backup(
            data.replace(ORIGIN.encode(), b"exchange.example/sekisho/tesu"), "correct horse battery"
        )
    with pytest.raises(Refused, match="no backup"):
        keys.from_backup(b"{}", "correct horse battery")
    with pytest.raises(Refused, match="12 or more"):
        keys.backup(signer, "short")


def test_names_of_new_logs_can_stand_in_a_signature() -> None:
    made = keys.default_origin("käse host+1")
    assert Signer.new(made).verifier.name == made
    assert keys.default_origin("a") != keys.default_origin("a")


def test_the_seal_syncs_leaves_before_it_is_signed(tmp_path: Path) -> None:
    """A power cut right after a checkpoint: what was not synced is gone, and the tree still leads to it."""
    files = keys.KeyFiles(tmp_path / "seal.key", tmp_path / "vkey")
    keys.create(files, ORIGIN)
    folder = tmp_path / "journal"
    synced: dict[str, bytes] = {}

    def fsync(fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        os.fdatasync(fd)
        synced[path.name] = path.read_bytes()

    writer = JournalWriter(folder, segment_bytes=2000, fsync=fsync)
    sealer = Sealer(folder, writer.tree, files, now=lambda: T0)
    for i in range(40):
        writer.append([batch(b"frame %d" % i, os.urandom(40))])
        if i % 7 == 6:
            sealer.seal()
    checkpoints = (folder / "checkpoints").read_bytes()
    sealer.close()
    writer.close()
    shutil.rmtree(folder)
    folder.mkdir()
    for name, data in synced.items():
        (folder / name).write_bytes(data)
    (folder / "checkpoints").write_bytes(checkpoints)
    writer = JournalWriter(folder)
    assert writer.tree.broken == ""
    assert writer.next_frame == 40
    sealer = Sealer(folder, writer.tree, files, now=lambda: T0)
    sealer.seal()
    sealer.close()
    writer.close()
    from sekisho.journal.trust import judge
    from sekisho.journal.verify import verify

    report = verify(folder, judge(folder, keys.published(files.public)))
    assert (report.code, report.frames) == (VERIFIED, 40)


@pytest.mark.slow
def test_kill_9_at_random_moments_never_leaves_a_wrong_tree(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import os, random, sys, threading, time
        from pathlib import Path
        from sekisho.journal import JournalWriter, keys
        from sekisho.journal.sealer import Sealer
        from sekisho.model import Records
        data = Path(sys.argv[1])
        files = keys.KeyFiles(data / "seal.key", data / "vkey")
        writer = JournalWriter(data / "journal", segment_bytes=20_000)
        sealer = Sealer(data / "journal", writer.tree, files, now=lambda: 1_770_000_000)
        assert not sealer.error, sealer.error
        def seal():
            while True:
                sealer.seal()
                time.sleep(random.random() / 50)
        threading.Thread(target=seal, daemon=True).start()
        print("ready", flush=True)
        while True:
            records = Records("a", "hec", "none", "", "", 1, (os.urandom(random.randrange(2000)),))
            writer.append([records] * random.randrange(1, 5))
        """
    )
    files = keys.KeyFiles(tmp_path / "seal.key", tmp_path / "vkey")
    keys.create(files, ORIGIN)
    for i in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.05 + 0.03 * i)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        process.stderr.close()
    folder = tmp_path / "journal"
    writer = JournalWriter(folder)
    sealer = Sealer(folder, writer.tree, files, now=lambda: T0)
    assert not sealer.error
    sealer.seal()
    sealer.close()
    writer.close()
    from sekisho.journal.trust import judge
    from sekisho.journal.verify import verify

    report = verify(folder, judge(folder, keys.published(files.public)))
    assert report.code == VERIFIED, (report.faults[:3], report.cannot)
    assert report.frames == report.sealed > 100
