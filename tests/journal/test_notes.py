"""Notes, keys and checkpoints against the C2SP documents, and what must be refused."""

from __future__ import annotations

import base64
import hashlib
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.journal import checkpoint as checkpoints
from sekisho.journal import note as notes
from sekisho.journal.checkpoint import Checkpoint
from sekisho.journal.note import COSIGNATURE, BadNote, Note, Signer

NAME = "example.com/log"


def test_a_key_id_and_a_vkey_are_formed_as_the_standard_says() -> None:
    signer = Signer(NAME, b"\x01" * 32)
    public = signer.verifier.public
    key_id = hashlib.sha256(NAME.encode() + b"\n\x01" + public).digest()[:4]
    assert signer.verifier.key_id == key_id
    encoded = base64.b64encode(b"\x01" + public).decode()
    assert signer.verifier.vkey == f"{NAME}+{key_id.hex()}+{encoded}"
    assert notes.verifier(signer.verifier.vkey) == signer.verifier
    assert notes.signer(signer.skey).verifier == signer.verifier
    cosigner = Signer(NAME, b"\x01" * 32, COSIGNATURE)
    assert cosigner.verifier.key_id == hashlib.sha256(NAME.encode() + b"\n\x04" + public).digest()[:4]


def test_the_key_of_the_go_checksum_database_is_read() -> None:
    """A public fact that every Go installation has pinned."""
    vkey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
    found = notes.verifier(vkey)
    assert (found.name, found.key_id.hex(), found.vkey) == ("sum.golang.org", "033de0ae", vkey)


def test_a_signature_is_plain_ed25519_over_the_text() -> None:
    signer = Signer.new(NAME)
    made = Checkpoint(NAME, 5, b"r" * 32)
    note = checkpoints.signed(made, signer)
    text = str(note)
    root = base64.b64encode(b"r" * 32).decode()
    assert text.startswith(f"{NAME}\n5\n{root}\n\n— {NAME} ")
    value = base64.b64decode(text.rstrip("\n").rsplit(" ", 1)[1])
    Ed25519PublicKey.from_public_bytes(signer.verifier.public).verify(value[4:], made.text.encode())
    again = notes.parse(text)
    assert again == note
    assert checkpoints.parse(again.text) == made
    assert signer.verifier.made(again)


def test_a_cosignature_is_over_the_header_the_time_and_the_text() -> None:
    signer = Signer.new("witness.example/w1", COSIGNATURE)
    text = Checkpoint(NAME, 5, b"r" * 32).text
    signature = signer.cosign(text, 1679315147)
    assert notes.cosigned_at(signature) == 1679315147
    at, value = struct.unpack(">Q64s", signature.value)
    message = f"cosignature/v1\ntime {at}\n{text}".encode()
    Ed25519PublicKey.from_public_bytes(signer.verifier.public).verify(value, message)
    assert signer.verifier.made(Note(text, (signature,)))
    later = signature._replace(value=struct.pack(">Q64s", at + 1, value))
    with pytest.raises(BadNote, match="is wrong"):
        signer.verifier.made(Note(text, (later,)))


def test_a_signature_of_an_unknown_key_is_ignored_and_a_wrong_one_of_a_known_key_is_not() -> None:
    signer, other = Signer.new(NAME), Signer.new(NAME)
    note = checkpoints.signed(Checkpoint(NAME, 5, b"r" * 32), signer)
    assert other.verifier.made(note) is None
    forged = note._replace(text=note.text.replace("\n5\n", "\n6\n"))
    with pytest.raises(BadNote, match="is wrong"):
        signer.verifier.made(forged)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no signature\n",
        "text\n\n",
        "text\n\n— name\n",
        "text\n\n— name AAAA\n",
        "text\n\n— name !!!!!!!!\n",
        "text\n\n- name AAAAAAAA\n",
        "text\n\n— na+me AAAAAAAA\n",
        "text\n\n— name AAAAAAAA",
        "te\0xt\n\n— name AAAAAAAA\n",
        "text\n\n" + "— name AAAAAAAA\n" * 65,
        "x" * 70_000 + "\n\n— name AAAAAAAA\n",
    ],
)
def test_what_is_no_note(text: str) -> None:
    with pytest.raises(BadNote):
        notes.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o\n1\n",
        "o\n01\n" + "A" * 43 + "=\n",
        "o\n-1\n" + "A" * 43 + "=\n",
        "o\n1\nAAAA\n",
        "\n1\n" + "A" * 43 + "=\n",
        "o\n1\n" + "A" * 43 + "=\n\n",
        "o\n1\n" + "A" * 43 + "=",
        "o\n99999999999999999999\n" + "A" * 43 + "=\n",
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(BadNote):
        checkpoints.parse(text)


@pytest.mark.parametrize(
    "vkey",
    ["", "name", "name+00000000+AAAA", "name+00000000+" + base64.b64encode(b"\x01" + b"k" * 32).decode()],
)
def test_what_is_no_key(vkey: str) -> None:
    with pytest.raises(BadNote):
        notes.verifier(vkey)


def test_a_wrong_private_key_is_not_shown_in_the_error() -> None:
    skey = Signer.new(NAME).skey
    wrong = skey.replace("+" + skey.split("+")[3] + "+", "+00000000+")
    with pytest.raises(BadNote) as caught:
        notes.signer(wrong)
    assert skey.rsplit("+", 1)[1] not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_anything_is_parsed_or_refused(text: str) -> None:
    try:
        note = notes.parse(text)
    except BadNote:
        return
    assert str(note) == text
    with pytest.raises(BadNote):
        checkpoints.parse(text)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**18), st.binary(min_size=32, max_size=32), st.lists(st.sampled_from(["a", "b c"])))
def test_checkpoints_come_back(size: int, root: bytes, extensions: list[str]) -> None:
    made = Checkpoint(NAME, size, root, tuple(extensions))
    assert checkpoints.parse(made.text) == made
