"""Being a witness: what C2SP tlog-witness asks for, and what a rolled-back or forked log gets."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.journal import checkpoint as checkpoints
from sekisho.journal import merkle
from sekisho.journal import note as notes
from sekisho.journal.checkpoint import Checkpoint
from sekisho.journal.note import COSIGNATURE, BadNote, Note, Signer
from sekisho.journal.witness import Answer, Witness, parse, read_state, request

ORIGIN = "exchange.example/sekisho/w"


class Log:
    """A small log in memory that can be asked to misbehave."""

    def __init__(self, signer: Signer, salt: bytes = b"") -> None:
        self.signer = signer
        self.leaves = [merkle.leaf_hash(salt + bytes([i])) for i in range(40)]

    def node(self, height: int, index: int) -> bytes:
        return merkle.reduced(b"".join(self.leaves[index << height : (index + 1) << height]))

    def note(self, size: int) -> Note:
        made = Checkpoint(self.signer.verifier.name, size, merkle.root(self.node, size))
        return checkpoints.signed(made, self.signer)

    def ask(self, old: int, size: int) -> bytes:
        return request(old, merkle.consistency(self.node, old, size), self.note(size))


@pytest.fixture
def log() -> Log:
    return Log(Signer.new(ORIGIN))


@pytest.fixture
def cosigner() -> Signer:
    return Signer.new("osaka.example/witness", COSIGNATURE)


@pytest.fixture
def witness(tmp_path: Path, log: Log, cosigner: Signer) -> Witness:
    return Witness(tmp_path, cosigner, {ORIGIN: [log.signer.verifier]})


def cosigned(answer: Answer, note: Note, cosigner: Signer) -> int:
    assert answer.status == 200
    signature = cosigner.verifier.made(Note(note.text, notes.signatures(answer.body)))
    assert signature
    return notes.cosigned_at(signature)


def test_a_log_that_grows_is_cosigned(witness: Witness, log: Log, cosigner: Signer, tmp_path: Path) -> None:
    size = 0
    for now, following in enumerate((3, 3, 8, 9, 33), start=100):
        answer = witness.add_checkpoint(log.ask(size, following), now)
        assert cosigned(answer, log.note(following), cosigner) == now
        state = read_state(tmp_path, ORIGIN)
        assert state
        assert (state.size, state.at, state.note) == (following, now, str(log.note(following)))
        size = following


def test_a_wrong_old_size_is_answered_with_the_size(witness: Witness, log: Log) -> None:
    witness.add_checkpoint(log.ask(0, 8), 1)
    answer = witness.add_checkpoint(log.ask(0, 12), 2)
    assert (answer.status, answer.body, answer.content_type) == (409, "8\n", "text/x.tlog.size")
    assert not answer.incident
    assert witness.add_checkpoint(request(13, [], log.note(12)), 2).status == 400


def test_a_log_that_was_rolled_back_is_refused_and_told(witness: Witness, log: Log, tmp_path: Path) -> None:
    witness.add_checkpoint(log.ask(0, 12), 1)
    for old in (0, 5, 12):
        answer = witness.add_checkpoint(request(old, [], log.note(8)), 2)
        assert answer.status == (409 if old <= 8 else 400)
        assert "rolled back: shows 8 frames, 12 were cosigned" in answer.incident
    state = read_state(tmp_path, ORIGIN)
    assert state
    assert state.size == 12


def test_a_fork_is_refused_and_told(witness: Witness, log: Log, tmp_path: Path) -> None:
    witness.add_checkpoint(log.ask(0, 8), 1)
    fork = Log(log.signer, salt=b"other")
    longer = witness.add_checkpoint(fork.ask(8, 20), 2)
    assert (longer.status, "forked" in longer.incident) == (422, True)
    same = witness.add_checkpoint(fork.ask(8, 8), 2)
    assert (same.status, same.body, "forked" in same.incident) == (409, "8\n", True)
    state = read_state(tmp_path, ORIGIN)
    assert state
    assert (state.size, state.at) == (8, 1)


def test_strangers(witness: Witness, log: Log) -> None:
    assert witness.add_checkpoint(Log(Signer.new("other.example/log")).ask(0, 3), 1).status == 404
    assert witness.add_checkpoint(Log(Signer.new(ORIGIN)).ask(0, 3), 1).status == 403
    forged = log.note(3)._replace(text=log.note(4).text)
    assert witness.add_checkpoint(request(0, [], forged), 1).status == 403
    assert witness.add_checkpoint(request(0, [b"x" * 32], log.note(3)), 1).status == 422
    assert witness.add_checkpoint(b"nonsense", 1).status == 400


def test_a_change_of_key_is_followed_once_it_is_signed_by_both(witness: Witness, log: Log) -> None:
    witness.add_checkpoint(log.ask(0, 4), 1)
    new = Log(Signer.new(ORIGIN))
    assert witness.add_checkpoint(new.ask(4, 6), 2).status == 403
    handed = checkpoints.rotation(ORIGIN, 6, merkle.root(log.node, 6), log.signer, new.signer)
    proof = merkle.consistency(log.node, 4, 6)
    half = handed._replace(signatures=handed.signatures[1:])
    assert witness.add_checkpoint(request(4, proof, half), 3).status == 403
    assert witness.add_checkpoint(request(4, proof, handed), 3).status == 200
    assert witness.add_checkpoint(new.ask(6, 7), 4).status == 200
    assert witness.add_checkpoint(log.ask(7, 8), 5).status == 403, "the old key has handed over"


def test_a_damaged_state_signs_nothing(witness: Witness, log: Log, tmp_path: Path) -> None:
    witness.add_checkpoint(log.ask(0, 4), 1)
    (path,) = tmp_path.glob("*.json")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(OSError, match="is damaged"):
        witness.add_checkpoint(log.ask(4, 6), 2)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_body_is_parsed_or_refused(body: bytes) -> None:
    with pytest.raises(BadNote):
        parse(body)


def test_more_than_63_lines_of_proof_are_refused(log: Log) -> None:
    line = base64.b64encode(b"x" * 32).decode()
    for count, good in ((63, True), (64, False)):
        body = ("old 1\n" + f"{line}\n" * count + f"\n{log.note(3)}").encode()
        if good:
            assert len(parse(body).proof) == 63
        else:
            with pytest.raises(BadNote):
                parse(body)
