"""The key that seals: made once, kept where the collector alone reads it, changed by a signed hand-over."""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from sekisho.journal import note as notes
from sekisho.journal.durable import sync_folder
from sekisho.journal.note import BadNote, Signer, Verifier
from sekisho.model import Refused

#: scrypt (RFC 7914): 128 MiB and about half a second for each guess
_N, _R, _P = 1 << 17, 8, 1
_MIN_PASSPHRASE = 12


class KeyFiles(NamedTuple):
    """``private``: mode 0600. ``public``: the verifier key as text, for everybody."""

    private: Path
    public: Path

    @property
    def coming(self) -> Path:
        """Private key that will take over at the next checkpoint."""
        return self.private.with_name(self.private.name + ".next")


class Backup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A private key under a passphrase: scrypt, then ChaCha20-Poly1305 with ``vkey`` as associated data.

    Byte values in hexadecimal digits.
    """

    vkey: str
    salt: str
    nonce: str
    sealed: str
    kind: str = "sekisho key backup 1"


def default_origin(host: str) -> str:
    """Name of a new log: the host's name and a random part, so that no two installations share one."""
    plain = re.sub(r"[^A-Za-z0-9.-]", "-", host) or "sekisho"
    return f"{plain}/sekisho/{secrets.token_hex(4)}"


def load(path: Path) -> Signer:
    """The private key in a file. Raises ``Refused`` if it is not there, not a key, or others may read it."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise Refused(f"{path}: others may read this private key", f"run: chmod 600 {path}")
        return notes.signer(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        raise Refused(
            f"{path}: the private key is not there", "bring it back: sekisho keys restore BACKUP"
        ) from None
    except (BadNote, UnicodeDecodeError, OSError) as error:
        raise Refused(f"{path}: {error}", "bring the key back: sekisho keys restore BACKUP") from error


def create(files: KeyFiles, name: str, kind: int = notes.ED25519) -> Signer:
    """A new key in new files; what is there stays and is given. Raises ``Refused`` for a bad name."""
    if files.private.exists():
        return load(files.private)
    try:
        made = Signer.new(name, kind)
    except BadNote as error:
        raise Refused(error.why, "take a name such as exchange.example/sekisho-tokyo") from error
    write_private(files.private, made)
    publish(files.public, made.verifier)
    return made


def write_private(path: Path, signer: Signer) -> None:
    """Raises ``Refused`` where it cannot be written (a credential given by the system, for example)."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, signer.skey.encode("ascii") + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise Refused(
            f"cannot write the private key {path}: {error}",
            "let [seal] key_file name a place that the collector may write, or put the key there yourself",
        ) from error


def publish(path: Path, verifier: Verifier) -> None:
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(verifier.vkey + "\n", encoding="ascii")
    draft.chmod(0o644)
    draft.replace(path)


def published(path: Path) -> Verifier:
    """The verifier key in a file. Raises ``Refused``."""
    try:
        return notes.verifier(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, BadNote) as error:
        raise Refused(
            f"{path}: no verifier key: {error}", "name the key with --vkey; it was shown at the first start"
        ) from error


def given(text: str) -> Verifier:
    """``--vkey``: the key itself or a file that holds it. Raises ``Refused``."""
    if "+" in text and not Path(text).exists():
        try:
            return notes.verifier(text)
        except BadNote as error:
            raise Refused(f"--vkey: {error.why}", "give the whole key: NAME+ID+BASE64") from error
    return published(Path(text))


def prepare_rotation(files: KeyFiles) -> Verifier:
    """Make the key that takes over at the next checkpoint; one that waits already is given again."""
    if files.coming.exists():
        return load(files.coming).verifier
    coming = Signer.new(load(files.private).verifier.name)
    write_private(files.coming, coming)
    return coming.verifier


def take_over(files: KeyFiles) -> Signer:
    """The coming key becomes the key, after the hand-over is on the disk."""
    files.coming.replace(files.private)
    sync_folder(files.private.parent)
    signer = load(files.private)
    publish(files.public, signer.verifier)
    return signer


# -- backup -------------------------------------------------------------------------------------


def backup(signer: Signer, passphrase: str) -> bytes:
    """JSON with the key inside, readable only with the passphrase. Raises ``Refused`` for a short one."""
    if len(passphrase) < _MIN_PASSPHRASE:
        raise Refused(
            f"the passphrase has {len(passphrase)} characters",
            f"take {_MIN_PASSPHRASE} or more: whoever guesses it can seal in your name",
        )
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    vkey = signer.verifier.vkey
    box = ChaCha20Poly1305(_derive(passphrase, salt))
    sealed = box.encrypt(nonce, signer.skey.encode(), vkey.encode())
    made = Backup(vkey, salt.hex(), nonce.hex(), sealed.hex())
    return msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n"


def from_backup(data: bytes, passphrase: str) -> Signer:
    """Raises ``Refused`` for another file, another passphrase or an altered backup."""
    try:
        found = msgspec.json.decode(data, type=Backup)
        box = ChaCha20Poly1305(_derive(passphrase, bytes.fromhex(found.salt)))
        skey = box.decrypt(bytes.fromhex(found.nonce), bytes.fromhex(found.sealed), found.vkey.encode())
        return notes.signer(skey.decode())
    except InvalidTag:
        raise Refused(
            "the passphrase is not that of this backup, or the backup was altered", "try the other one"
        ) from None
    except (msgspec.MsgspecError, ValueError, BadNote) as error:
        raise Refused(f"no backup of a key: {error}", "name the file of `sekisho keys backup`") from error


def _derive(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=_N, r=_R, p=_P).derive(passphrase.encode())
