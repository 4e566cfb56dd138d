"""What users rely on: acknowledged means kept, byte for byte, and damage is named, not hidden."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.journal import GroupCommit, JournalReader, JournalWriter, Outcome, Rejects
from sekisho.journal import format as fmt
from sekisho.model import Offset, Records, Refused, Reject, Retry


def batch(*bodies: bytes, source: str = "okta") -> Records:
    return Records(source, "hec", "none", "192.0.2.7:50000", "edge", 1_700_000_000_000_000_000, bodies)


def everything(folder: Path) -> list[bytes]:
    reader = JournalReader(folder)
    taken = reader.read(0, 10**9)
    assert taken.damage == []
    reader.close()
    return [body for frame in taken.frames for body in frame.records.bodies]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.binary(max_size=300), max_size=20), max_size=12), st.integers(64, 4000))
def test_bodies_come_back_byte_for_byte_over_segments_and_restarts(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]], segment: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    for i, bodies in enumerate(batches):
        writer = JournalWriter(folder, segment_bytes=segment)
        assert writer.append([batch(*bodies)]) == [i]
        writer.close()
    assert everything(folder) == [body for bodies in batches for body in bodies]


def test_a_reader_follows_a_writer_and_never_passes_the_durable_mark(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, segment_bytes=2000)
    reader = JournalReader(tmp_path)
    seen: list[bytes] = []
    at = 0
    for i in range(200):
        writer.append([batch(b"%d" % i, os.urandom(50))])
        if i % 3 == 0:
            taken = reader.read(at, 5)
            seen += [frame.records.bodies[0] for frame in taken.frames]
            at = taken.next
    while (taken := reader.read(at, 5)).frames:
        seen += [frame.records.bodies[0] for frame in taken.frames]
        at = taken.next
    assert seen == [b"%d" % i for i in range(200)]
    assert reader.frame(77) is not None
    assert reader.frame(200) is None


def test_unsynced_frames_are_invisible_to_readers(tmp_path: Path) -> None:
    class PowerCutError(Exception):
        pass

    calls = 0

    def fsync(fd: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise PowerCutError
        os.fdatasync(fd)

    writer = JournalWriter(tmp_path, fsync=fsync)
    writer.append([batch(b"one")])
    writer.append([batch(b"two")])
    with pytest.raises(PowerCutError):
        writer.append([batch(b"three")])
    assert everything(tmp_path) == [b"one", b"two"]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_torn_tail_is_cut_and_everything_before_it_stays(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    writer = JournalWriter(folder)
    for i in range(5):
        writer.append([batch(b"frame %d" % i)])
    writer.close()
    (segment,) = folder.glob("*.seg")
    whole = segment.read_bytes()
    keep = data.draw(st.integers(fmt.SEGMENT_HEADER.size, len(whole)))
    segment.write_bytes(whole[:keep] + data.draw(st.binary(max_size=40)))
    # a power cut takes the mark and the leaf hashes too: nothing after them was acknowledged
    (folder / "durable").unlink()
    for leaves in folder.glob("*.leaf"):
        leaves.unlink()
    writer = JournalWriter(folder)
    writer.append([batch(b"after")])
    writer.close()
    bodies = everything(folder)
    assert bodies[-1] == b"after"
    assert bodies[:-1] == [b"frame %d" % i for i in range(len(bodies) - 1)]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_flipped_byte_is_named_and_the_rest_stays_readable(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    writer = JournalWriter(folder)
    for i in range(6):
        writer.append([batch(b"frame %d" % i)])
    writer.close()
    (segment,) = folder.glob("*.seg")
    raw = bytearray(segment.read_bytes())
    place = data.draw(st.integers(fmt.SEGMENT_HEADER.size, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    segment.write_bytes(bytes(raw))
    reader = JournalReader(folder)
    taken = reader.read(0, 100)
    lost = {n for damage in taken.damage for n in range(damage.first, damage.last + 1)}
    assert lost
    assert all(damage.segment == segment.name and damage.why for damage in taken.damage)
    assert [frame.number for frame in taken.frames] == sorted(set(range(6)) - lost)
    assert len(lost) == 1
    reader.close()


def test_writing_goes_on_in_a_new_segment_after_damage_in_the_last(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path)
    for i in range(4):
        writer.append([batch(b"frame %d" % i)])
    writer.close()
    (segment,) = tmp_path.glob("*.seg")
    raw = bytearray(segment.read_bytes())
    raw[fmt.SEGMENT_HEADER.size + 40] ^= 1
    segment.write_bytes(bytes(raw))
    evidence = segment.read_bytes()
    writer = JournalWriter(tmp_path)
    assert writer.append([batch(b"new")]) == [4]
    writer.close()
    assert segment.read_bytes() == evidence
    taken = JournalReader(tmp_path).read(0, 100)
    assert [frame.number for frame in taken.frames] == [1, 2, 3, 4]
    assert [(d.first, d.last) for d in taken.damage] == [(0, 0)]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_damage_to_acknowledged_frames_at_the_end_is_kept_and_no_number_is_given_twice(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    writer = JournalWriter(folder)
    for i in range(3):
        writer.append([batch(b"frame %d" % i)])
    writer.close()
    (segment,) = folder.glob("*.seg")
    raw = bytearray(segment.read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    segment.write_bytes(bytes(raw))
    writer = JournalWriter(folder)
    assert writer.append([batch(b"new")]) == [3]
    writer.close()
    assert segment.read_bytes()[: len(raw)] == bytes(raw), "evidence stays as it was found"
    taken = JournalReader(folder).read(0, 100)
    assert taken.frames[-1] == (3, batch(b"new"))
    whole = {frame.number for frame in taken.frames}
    lost = {n for damage in taken.damage for n in range(damage.first, damage.last + 1)}
    assert whole | lost == {0, 1, 2, 3}


def test_numbers_go_on_above_what_the_lake_has_taken(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, at_least=7)
    assert writer.append([batch(b"x")]) == [7]
    writer.close()
    assert JournalWriter(tmp_path, at_least=3).append([batch(b"y")]) == [8]


async def test_text_that_is_no_utf_8_beside_the_bodies_is_kept_escaped(tmp_path: Path) -> None:
    commit = GroupCommit(JournalWriter(tmp_path))
    odd = Records("okta", "hec", "none", "p", "t", 0, (b"x",), {"channel": "ab\udcff"})
    assert await commit.append(odd) == 0
    assert await commit.append(batch(b"next")) == 1
    await commit.close()
    assert JournalReader(tmp_path).read(0, 9).frames[0].records.attributes == {"channel": "ab\\udcff"}


async def test_a_bug_in_writing_ends_the_process_and_nobody_waits_for_ever(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path)
    commit = GroupCommit(writer)
    impossible = Records("okta", "hec", "none", "p", "t", 0, ("text is no body",))  # type: ignore[arg-type]
    with pytest.raises(Retry):
        await commit.append(impossible)
    with pytest.raises(TypeError):
        await commit.failed
    with pytest.raises(Retry):
        await commit.append(batch(b"after"))


def test_a_second_writer_refuses_and_names_the_first(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path)
    with pytest.raises(Refused, match=f"process {os.getpid()}"):
        JournalWriter(tmp_path)
    writer.close()
    JournalWriter(tmp_path).close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_a_full_disk_refuses_with_retry_keeps_what_it_had_and_goes_on_later(tmp_path: Path) -> None:
    disk = tmp_path / "small"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"cannot mount a small tmpfs: {done.stderr.decode().strip()}")
    try:
        writer = JournalWriter(disk / "journal", segment_bytes=60_000)
        kept: list[bytes] = []
        full = False
        while not full:
            body = b"%d " % len(kept) + os.urandom(3000)
            try:
                writer.append([batch(body)])
            except Retry:
                full = True
            else:
                kept.append(body)
        assert 20 < len(kept) < 100
        assert everything(disk / "journal") == kept
        with pytest.raises(Retry):
            writer.append([batch(os.urandom(60_000))])
        assert everything(disk / "journal") == kept
        min((disk / "journal").glob("*.seg")).unlink()  # somebody made room
        writer.append([batch(b"again")])
        taken = JournalReader(disk / "journal").read(len(kept), 10)
        assert [frame.records.bodies for frame in taken.frames] == [(b"again",)]
        writer.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_too_little_free_space_refuses_before_writing(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, min_free=1 << 62)
    with pytest.raises(Retry, match="free"):
        writer.append([batch(b"x")])


async def test_group_commit_acknowledges_each_with_its_own_number(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path)
    commit = GroupCommit(writer)
    numbers = await asyncio.gather(*(commit.append(batch(b"%d" % i)) for i in range(300)))
    await commit.close()
    assert sorted(numbers) == list(range(300))
    reader = JournalReader(tmp_path)
    for i, number in enumerate(numbers):
        frame = reader.frame(number)
        assert frame is not None
        assert frame.records.bodies == (b"%d" % i,)


async def test_group_commit_bounds_what_waits(tmp_path: Path) -> None:
    commit = GroupCommit(JournalWriter(tmp_path), max_waiting=1000)
    results = await asyncio.gather(
        *(commit.append(batch(b"x" * 600)) for _ in range(20)), return_exceptions=True
    )
    await commit.close()
    kept = [r for r in results if isinstance(r, int)]
    assert any(isinstance(r, Retry) for r in results)
    assert len(everything(tmp_path)) == len(kept)


KILLED = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    from sekisho.journal import JournalWriter
    from sekisho.model import Records
    writer = JournalWriter(Path(sys.argv[1]), segment_bytes=20_000)
    i = writer.next_frame
    while True:
        body = b"%d " % i + os.urandom(200)
        writer.append([Records("s", "hec", "none", "p", "", 0, (body,))])
        os.write(1, b"%d\\n" % i)
        i += 1
    """
)


