"""Checkpoints told to real listeners on the loopback interface, also when they are away for a while."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from sekisho.journal import asking, keys, stamping
from sekisho.journal import sealed as sealed_file
from sekisho.journal.asking import NotToldError
from sekisho.journal.note import COSIGNATURE, Signer
from sekisho.journal.sealed import CheckpointFile
from sekisho.journal.telling import ToAuthority, ToFile, ToSyslog, ToWebhook, ToWitness
from sekisho.journal.told import Told
from sekisho.journal.verify import TAMPERED, VERIFIED
from sekisho.journal.witness import Witness
from tests.collect.syslog_keys import make_keys
from tests.journal.sealing import T0, World, sealed_world

Respond = Callable[[str, dict[str, str], bytes], tuple[int, bytes]]


@contextmanager
def http(respond: Respond, port: int = 0) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = respond(self.path, dict(self.headers), body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


def told_file(world: World, path: Path) -> Told:
    return Told("worm", "file", ToFile(path), world.folder, world.data / "seal")


# -- file ---------------------------------------------------------------------------------------


def test_a_file_gets_every_checkpoint_also_after_it_was_away(tmp_path: Path) -> None:
    world = World(tmp_path)
    path = tmp_path / "mount" / "checkpoints"
    told = told_file(world, path)
    world.write(10)
    step = told.step(T0)
    assert "No such file" in told.state.error
    assert (step.pause, step.incident) == (1.0, "")
    assert told.step(T0).pause == 2.0
    world.write(10)
    path.parent.mkdir()
    told.step(T0 + 9)
    assert (told.state.error, told.state.size, told.state.told_at) == ("", 20, T0 + 9)
    world.write(5)
    told_file(world, path).step(T0 + 10)  # another process goes on where the first was
    world.stop()
    sizes = [json.loads(line)["note"].split("\n")[1] for line in path.read_text().splitlines()]
    assert sizes == sorted(set(sizes), key=int)
    assert sizes[-1] == "25"
    assert world.verify(witness_files=[path]).code == VERIFIED


def test_a_line_that_was_cut_stays_a_line_of_its_own(tmp_path: Path) -> None:
    world = sealed_world(tmp_path, 10)
    path = tmp_path / "kept"
    path.write_text('{"at": 1, "note": "cut o')
    told_file(world, path).step(T0)
    lines = path.read_text().splitlines()
    assert lines[0].endswith("cut o")
    assert [json.loads(line)["at"] for line in lines[1:]]


# -- webhook, syslog ----------------------------------------------------------------------------


def test_a_webhook_gets_json_and_is_tried_again(tmp_path: Path) -> None:
    world = sealed_world(tmp_path, 10)
    got: list[dict[str, object]] = []
    status = 500

    def respond(path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        assert (path, headers["Content-Type"]) == ("/hook?key=secret", "application/json")
        if status == 200:
            got.append(json.loads(body))
        return status, b""

    with http(respond) as port:
        url = tmp_path / "url"
        url.write_text(f"http://127.0.0.1:{port}/hook?key=secret\n")
        told = Told("hook", "webhook", ToWebhook(url, ""), world.folder, tmp_path / "seal")
        told.step(T0)
        assert told.state.error == "the webhook answered 500"
        status = 200
        told.step(T0)
    assert (told.state.error, told.state.size) == ("", 10)
    assert [one["size"] for one in got][-1] == 10
    kept = tmp_path / "kept.ndjson"
    kept.write_text("".join(json.dumps(one) + "\n" for one in got))
    assert world.verify(witness_files=[kept]).code == VERIFIED
    Told("hook", "webhook", ToWebhook(url, ""), world.folder, tmp_path / "other").step(T0)
    again = Told("hook", "webhook", ToWebhook(url, ""), world.folder, tmp_path / "other")
    assert "127.0.0.1: ConnectionRefusedError" in again.state.error
    assert "secret" not in again.state.error


@pytest.mark.parametrize("tls", [True, False])
def test_syslog_gets_rfc_5424_messages(tmp_path: Path, tls: bool) -> None:
    world = sealed_world(tmp_path / "w", 10)
    (tmp_path / "keys").mkdir()
    made = make_keys(tmp_path / "keys")
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            if tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(made.server, made.server_key)
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                while data := connection.recv(65536):
                    received.append(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        ca = str(made.ca) if tls else ""
        teller = ToSyslog("localhost" if tls else "127.0.0.1", server.getsockname()[1], tls=tls, ca=ca)
        told = Told("siem", "syslog", teller, world.folder, tmp_path / "seal")
        told.step(T0)
        thread.join(10)
    assert told.state.error == ""
    data = b"".join(received)
    kept = b""
    while data:
        length, _, rest = data.partition(b" ")
        message, data = rest[: int(length)], rest[int(length) :]
        assert message.startswith(b"<109>1 20")
        kept += message + b"\n"
    (tmp_path / "syslog").write_bytes(kept)
    assert world.verify(witness_files=[tmp_path / "syslog"]).code == VERIFIED


# -- witness ------------------------------------------------------------------------------------


@contextmanager
def witnessing(folder: Path, world: World, signer: Signer, incidents: list[str]) -> Iterator[int]:
    witness = Witness(folder, signer, {world.pin.name: [world.pin]})

    def respond(path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        assert path == "/w/add-checkpoint"
        assert headers["Authorization"] == "Bearer token-of-the-witness"
        answer = witness.add_checkpoint(body, T0)
        if answer.incident:
            incidents.append(answer.incident)
        return answer.status, answer.body.encode()

    with http(respond) as port:
        yield port


def to_witness(world: World, port: int, vkey: str) -> Told:
    token = world.data / "token"
    token.write_text("token-of-the-witness\n")
    teller = ToWitness(world.folder, world.sealer.file, f"http://127.0.0.1:{port}/w", vkey, token, "")
    return Told("osaka", "witness", teller, world.folder, world.data / "seal")


def test_a_witness_cosigns_and_the_cosignature_is_kept_and_verified(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    signer = Signer.new("osaka.example/witness", COSIGNATURE)
    vkey = signer.verifier.vkey
    incidents: list[str] = []
    with witnessing(tmp_path / "witness", world, signer, incidents) as port:
        told = to_witness(world, port, vkey)
        world.write(12)
        told.step(T0)
        world.write(9)
        keys.prepare_rotation(world.files)
        world.sealer.seal()
        world.write(5)
        while told.step(T0).pause == 0:
            pass
        assert (told.state.error, told.state.size) == ("", 26)
        (world.data / "seal" / "witness-osaka.json").unlink()  # the sender forgot everything
        told = to_witness(world, port, vkey)
        world.write(5)
        told.step(T0)
        assert (told.state.error, told.state.size) == ("", 31)
    world.stop()
    assert incidents == []
    report = world.verify(witness_keys=[signer.verifier])
    assert report.code == VERIFIED
    assert report.trusted.cosigned["osaka.example/witness"] == 4
    path = world.folder / "checkpoints"
    path.write_bytes(
        path.read_bytes().replace(b'"cosignature":"\xe2\x80\x94 osaka', b'"cosignature":"\xe2\x80\x94 otaka')
    )
    assert world.verify(witness_keys=[signer.verifier]).notices
    other = Signer.new("osaka.example/witness", COSIGNATURE)
    assert world.verify(witness_keys=[other.verifier]).notices


def test_an_altered_cosignature_is_named(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    signer = Signer.new("osaka.example/witness", COSIGNATURE)
    with witnessing(tmp_path / "witness", world, signer, []) as port:
        world.write(12)
        to_witness(world, port, signer.verifier.vkey).step(T0)
    world.stop()
    last = sealed_file.last(world.folder)
    assert last
    forged = signer.cosign(last.note.text.replace("12", "13"), T0)
    file = CheckpointFile(world.folder)
    file.cosigned(12, forged, T0)
    file.close()
    report = world.verify(witness_keys=[signer.verifier])
    assert report.code == TAMPERED
    assert "is of no checkpoint that is here" in report.faults[0].why


def test_a_rolled_back_and_a_forked_journal_are_refused_on_both_sides(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    signer = Signer.new("osaka.example/witness", COSIGNATURE)
    incidents: list[str] = []
    with witnessing(tmp_path / "witness", world, signer, incidents) as port:
        world.write(20)
        world.stop()
        shutil.copytree(world.data, tmp_path / "old")
        world.open()
        told = to_witness(world, port, signer.verifier.vkey)
        world.write(20)
        told.step(T0)
        world.stop()
        back = World(tmp_path / "old")
        back.random.seed(9)
        back.write(5)
        told = to_witness(back, port, signer.verifier.vkey)
        step = told.step(T0)
        assert told.state.refused
        assert "rolled back" in step.incident
        assert "cosigned 40 frames, this journal has 25" in told.state.error
        assert told.step(T0).incident == "", "said once, not at each try"
        back.write(25)
        told.step(T0)
        assert told.state.refused
        assert "does not continue what it signed" in told.state.error
        back.stop()
    assert "rolled back: shows 25 frames, 40 were cosigned" in incidents[0]
    assert "forked" in incidents[-1]


def test_a_witness_that_lies_is_not_believed(tmp_path: Path) -> None:
    world = sealed_world(tmp_path, 10)
    world.open()
    signer = Signer.new("osaka.example/witness", COSIGNATURE)
    answers = [
        (200, b"nonsense"),
        (200, Signer.new("osaka.example/witness", COSIGNATURE).cosign("x\n", 1).line.encode()),
        (200, signer.cosign("x\n", 1).line.encode()),
        (404, b"unknown"),
        (409, b"not a number"),
        (302, b""),
    ]
    says = ["no cosignature", "another key", "no cosignature", "404: unknown", "refused (409", "302"]
    for answer, expected in zip(answers, says, strict=True):
        with http(lambda *_, answer=answer: answer) as port:
            told = to_witness(world, port, signer.verifier.vkey)
            told.step(T0)
            assert expected in told.state.error
            assert told.state.size == 0
    world.stop()
    assert not any(e.line and e.line.cosignature for e in sealed_file.entries(world.folder))


def test_addresses_that_are_none() -> None:
    for url in ("ftp://127.0.0.1/", "no url", "http://", "http://[::1", "http://127.0.0.1:99999/"):
        with pytest.raises(NotToldError):
            asking.post(url, b"", {})


# -- RFC 3161 -----------------------------------------------------------------------------------

_CONFIG = """
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_chain = no
"""


def openssl(*args: str) -> None:
    subprocess.run(["openssl", *args], check=True, capture_output=True)


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """Keys and certificates of a time-stamping authority of OpenSSL."""
    folder = tmp_path / "tsa"
    folder.mkdir()
    (folder / "serial").write_text("01\n")
    (folder / "tsa.cnf").write_text(_CONFIG.format(folder=folder))
    (folder / "ext").write_text(
        "extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n"
    )
    at = str(folder)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Test CA", "-days", "30",
            "-keyout", f"{at}/ca.key", "-out", f"{at}/ca.pem")  # fmt: skip
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Test TSA",
            "-keyout", f"{at}/tsa.key", "-out", f"{at}/tsa.csr")  # fmt: skip
    openssl("x509", "-req", "-in", f"{at}/tsa.csr", "-CA", f"{at}/ca.pem", "-CAkey", f"{at}/ca.key",
            "-CAcreateserial", "-days", "30", "-extfile", f"{at}/ext", "-out", f"{at}/tsa.pem")  # fmt: skip
    return folder


def test_checkpoints_are_stamped_by_an_authority(tmp_path: Path, authority: Path) -> None:
    def respond(path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        assert headers["Content-Type"] == "application/timestamp-query"
        (authority / "query").write_bytes(body)
        openssl("ts", "-reply", "-config", str(authority / "tsa.cnf"), "-queryfile", str(authority / "query"),
                "-out", str(authority / "reply"))  # fmt: skip
        return 200, (authority / "reply").read_bytes()

    world = World(tmp_path / "log")
    world.write(10)
    ca = str(authority / "ca.pem")
    with http(respond) as port:
        teller = ToAuthority(world.sealer.file, f"http://127.0.0.1:{port}/tsr", ca, 3600.0)
        told = Told("tsa", "tsa", teller, world.folder, world.data / "seal")
        told.step(T0)
        assert (told.state.error, told.state.size) == ("", 10)
        world.write(5)
        assert told.step(T0 + 60).pause == 60.0, "one stamp an hour"
        assert told.state.size == 10
        told.step(T0 + 3600)
        assert told.state.size == 15
    world.stop()
    report = world.verify(tsa_ca=Path(ca))
    assert report.code == VERIFIED
    assert len(report.trusted.stamped) == 2
    assert world.verify().notices == ["not checked, as its key is not named: time stamps (2)"]
    (tmp_path / "keys").mkdir()
    other = make_keys(tmp_path / "keys").ca
    assert world.verify(tsa_ca=other).code == TAMPERED


def test_an_answer_of_no_authority_is_no_stamp(tmp_path: Path, authority: Path) -> None:
    with http(lambda *_: (200, b"nonsense")) as port, pytest.raises(NotToldError, match="is not taken"):
        stamping.ask(f"http://127.0.0.1:{port}/", b"data", authority / "ca.pem")
    with http(lambda *_: (500, b"")) as port, pytest.raises(NotToldError, match="answered 500"):
        stamping.ask(f"http://127.0.0.1:{port}/", b"data", authority / "ca.pem")
