"""RFC 6587 framing: what comes out never depends on how the stream was cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.collect.framing import CUT_OFF, OCTET_COUNT, TOO_LONG, Framing, Message

ONE = b"<34>1 2026-05-14T01:02:03.000Z host.example su - ID47 - failed for root"
TWO = b"<13>May 14 10:02:03 host.example sshd[77]: Accepted publickey"


def frames(stream: bytes, cuts: list[int] | None = None, limit: int = 4096) -> list[Message]:
    framing = Framing(limit)
    found: list[Message] = []
    start = 0
    for cut in [*sorted({min(cut, len(stream)) for cut in cuts or []}), len(stream)]:
        found += framing.feed(stream[start:cut])
        start = cut
    return found + framing.end()


def counted(body: bytes) -> bytes:
    return b"%d %s" % (len(body), body)


@pytest.mark.parametrize(
    ("stream", "bodies"),
    [
        (counted(ONE) + counted(TWO), [ONE, TWO]),
        (ONE + b"\n" + TWO + b"\n", [ONE, TWO]),
        (ONE + b"\r\n" + TWO + b"\r\n", [ONE, TWO]),
        (ONE + b"\x00" + TWO + b"\x00", [ONE, TWO]),
        (ONE + b"\x00\n" + TWO, [ONE, TWO]),
        (counted(ONE) + b"\n" + counted(TWO) + b"\n", [ONE, TWO]),
        (counted(ONE + b"\n") + counted(TWO), [ONE, TWO]),
        (ONE + b"\n" + counted(TWO) + ONE + b"\n", [ONE, TWO, ONE]),
        (b"\n\r\n\x00" + ONE + b"\n\n\n", [ONE]),
        (counted(b"<1>two\nlines") + counted(TWO), [b"<1>two\nlines", TWO]),
        (b"2026-05-14T01:02:03Z host app: no priority\n", [b"2026-05-14T01:02:03Z host app: no priority"]),
        (b"1 2026-05-14T01:02:03Z no priority\n", [b"1 2026-05-14T01:02:03Z no priority"]),
        (b"0 <13>zero is no count\n", [b"0 <13>zero is no count"]),
        (b"123456789012 <13>x\n", [b"123456789012 <13>x"]),
        (b"", []),
        (b"42", [b"42"]),
    ],
)
def test_known_streams(stream: bytes, bodies: list[bytes]) -> None:
    got = frames(stream)
    assert got == [Message(body) for body in bodies]


def test_after_a_broken_count_nothing_is_lost() -> None:
    got = frames(counted(ONE) + b"garbage without count\n" + counted(TWO))
    assert got == [Message(ONE), Message(b"garbage without count", OCTET_COUNT), Message(TWO)]


def test_stream_that_ends_inside_a_counted_message() -> None:
    assert frames(b"99 " + ONE) == [Message(ONE, CUT_OFF)]


def test_too_long_comes_out_in_pieces_and_the_next_message_is_whole() -> None:
    long = b"<1>" + b"x" * 100
    assert frames(long + b"\n" + TWO + b"\n", limit=64) == [
        Message(long[:64], TOO_LONG),
        Message(long[64:], TOO_LONG),
        Message(TWO),
    ]
    assert frames(counted(long) + counted(TWO), limit=64) == [
        Message(long[:64], TOO_LONG),
        Message(long[64:], TOO_LONG),
        Message(TWO),
    ]


def test_memory_is_bounded_whatever_length_is_promised() -> None:
    framing = Framing(1000)
    pieces = framing.feed(b"999999999 <1>")
    for _ in range(100):
        pieces += framing.feed(b"y" * 500)
        assert len(framing._buffer) <= 1500
    assert sum(len(piece.body) for piece in pieces) >= 49_000
    assert {piece.reason for piece in pieces} == {TOO_LONG}


bodies_ = st.lists(
    st.binary(max_size=80).map(lambda b: b"<7>" + b.replace(b"\n", b"").replace(b"\x00", b"").rstrip(b"\r")),
    max_size=12,
)


@given(
    bodies_, st.lists(st.booleans(), min_size=12, max_size=12), st.lists(st.integers(0, 1500), max_size=20)
)
def test_what_was_framed_comes_back_in_any_cutting(
    bodies: list[bytes], octets: list[bool], cuts: list[int]
) -> None:
    # a sender keeps to one method per connection, or changes from lines to counts
    methods = sorted(octets[: len(bodies)])
    stream = b"".join(
        counted(body) if method else body + b"\n" for body, method in zip(bodies, methods, strict=True)
    )
    assert frames(stream, cuts) == [Message(body) for body in bodies]


pieces_ = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([b"\n", b"\x00", b"\r\n", b"12 ", b"5 <1>ab", b"99999999999 ", b"<13>x\n", b"0 "]),
    ),
    max_size=20,
).map(b"".join)


@given(pieces_, st.lists(st.integers(0, 400), max_size=30), st.integers(16, 60))
def test_any_bytes_give_the_same_messages_in_any_cutting(stream: bytes, cuts: list[int], limit: int) -> None:
    whole = frames(stream, limit=limit)
    assert frames(stream, cuts, limit) == whole
    assert frames(stream, list(range(len(stream))), limit) == whole
    assert all(len(message.body) <= limit for message in whole)


@given(pieces_, st.integers(16, 60))
def test_nothing_but_frames_is_lost(stream: bytes, limit: int) -> None:
    """Every byte that is neither a digit, a space nor a trailer comes out, in order."""
    frame_bytes = b"0123456789 \r\n\x00"
    out = b"".join(message.body for message in frames(stream, limit=limit))
    assert out.translate(None, frame_bytes) == stream.translate(None, frame_bytes)