@pytest.mark.slow
def test_kill_9_at_random_moments_loses_nothing_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(5)
    acknowledged = -1
    for _ in range(8):
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE)
        time.sleep(0.5 + chance.random() * 0.4)
        child.kill()
        out, _ = child.communicate()
        lines = out.decode().splitlines()
        if lines:
            acknowledged = int(lines[-1])
    numbers = [int(body.split()[0]) for body in everything(tmp_path)]
    assert acknowledged > 0
    assert numbers[: acknowledged + 1] == list(range(acknowledged + 1))
    assert numbers == list(range(len(numbers)))


def test_rejects_are_idempotent_counted_and_retried(tmp_path: Path) -> None:
    rejects = Rejects(tmp_path)
    one = Reject(Offset(3, 1), "okta", "not-json", "line 1: no object", ())
    two = Reject(Offset(3, 2), "auto", "unknown-format", "resembles nothing", ("okta", "ocsf"))
    stale = Reject(Offset(4, 0), "okta", "crashed-attempt", "became an event later")
    rejects.settle([one, two, stale], {3: 99}, (3, 4), (0, 9))
    rejects.settle([one, two], {3: 99}, (3, 4), (0, 9))
    rejects.settle([], {}, (3, 4), (5, 9))
    assert rejects.counts() == [("auto", "unknown-format", 1), ("okta", "not-json", 1)]
    assert rejects.rows(source="auto")[0].reject.candidates == ("okta", "ocsf")
    assert rejects.ask_retry("auto", "", "okta") == 1
    assert [row.retry_as for row in rejects.to_retry(10)] == ["okta"]
    rejects.begin_retry([Offset(3, 2)])
    (row,) = rejects.to_retry(10)
    assert row.tried == 1, "the mark stays until the attempt has an end"
    rejects.plan([Outcome(row, None)], 7)
    assert not rejects.carry_out(7), "nothing was committed since"
    assert rejects.to_retry(10) == [row]
    rejects.plan([Outcome(row, None)], 7)
    assert rejects.carry_out(8)
    assert not rejects.carry_out(9), "a plan is carried out once"
    assert rejects.total() == 1
    assert rejects.get(Offset(3, 2)) is None


def test_a_mark_that_is_set_anew_during_a_retry_stays(tmp_path: Path) -> None:
    rejects = Rejects(tmp_path)
    rejects.settle([Reject(Offset(1, 0), "auto", "unknown-format", "?")], {1: 5}, (1, 1), (0, 0))
    rejects.ask_retry("", "", "okta")
    (row,) = rejects.to_retry(10)
    rejects.begin_retry([row.reject.offset])
    rejects.ask_retry("", "", "syslog")
    rejects.end_retry([Outcome(row, Reject(row.reject.offset, "okta", "not-json", "no"))])
    (again,) = rejects.to_retry(10)
    assert (again.retry_as, again.tried, again.received_at) == ("syslog", 0, 5)
    assert again.reject.source == "okta"
