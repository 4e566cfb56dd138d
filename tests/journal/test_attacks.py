"""What an intruder who is administrator can do to the journal, and who names it.

Each journal is written and sealed by the real writer, then attacked as bytes on the disk. The table in
docs/operate/*/evidence.md lists the same attacks.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.journal import JournalWriter, keys, merkle
from sekisho.journal import format as fmt
from sekisho.journal import sealed as sealed_file
from sekisho.journal.leaves import StoredTree, mark_away
from sekisho.journal.note import Signer
from sekisho.journal.telling import ToFile
from sekisho.journal.verify import CANNOT, TAMPERED, VERIFIED, Report
from tests.journal.sealing import ORIGIN, T0, World, batch, sealed_world


def frames_of(segment: Path) -> list[tuple[int, bytes]]:
    """(position, bytes) of each frame."""
    data = segment.read_bytes()
    found = []
    position = fmt.SEGMENT_HEADER.size
    while position < len(data):
        header = fmt.read_header(data[position:])
        found.append((position, data[position : position + header.size]))
        position += header.size
    return found


def renumbered(frame: bytes, number: int) -> bytes:
    """The frame under another number, its checksum right again."""
    rest = struct.pack("<Q", number) + frame[16:]
    return frame[:4] + struct.pack("<I", google_crc32c.value(rest)) + rest


def forged(number: int) -> bytes:
    return fmt.encode(number, batch(b'{"forged": true}', at=T0), zstandard.ZstdCompressor())


def rewrite(segment: Path, frames: list[bytes]) -> None:
    segment.write_bytes(segment.read_bytes()[: fmt.SEGMENT_HEADER.size] + b"".join(frames))


def segments(world: World) -> list[Path]:
    return sorted(world.folder.glob("*.seg"))


def number(frame: bytes) -> int:
    return fmt.read_header(frame).number


def first(report: Report) -> tuple[str, int, str]:
    fault = report.faults[0]
    return fault.kind, fault.first, fault.where


def witness_file(world: World, name: str = "witness") -> Path:
    """All checkpoints so far, as the collector tells them to a file elsewhere."""
    path = world.data / name
    path.unlink(missing_ok=True)
    said = [sealed_file.sealed(e.line) for e in sealed_file.entries(world.folder) if e.line and e.line.note]
    ToFile(path).tell(said, 0)
    return path


def reseal(world: World, signer: Signer) -> None:
    """What an intruder does who rewrote frames: leaves, nodes and checkpoints anew, with this key."""
    for pattern in ("*.leaf", "nodes.*", "checkpoints"):
        for path in world.folder.glob(pattern):
            path.unlink()
    keys.write_private(world.files.private, signer)
    world.open()
    world.stop()


# -- nothing happened ---------------------------------------------------------------------------


def test_an_untouched_journal_is_verified(tmp_path: Path) -> None:
    world = sealed_world(tmp_path)
    report = world.verify(witness_files=[witness_file(world)])
    assert (report.code, report.frames, report.sealed, report.end) == (VERIFIED, 40, 40, 40)
    assert report.segments == len(segments(world)) == 5
    assert report.oldest == (T0 + 1) * 10**9
    assert world.verify(jobs=2).code == VERIFIED


# -- bytes --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> World:
    return sealed_world(tmp_path_factory.mktemp("pristine"), 24)


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_any_flipped_byte_of_a_segment_names_its_frame(pristine: World, data: st.DataObject) -> None:
    segment = data.draw(st.sampled_from(segments(pristine)))
    raw = segment.read_bytes()
    place = data.draw(st.integers(0, len(raw) - 1))
    changed = bytearray(raw)
    changed[place] ^= data.draw(st.integers(1, 255))
    holder = next((number(f) for p, f in frames_of(segment) if p <= place < p + len(f)), int(segment.stem))
    try:
        segment.write_bytes(bytes(changed))
        report = pristine.verify()
    finally:
        segment.write_bytes(raw)
    assert report.code == TAMPERED
    assert first(report)[1:] == (holder, segment.name)
    assert report.faults[0].position <= place


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_flipped_byte_of_a_leaf_file_is_named(pristine: World, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(pristine.folder.glob("*.leaf"))))
    raw = path.read_bytes()
    place = data.draw(st.integers(0, len(raw) - 1))
    changed = bytearray(raw)
    changed[place] ^= data.draw(st.integers(1, 255))
    try:
        path.write_bytes(bytes(changed))
        report = pristine.verify()
    finally:
        path.write_bytes(raw)
    assert report.code == TAMPERED
    assert first(report) == ("leaf", int(path.stem) + place // 32, path.name)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_flipped_byte_of_the_checkpoints_is_named(pristine: World, data: st.DataObject) -> None:
    path = pristine.folder / "checkpoints"
    raw = path.read_bytes()
    said = [m.span() for m in re.finditer(rb'"at":\d+', raw)]  # the time is for people, and not signed
    place = data.draw(st.integers(0, len(raw) - 1).filter(lambda i: not any(a <= i < b for a, b in said)))
    changed = bytearray(raw)
    changed[place] ^= data.draw(st.integers(1, 127))
    try:
        path.write_bytes(bytes(changed))
        report = pristine.verify()
    finally:
        path.write_bytes(raw)
    assert report.code in (TAMPERED, CANNOT)
    if place < len(raw) - 1:
        assert any(fault.where == "checkpoints" for fault in report.faults)


# -- frames -------------------------------------------------------------------------------------


def cut_the_tail(world: World) -> tuple[str, int]:
    last = segments(world)[-1]
    frames = [frame for _, frame in frames_of(last)]
    rewrite(last, frames[:-2])
    return "missing", number(frames[-2])


def cut_through_a_frame(world: World) -> tuple[str, int]:
    last = segments(world)[-1]
    frames = [frame for _, frame in frames_of(last)]
    last.write_bytes(last.read_bytes()[:-10])
    return "altered", number(frames[-1])


def append_a_forged_frame(world: World) -> tuple[str, int]:
    with segments(world)[-1].open("ab") as file:
        file.write(forged(world.writer.next_frame))
    return "added", world.writer.next_frame


def append_a_forged_frame_inside(world: World) -> tuple[str, int]:
    target = segments(world)[1]
    following = int(segments(world)[2].stem)
    with target.open("ab") as file:
        file.write(forged(following))
    return "added", following


def insert_a_frame_twice(world: World) -> tuple[str, int]:
    target = segments(world)[1]
    frames = [frame for _, frame in frames_of(target)]
    rewrite(target, [*frames[:3], frames[1], *frames[3:]])
    return "added", number(frames[1])


def insert_garbage(world: World) -> tuple[str, int]:
    target = segments(world)[1]
    frames = [frame for _, frame in frames_of(target)]
    rewrite(target, [*frames[:2], b"\0" * 77, *frames[2:]])
    return "added", number(frames[2])


def swap_frames(world: World) -> tuple[str, int]:
    target = segments(world)[1]
    frames = [frame for _, frame in frames_of(target)]
    frames[2], frames[3] = frames[3], frames[2]
    rewrite(target, frames)
    return "reordered", number(frames[3])


def swap_frames_and_renumber(world: World) -> tuple[str, int]:
    target = segments(world)[1]
    frames = [frame for _, frame in frames_of(target)]
    begin = number(frames[0])
    frames[2], frames[3] = frames[3], frames[2]
    rewrite(target, [renumbered(frame, begin + i) for i, frame in enumerate(frames)])
    return "altered", begin + 2


def delete_a_frame(world: World) -> tuple[str, int]:
    target = segments(world)[1]
    frames = [frame for _, frame in frames_of(target)]
    rewrite(target, [*frames[:4], *frames[5:]])
    return "missing", number(frames[4])


def delete_a_frame_and_renumber(world: World) -> tuple[str, int]:
    target = segments(world)[1]
    frames = [frame for _, frame in frames_of(target)]
    begin = number(frames[0])
    left = [*frames[:4], *frames[5:]]
    rewrite(target, [renumbered(frame, begin + i) for i, frame in enumerate(left)])
    return "altered", begin + 4


def replace_a_frame(world: World) -> tuple[str, int]:
    target = segments(world)[2]
    frames = [frame for _, frame in frames_of(target)]
    frames[1] = forged(number(frames[1]))
    rewrite(target, frames)
    return "altered", number(frames[1])


def swap_segments(world: World) -> tuple[str, int]:
    one, two = segments(world)[1:3]
    spare = one.with_suffix(".spare")
    one.rename(spare)
    two.rename(one)
    spare.rename(two)
    return "reordered", int(one.stem)


def delete_a_segment(world: World) -> tuple[str, int]:
    target = segments(world)[1]
    target.unlink()
    return "missing", int(target.stem)


def delete_a_segment_with_its_leaves(world: World) -> tuple[str, int]:
    target = segments(world)[1]
    target.unlink()
    target.with_suffix(".leaf").unlink()
    return "missing", int(target.stem)


def delete_everything_but_the_checkpoints(world: World) -> tuple[str, int]:
    for path in [*world.folder.glob("*.seg"), *world.folder.glob("*.leaf")]:
        path.unlink()
    return "missing", 0


FRAME_ATTACKS = [
    cut_the_tail,
    cut_through_a_frame,
    append_a_forged_frame,
    append_a_forged_frame_inside,
    insert_a_frame_twice,
    insert_garbage,
    swap_frames,
    swap_frames_and_renumber,
    delete_a_frame,
    delete_a_frame_and_renumber,
    replace_a_frame,
    swap_segments,
    delete_a_segment,
    delete_a_segment_with_its_leaves,
    delete_everything_but_the_checkpoints,
]


@pytest.mark.parametrize("attack", FRAME_ATTACKS, ids=lambda attack: attack.__name__)
def test_an_attack_on_frames_is_named(tmp_path: Path, attack: Callable[[World], tuple[str, int]]) -> None:
    world = sealed_world(tmp_path)
    kind, frame = attack(world)
    report = world.verify()
    assert report.code == TAMPERED
    assert first(report)[:2] == (kind, frame)


@pytest.mark.parametrize("attack", FRAME_ATTACKS, ids=lambda attack: attack.__name__)
def test_a_restart_of_the_collector_hides_no_attack(
    tmp_path: Path, attack: Callable[[World], tuple[str, int]]
) -> None:
    """The collector starts on the attacked journal, receives and seals again: verify still names it.

    Only a frame that is appended behind the end is then taken for received: it was never sealed before, and
    an intruder who may write the journal may as well send a log to the collector.
    """
    world = sealed_world(tmp_path)
    _, frame = attack(world)
    world.open()
    world.write(6)
    world.stop()
    report = world.verify()
    if attack is append_a_forged_frame:
        assert report.code == VERIFIED
        return
    assert report.code == TAMPERED
    assert report.faults[0].first == frame


def test_frames_and_leaf_hashes_altered_together_are_found_between_two_checkpoints(tmp_path: Path) -> None:
    world = sealed_world(tmp_path)
    target = segments(world)[1]
    frames = [frame for _, frame in frames_of(target)]
    changed = number(frames[1])
    frames[1] = forged(changed)
    rewrite(target, frames)
    leaves = bytearray(target.with_suffix(".leaf").read_bytes())
    leaves[32:64] = merkle.leaf_hash(frames[1])
    target.with_suffix(".leaf").write_bytes(bytes(leaves))
    report = world.verify()
    fault = report.faults[0]
    assert report.code == TAMPERED
    assert fault.kind == "altered"
    assert fault.first <= changed <= fault.last
    assert fault.last - fault.first < 8
    assert fault.after
    assert report.cannot


# -- leaves, checkpoints, keys ------------------------------------------------------------------


def test_truncated_and_deleted_leaf_files(tmp_path: Path) -> None:
    world = sealed_world(tmp_path)
    path = sorted(world.folder.glob("*.leaf"))[1]
    path.write_bytes(path.read_bytes()[:-64])
    report = world.verify()  # the frames themselves lead to the roots: they are what was sealed
    assert report.code == VERIFIED
    path.unlink()
    assert world.verify().code == VERIFIED
    world.open()
    assert not world.sealer.error
    world.stop()
    assert path.stat().st_size == 32 * 8, "the collector makes them again from the segment"
    assert world.verify().code == VERIFIED


def test_deleted_checkpoints(tmp_path: Path) -> None:
    world = sealed_world(tmp_path)
    elsewhere = witness_file(world)
    path = world.folder / "checkpoints"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-3]))
    report = world.verify()
    assert report.code == CANNOT
    assert report.unsealed is not None
    assert report.unsealed.last == 39
    path.write_bytes(b"".join(lines[:3] + lines[4:]))
    assert world.verify().code == VERIFIED, "one in the middle takes nothing away: the next covers it"
    path.write_bytes(b"".join([lines[1], lines[0], *lines[2:]]))
    assert first(world.verify())[2] == "checkpoints"
    path.unlink()
    report = world.verify()
    assert report.code == CANNOT
    assert "was ever sealed" in report.trusted.cannot[0]
    assert world.verify(witness_files=[elsewhere]).sealed == 0


def test_everything_signed_again_with_another_key(tmp_path: Path) -> None:
    world = sealed_world(tmp_path)
    replace_a_frame(world)
    reseal(world, Signer.new(ORIGIN))
    report = world.verify()
    assert report.code == TAMPERED
    assert "no" in report.faults[0].why
    assert report.sealed == 0
    assert not report.trusted.targets


def test_the_public_key_replaced_too(tmp_path: Path) -> None:
    """Whoever takes the key from the attacked folder is deceived; the pinned key and the witness are not."""
    world = sealed_world(tmp_path)
    elsewhere = witness_file(world)
    replace_a_frame(world)
    other = Signer.new(ORIGIN)
    keys.publish(world.files.public, other.verifier)
    reseal(world, other)
    found = keys.published(world.files.public)
    assert world.verify(pin=found).code == VERIFIED
    assert world.verify().code == TAMPERED
    report = world.verify(pin=found, witness_files=[elsewhere])
    assert report.code == TAMPERED
    assert {fault.kind for fault in report.faults} == {"witness"}


def test_a_forged_change_of_key_is_refused(tmp_path: Path) -> None:
    from sekisho.journal import checkpoint

    world = sealed_world(tmp_path)
    other = Signer.new(ORIGIN)
    stored = StoredTree(world.folder)
    point = stored.frontier(40)
    real = keys.load(world.files.private)
    forged_note = checkpoint.rotation(ORIGIN, 40, point.root(), Signer.new(ORIGIN), other)
    text = forged_note.text.replace(forged_note.text.split("old-key ")[1].split("\n")[0], real.verifier.vkey)
    note = forged_note._replace(text=text, signatures=(other.sign(text),))
    file = sealed_file.CheckpointFile(world.folder)
    file.seal(note, T0)
    file.close()
    report = world.verify()
    assert report.code == TAMPERED
    assert "signed by both keys" in report.faults[0].why


# -- what the journal alone cannot know ---------------------------------------------------------


def test_rolled_back_to_an_older_copy(tmp_path: Path) -> None:
    """The old copy is whole: only somebody else knows that there was more."""
    world = World(tmp_path / "now")
    world.write(20)
    world.stop()
    shutil.copytree(world.data, tmp_path / "old")
    world.open()
    world.write(20)
    world.stop()
    elsewhere = witness_file(world)
    shutil.rmtree(world.folder)
    shutil.copytree(tmp_path / "old" / "journal", world.folder)
    assert world.verify().code == VERIFIED
    report = world.verify(witness_files=[elsewhere])
    assert report.code == TAMPERED
    assert first(report)[:2] == ("witness", 20)
    assert "40 frames" in report.faults[0].why
    assert "20 are here" in report.faults[0].why


def test_signed_again_with_the_stolen_key(tmp_path: Path) -> None:
    world = sealed_world(tmp_path)
    elsewhere = witness_file(world)
    replace_a_frame(world)
    reseal(world, keys.load(world.files.private))
    assert world.verify().code == VERIFIED
    report = world.verify(witness_files=[elsewhere])
    assert report.code == TAMPERED
    kind, at, where = first(report)
    assert (kind, where) == ("witness", "witness")
    assert at <= 17 <= report.faults[0].last


def test_forked(tmp_path: Path) -> None:
    """Two histories from one prefix, both signed with the real key."""
    world = World(tmp_path / "a")
    world.write(20)
    world.stop()
    shutil.copytree(world.data, tmp_path / "b")
    world.open()
    world.write(10)
    world.stop()
    elsewhere = witness_file(world)
    other = World(tmp_path / "b")
    other.random.seed(8)
    other.write(10)
    other.stop()
    assert other.verify().code == VERIFIED
    report = other.verify(witness_files=[elsewhere])
    assert report.code == TAMPERED
    assert first(report)[0] == "witness"
    assert report.faults[0].first == 20


# -- archives, accidents ------------------------------------------------------------------------


def test_an_archived_segment_is_said_to_be_away_and_never_ok(tmp_path: Path) -> None:
    world = sealed_world(tmp_path)
    target = segments(world)[1]
    mark_away(world.folder, int(target.stem), "archived to s3://evidence", T0)
    raw = target.read_bytes()
    target.unlink()
    report = world.verify()
    assert report.code == CANNOT
    assert report.faults == []
    assert report.sealed == 40
    assert "checked by leaf hash only: archived to s3://evidence" in report.cannot[0]
    world.open()
    assert not world.sealer.error
    world.write(6)
    world.stop()
    target.write_bytes(raw)
    assert world.verify().code == VERIFIED


def test_frames_lost_before_they_were_sealed_are_recorded_as_missing(tmp_path: Path) -> None:
    """The lake had taken frames that the disk then lost: their numbers are not given out again."""
    world = World(tmp_path)
    world.write(7)
    world.stop()
    world.writer = JournalWriter(world.folder, at_least=10)
    world.writer.append([batch(b"after")])
    world.writer.close()
    world.open()
    world.stop()
    report = world.verify()
    assert report.code == TAMPERED
    assert [(f.kind, f.first, f.last) for f in report.faults] == [("missing", 7, 9)]
    assert "recorded as missing" in report.faults[0].why
    assert report.sealed == 11


def test_numbers_below_the_first_segment_are_recorded_as_missing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.sealer.close()
    world.writer.close()
    world.writer = JournalWriter(world.folder, at_least=5)
    world.writer.append([batch(b"first")])
    world.writer.close()
    world.open()
    world.stop()
    report = world.verify()
    assert [(f.kind, f.first, f.last) for f in report.faults] == [("missing", 0, 4)]


def test_the_unsealed_end_of_a_crash_is_not_called_verified(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write(12, seal_every=5)
    world.stop(seal=False)
    report = world.verify()
    assert report.code == CANNOT
    assert report.unsealed == (10, 11)
    world.open()
    world.stop()
    assert world.verify().code == VERIFIED


def test_a_running_collector_is_verified_up_to_its_last_checkpoint(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write(12, seal_every=5)
    report = world.verify()
    assert (report.code, report.sealed, report.frames) == (VERIFIED, 10, 10)
    world.stop()


def test_a_journal_of_before_is_taken_over(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write(30, seal_every=0)
    world.stop(seal=False)
    for pattern in ("*.leaf", "nodes.*", "checkpoints"):
        for path in world.folder.glob(pattern):
            path.unlink()
    assert world.verify().code == CANNOT
    world.open()
    world.write(3)
    world.stop()
    report = world.verify()
    assert (report.code, report.frames, report.sealed) == (VERIFIED, 33, 33)


def test_no_key_and_no_checkpoint_are_no_ok(tmp_path: Path) -> None:
    from sekisho.journal.trust import judge
    from sekisho.journal.verify import verify

    world = sealed_world(tmp_path)
    assert verify(world.folder, judge(world.folder, None)).code == CANNOT
    empty = tmp_path / "empty"
    empty.mkdir()
    assert verify(empty, judge(empty, world.pin)).code == CANNOT


def test_part_of_the_journal(tmp_path: Path) -> None:
    from sekisho.journal.trust import judge
    from sekisho.journal.verify import verify

    world = sealed_world(tmp_path)
    report = verify(world.folder, judge(world.folder, world.pin), frames=(10, 12))
    assert (report.code, report.frames) == (VERIFIED, 8)
    assert [span.first for span in report.skipped] == [0, 16, 24, 32]
    replace_a_frame(world)
    assert verify(world.folder, judge(world.folder, world.pin), frames=(0, 12)).code == VERIFIED
    assert verify(world.folder, judge(world.folder, world.pin), frames=(16, None)).code == TAMPERED


def test_a_witness_file_that_says_nothing_of_this_journal_is_no_ok(tmp_path: Path) -> None:
    world = sealed_world(tmp_path)
    path = tmp_path / "other"
    path.write_text(json.dumps({"note": "x"}) + "\n")
    report = world.verify(witness_files=[path])
    assert report.code == TAMPERED
    assert any("holds no checkpoint" in why for why in report.trusted.cannot)
