"""`collect.files`: every format and packing, damage, bombs, and real data."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import resource
import signal
import struct
import tarfile
import time
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import zstandard

from sekisho.collect import files
from sekisho.collect.evtx_worker import Worker, _ends, by_record, parse
from sekisho.collect.files import Chunk
from sekisho.collect.intake import Intake, Order
from sekisho.collect.ledger import Ledger
from sekisho.collect.recognise import recognise
from sekisho.collect.unpack import Limits
from sekisho.model import Records

DEFAULT = Limits()
NDJSON = b'{"n":1}\n{"n":2}\n{"n":3}\n'
EVENT = "<Event xmlns='x'><System><EventID>4625</EventID></System></Event>"
AUTH = b"May 14 10:02:03 host sshd[7]: Failed password\nMay 14 10:02:04 host sshd[7]: Accepted publickey\n"


def chunks(data: bytes, name: str = "", limits: Limits = DEFAULT) -> list[Chunk]:
    return list(files.read(io.BytesIO(data), limits, name=name, packed=len(data)))


def bodies(data: bytes, name: str = "", limits: Limits = DEFAULT) -> list[bytes]:
    return [body for chunk in chunks(data, name, limits) for body in chunk.bodies]


def codes(data: bytes, limits: Limits = DEFAULT) -> list[str]:
    return [trouble.code for chunk in chunks(data, limits=limits) for trouble in chunk.troubles]


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize(
    ("data", "name", "kind", "wrapping", "count"),
    [
        (NDJSON, "", "ndjson", "none", 3),
        (b"\xef\xbb\xbf" + NDJSON, "", "ndjson", "none", 3),
        (b'[{"a":1},{"a":2}]', "", "json", "none", 2),
        (b'{\n "a": 1\n}\n{\n "a": 2\n}\n', "", "json", "none", 2),
        (b'{"Records":[{"a":1},{"a":2}]}', "", "json", "none", 2),
        (EVENT.encode() * 2, "", "event-xml", "none", 2),
        (
            ("\ufeff<?xml version='1.0' encoding='UTF-16'?>" + EVENT).encode("utf-16-le"),
            "",
            "event-xml",
            "none",
            1,
        ),
        (b"time,user,ip\n1,a,192.0.2.1\n2,b,192.0.2.2\n", "", "csv", "csv", 2),
        (b"time\tuser\tip\n1\ta\t192.0.2.1\n", "", "csv", "csv", 1),
        (b"user,ip\na,192.0.2.1\n", "x.csv", "csv", "csv", 1),
        (b"1.0.0.0,1.0.0.255,13335\n1.0.1.0,1.0.1.255,1\n", "x.csv", "lines", "none", 2),
        (AUTH, "", "syslog", "syslog", 2),
        (b"<38>" + AUTH.replace(b"\n", b"\n<38>", 1), "", "syslog", "syslog", 2),
        (b"2026-05-14T10:02:03.123456+09:00 host sshd[7]: Failed password\n", "", "syslog", "syslog", 1),
        (b"<34>1 2026-05-14T01:02:03Z host su - ID47 - failed\n", "", "syslog", "syslog", 1),
        (
            b"1747184523.123 12 192.0.2.1 TCP_MISS/200 512 GET http://a.example/ - DIRECT/- -\n",
            "",
            "lines",
            "none",
            1,
        ),
        (b"[2026-05-14 10:00:00] hello\n", "", "lines", "none", 1),
        (b"one line, with, commas and text\nanother\n", "", "lines", "none", 2),
        (b"", "", "empty", "none", 0),
        (b"\n\n", "", "empty", "none", 0),
    ],
)
def test_formats_are_recognised_by_content(
    data: bytes, name: str, kind: str, wrapping: str, count: int
) -> None:
    for packed in (data, gzip.compress(data), zst(data)):
        got = chunks(packed, name)
        assert [(c.format, c.wrapping, len(c.bodies), c.troubles) for c in got] == [
            (kind, wrapping, count, ())
        ]


def test_attributes_tell_header_line_and_encoding() -> None:
    (chunk,) = chunks(b"time;user;ip\n\n1;a;192.0.2.1\n")
    assert chunk.attributes == {
        "format": "csv",
        "csv_header": "time;user;ip",
        "csv_delimiter": ";",
        "first_line": "3",
    }
    (chunk,) = chunks('\ufeff{"a":"関所"}\n{}\n'.encode("utf-16-be"))
    assert chunk.attributes["transcoded"] == "utf-16-be"
    assert chunk.bodies == ('{"a":"関所"}'.encode(), b"{}")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x7fELF\x02\x01", "ELF"),
        (b"LPKSHHRH" + b"\x00" * 50, "journalctl"),
        (b"\xfd7zXZ\x00abc", "unpack"),
        (bytes(range(1, 20)) + b"\x00" * 30, "binary"),
        (b"<?xml version='1.0'?><html/>", "XML"),
    ],
)
def test_what_is_no_log_is_said_in_both_languages(data: bytes, what: str) -> None:
    (chunk,) = chunks(data)
    (trouble,) = chunk.troubles
    assert trouble.code == "not-a-log"
    assert what in trouble.text.en
    assert "ログとして読めません" in trouble.text.ja


def test_containers_inside_each_other_and_their_labels() -> None:
    inner = zipped({"b/c.json": b'[{"a":1}]', "d.log.gz": gzip.compress(AUTH)})
    data = gzip.compress(tarred({"x/one.zip": inner, "../../etc/two.ndjson": NDJSON}))
    got = chunks(data)
    assert [(c.member, c.number, c.format, len(c.bodies)) for c in got] == [
        ("x/one.zip!b/c.json", 0, "json", 1),
        ("x/one.zip!d.log.gz", 1, "syslog", 2),
        ("../../etc/two.ndjson", 2, "ndjson", 3),
    ]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_notations(form: int) -> None:
    long = (
        "/".join(["folder" * 5] * 6) + "/a.ndjson" if form != tarfile.USTAR_FORMAT else "d/" * 60 + "a.ndjson"
    )
    data = tarred({long: NDJSON, "empty": b"", "b.log": AUTH}, form)
    assert [(c.member, len(c.bodies)) for c in chunks(data)] == [(long, 3), ("empty", 0), ("b.log", 2)]


def test_contents_agree_with_read() -> None:
    data = zipped({"a.ndjson": NDJSON, "b": AUTH * 1000, "c": b""})
    known = list(files.contents(io.BytesIO(data), Limits(), packed=len(data)))
    last = [chunk for chunk in chunks(data) if chunk.last]
    assert [(c.member, c.number, c.sha256) for c in known] == [(c.member, c.number, c.sha256) for c in last]
    assert [c.size for c in known] == [len(NDJSON), len(AUTH) * 1000, 0]


def test_skipping_gives_the_same_chunks_as_reading_on() -> None:
    data = b"".join(b'{"n":%d}\n' % n for n in range(100))
    limits = Limits(chunk_bodies=7)
    whole = chunks(data, limits=limits)
    assert [len(c.bodies) for c in whole] == [7] * 14 + [2]
    rest = list(files.read(io.BytesIO(data), limits, skip=lambda number: 21))
    assert [(c.first, c.bodies, c.attributes) for c in rest] == [
        (c.first, c.bodies, c.attributes) for c in whole[3:]
    ]


# -- damage: the good part is kept ------------------------------------------------------------------


@pytest.mark.parametrize("pack", [gzip.compress, zst])
def test_cut_off_compression_keeps_what_was_before(pack: object) -> None:
    noise = random.Random(1)
    data = b"".join(b'{"n":%d}\n' % noise.getrandbits(200) for _ in range(20_000))
    assert callable(pack)
    packed = pack(data)
    cut = packed[: len(packed) // 2]
    got = bodies(cut)
    assert 5_000 < len(got) < 15_000
    assert b"\n".join(got) == data[: len(b"\n".join(got))]
    assert codes(cut) == ["damaged"]


def test_damaged_zip_member_costs_no_other() -> None:
    data = bytearray(zipped({"a.ndjson": NDJSON, "b.ndjson": NDJSON}, zipfile.ZIP_STORED))
    at = data.index(b'{"n":2}')
    data[at + 5] = ord("9")
    assert len(bodies(bytes(data))) == 6
    assert codes(bytes(data)) == ["damaged"]
    assert codes(bytes(data[:-100])) == ["damaged"]


def test_zip_of_other_methods_or_encrypted_is_named() -> None:
    assert codes(zipped({"a": NDJSON}, zipfile.ZIP_LZMA)) == ["method"]
    data = bytearray(zipped({"a": NDJSON}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert codes(bytes(data)) == ["encrypted"]


@pytest.mark.parametrize("seed", range(30))
def test_damaged_containers_never_raise(seed: int) -> None:
    noise = random.Random(seed)
    whole = [gzip.compress(tarred({"a": AUTH, "b": NDJSON})), zipped({"a": AUTH}), zst(tarred({"a": AUTH}))]
    for data in map(bytearray, whole):
        for _ in range(noise.choice([1, 3, 30])):
            data[noise.randrange(2, len(data))] = noise.randrange(256)
        for chunk in chunks(bytes(data[: noise.randrange(len(data) // 2, len(data) + 1)])):
            assert all(trouble.text.en and trouble.text.ja for trouble in chunk.troubles)


# -- bombs ------------------------------------------------------------------------------------------

SMALL = Limits(expanded=50 << 20, ratio=100, ratio_from=1 << 20, members=50, depth=3, inner_zip=1 << 20)


def zeros(size: int) -> bytes:
    return b"0" * size


@pytest.mark.parametrize(
    "pack", [gzip.compress, zst, lambda d: zipped({"a": d}), lambda d: gzip.compress(tarred({"a": d}))]
)
def test_ratio_bombs_are_stopped(pack: object) -> None:
    assert callable(pack)
    data = pack(zeros(40 << 20))
    assert "ratio" in codes(data, SMALL)


def test_large_expansion_is_stopped() -> None:
    noise = random.Random(3).randbytes(1 << 20).hex().encode()
    data = gzip.compress(noise * 30, 1)
    assert "too-large" in codes(data, Limits(expanded=20 << 20))


def test_too_many_members_and_too_deep() -> None:
    assert "too-many-members" in codes(zipped({f"{n}": b"x" for n in range(60)}), SMALL)
    assert "too-many-members" in codes(tarred({f"{n}": b"x" for n in range(60)}), SMALL)
    data = NDJSON
    for _ in range(5):
        data = gzip.compress(data)
    assert codes(data, SMALL) == ["too-deep"]


def test_zip_in_tar_above_the_limit_is_named() -> None:
    big = zipped({"a": random.Random(1).randbytes(2 << 20)}, zipfile.ZIP_STORED)
    assert codes(tarred({"x.zip": big}), SMALL) == ["inner-zip"]


def test_zip_directory_that_would_fill_the_memory_is_refused() -> None:
    data = bytearray(zipped({"a": b"x"}))
    end = data.rindex(b"PK\x05\x06")
    struct.pack_into("<I", data, end + 12, 0x7FFFFFFF)
    assert codes(bytes(data), SMALL) == ["damaged"]


def test_pax_header_that_claims_gigabytes_is_refused() -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 8 << 30
    header = info.tobuf(tarfile.GNU_FORMAT)
    assert codes(gzip.compress(header + zeros(4 << 20)), Limits()) == ["damaged"]


def test_memory_stays_flat_on_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "large.ndjson.gz"
    line = json.dumps({"user": "emp0042", "pad": "x" * 400}).encode() + b"\n"
    with gzip.open(path, "wb", compresslevel=1) as out:
        for _ in range(300):
            out.write(line * 1000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = sum(len(chunk.bodies) for chunk in files.read_path(path))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert count == 300_000
    assert grown < 60_000, f"{grown} KiB more for a file of {300 * 1000 * len(line)} bytes"


# -- real data --------------------------------------------------------------------------------------


def tally(path: Path) -> tuple[Counter[str], list[str]]:
    counts: Counter[str] = Counter()
    troubles: list[str] = []
    with Worker() as parser:
        for chunk in files.read_path(path, parser=parser):
            counts[chunk.format] += len(chunk.bodies)
            troubles += [trouble.code for trouble in chunk.troubles]
        assert parser.starts <= 1
    return counts, troubles


@pytest.mark.slow
def test_sigma_regression_recordings(shared_data: Path) -> None:
    """202 EVTX files with 238 records, the same as JSON; one JSON file is a Cisco line."""
    counts, troubles = tally(shared_data / "sigma" / "sigma-regression.tar.zst")
    assert counts["evtx"] == 238
    assert counts["json"] + 0 >= 238
    assert troubles == []


def evtx_file(shared_data: Path, ending: str = "", records: int = 0) -> bytes:
    """Of the regression data: the file of that name, or the largest; with so many records in its chunk."""
    best = b""
    with (shared_data / "sigma" / "sigma-regression.tar.zst").open("rb") as packed:
        whole = zstandard.ZstdDecompressor().stream_reader(packed).read()
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        for info in archive:
            if info.name.endswith(ending or ".evtx"):
                member = archive.extractfile(info)
                assert member is not None
                data = member.read()
                if not records or len(list(_ends(data[4096 : 4096 + 65536]))) >= records:
                    best = max(best, data, key=lambda d: (len(d), d.count(b"\x2a\x2a\x00\x00")))
    return best


def test_evtx_damaged_chunks_are_named_and_good_ones_kept(shared_data: Path) -> None:
    good = evtx_file(shared_data)
    header, chunk = good[:4096], good[4096 : 4096 + 65536]
    records = len(bodies(good))
    assert records >= 1
    assert bodies(good)[0].startswith(b"<Event ")
    flipped = bytearray(chunk)
    flipped[600] ^= 0xFF
    data = header + chunk + b"\xde\xad" * 32768 + bytes(flipped) + chunk + chunk[:1000]
    got = chunks(data)
    places = {(t.code, t.place) for c in got for t in c.troubles}
    assert ("evtx-chunk", "chunk 1") in places
    assert ("evtx-checksum", "chunk 2") in places
    assert ("evtx-cut-off", "chunk 4") in places
    whole = [body for c in got for body in c.bodies]
    assert len(whole) >= 2 * len(bodies(header + chunk))


#: A recording in which one byte, the value of an attribute's type, makes the parser loop for ever.
LOOPS_IN = "proc_creation_win_curl_custom_user_agent/85de1f22-d189-44e4-8239-dc276b45379b.evtx"
LOOPS_AT, LOOPS_WITH = 6154 - 4096, 144


def looping_chunk(shared_data: Path) -> tuple[bytes, bytes]:
    """Header of the file, and its chunk with the bad byte."""
    data = evtx_file(shared_data, LOOPS_IN)
    chunk = bytearray(data[4096 : 4096 + 65536])
    chunk[LOOPS_AT] = LOOPS_WITH
    return data[:4096], bytes(chunk)


def test_evtx_that_hangs_the_parser_costs_its_chunk_only(shared_data: Path) -> None:
    header, bad = looping_chunk(shared_data)
    good = evtx_file(shared_data, LOOPS_IN)[4096:]
    began = time.monotonic()
    (chunk,) = chunks(header + good + bad + good)
    assert len(chunk.bodies) == 2
    assert chunk.whole
    assert [t.place for t in chunk.troubles if t.code == "evtx-stuck"] == ["chunk 1"]
    assert "chunk 2" not in {t.place for t in chunk.troubles}
    assert time.monotonic() - began < 30  # two seconds of processor time on a busy machine


def test_evtx_record_by_record_gives_the_same(shared_data: Path) -> None:
    """What is done after a hang, with a chunk of several records that has none."""
    chunk = evtx_file(shared_data, "", records=5)[4096 : 4096 + 65536]
    told: list[bytes] = []
    try:
        by_record(chunk, lambda parsed: told.extend(parsed.records))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    assert told == parse(chunk).records
    assert len(told) >= 5


@pytest.mark.slow
def test_evtx_is_given_up_after_three_hangs_and_stays_unfinished(shared_data: Path, tmp_path: Path) -> None:
    header, bad = looping_chunk(shared_data)
    good = evtx_file(shared_data, LOOPS_IN)[4096:]
    path = tmp_path / "hostile.evtx"
    path.write_bytes(header + good + bad * 3 + good * 2)
    kept: list[bytes] = []

    def append(records: Records) -> int:
        kept.extend(records.bodies)
        return 0

    with Ledger(tmp_path / "ledger") as ledger, Worker() as parser:
        intake = Intake(ledger, append, now=lambda: 7, wait=lambda s: None, order=Order(), parser=parser)
        outcome = intake.path(path)
        assert [t.place for t in outcome.troubles if t.code == "evtx-given-up"] == ["from chunk 4"]
        assert (len(kept), outcome.records) == (1, 1)
        entry = ledger.find(hashlib.sha256(path.read_bytes()).hexdigest())
        assert entry is not None
        assert (entry.bodies, entry.finished) == (1, False)
        again = intake.path(path)
        assert (again.records, again.already, len(kept)) == (0, 1, 1)


@pytest.mark.parametrize("seed", range(20))
def test_evtx_with_random_damage_never_raises(shared_data: Path, seed: int) -> None:
    noise = random.Random(seed)
    data = bytearray(evtx_file(shared_data)) if seed == 0 else bytearray(_cached(shared_data))
    for _ in range(noise.choice([1, 10, 100])):
        data[noise.randrange(4096, len(data))] = noise.randrange(256)
    for chunk in chunks(bytes(data)):
        assert all(body.startswith(b"<Event") for body in chunk.bodies)


_held: list[bytes] = []


def _cached(shared_data: Path) -> bytes:
    if not _held:
        _held.append(evtx_file(shared_data))
    return _held[0]


def test_invictus_and_stratus_deliveries(shared_data: Path) -> None:
    assert tally(shared_data / "real-logs/invictus-aws/cloudtrail-2023-07-10.tar.gz") == ({"json": 2900}, [])
    assert tally(shared_data / "real-logs/stratus-red-team/detonation-logs.zip") == ({"json": 310}, [])


@pytest.mark.slow
def test_every_record_of_the_otrf_sets(shared_data: Path) -> None:
    """As many records as the index says, less one CSV header and one empty line."""
    total: Counter[str] = Counter()
    for path in sorted((shared_data / "real-logs/otrf-security-datasets/zips").iterdir()):
        counts, troubles = tally(path)
        total += counts
        assert troubles == [], path.name
    assert total.total() in (137_140, 137_141, 137_142)
    assert total["csv"] == 301


def test_sc4s_lines_are_syslog_where_they_read_so(shared_data: Path) -> None:
    lines = (shared_data / "real-logs/sc4s-syslog/syslog-lines.txt").read_bytes().splitlines()
    only = b"\n".join(line.split(b"\t", 1)[1] for line in lines)
    assert recognise(only[: 1 << 18]).format == "syslog"
    (chunk,) = chunks(only)
    assert len(chunk.bodies) == 742
