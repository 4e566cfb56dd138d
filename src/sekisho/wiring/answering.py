"""The service for those who cannot read the data folder: answers on a Unix socket, within each one's role.

Who asks is what the kernel says of the other end (SO_PEERCRED, SO_PEERGROUPS: socket(7), unix(7)).
"""

from __future__ import annotations

import grp
import logging
import socket
import stat
import struct
import threading
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa

from sekisho.collect.socket_path import short
from sekisho.lake import rights
from sekisho.lake.questions import Meter
from sekisho.lake.rights import Rights
from sekisho.model import Refused
from sekisho.settings import Settings
from sekisho.wiring import ask_frames as frames
from sekisho.wiring.questioning import Who, Why, ask, user_name

#: At once, over all and of one person; more are told to come back.
CONNECTIONS = 32
EACH = 4
REQUEST_SECONDS = 10.0
#: A reader that takes nothing for so long is let go.
SEND_SECONDS = 60.0
TELL_SECONDS = 0.5
_SO_PEERGROUPS = 59  # asm-generic/socket.h

log = logging.getLogger(__name__)


class Peer(NamedTuple):
    uid: int
    gids: tuple[int, ...]


def socket_path(settings: Settings) -> Path:
    return Path(settings.access.socket) if settings.access.socket else settings.run_dir / "ask" / "ask.sock"


class Desk:
    """Listens from construction on; ``run`` answers until ``stop``. Raises ``Refused`` as ``open_way``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = socket_path(settings)
        self._busy: Counter[int] = Counter()
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._live: dict[int, Meter] = {}
        open_way(settings, self._path)
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        with short(self._path) as address:
            self._listener.bind(address)
        self._path.chmod(0o666)  # who may ask what is decided by the peer's user, not by this file
        self._listener.listen(64)
        self._listener.settimeout(0.5)

    def busy(self) -> int:
        """Questions that are being answered."""
        with self._guard:
            return self._busy.total()

    def stop(self) -> None:
        self._stop.set()
        with self._guard:
            for meter in self._live.values():
                meter.stop()

    def run(self) -> None:
        threads: list[threading.Thread] = []
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            peer = peer_of(connection)
            threads = [thread for thread in threads if thread.is_alive()]
            if not self._admit(peer.uid):
                _turn_away(connection)
                continue
            thread = threading.Thread(target=self._serve, args=(connection, peer), daemon=True)
            thread.start()
            threads.append(thread)
        self._listener.close()
        self._path.unlink(missing_ok=True)
        for thread in threads:
            thread.join(5.0)

    def _admit(self, uid: int) -> bool:
        with self._guard:
            if self._busy.total() >= CONNECTIONS or self._busy[uid] >= EACH:
                return False
            self._busy[uid] += 1
            return True

    def _serve(self, connection: socket.socket, peer: Peer) -> None:
        meter = Meter()
        with self._guard:
            self._live[id(meter)] = meter
        try:
            with connection:
                self._answer(connection, peer, meter)
        except (ConnectionError, TimeoutError) as error:
            log.info("uid %d went away: %s", peer.uid, error)
        except Exception:
            log.exception("a question of uid %d", peer.uid)  # one question's bug must not end the others'
        finally:
            with self._guard:
                self._live.pop(id(meter), None)
                self._busy[peer.uid] -= 1

    def _answer(self, connection: socket.socket, peer: Peer, meter: Meter) -> None:
        sending = threading.Lock()
        try:
            connection.settimeout(REQUEST_SECONDS)
            allowed = self.rights_of(peer)
            request = _request(connection)
            connection.settimeout(SEND_SECONDS)
            who = Who(peer.uid, user_name(peer.uid) or f"uid {peer.uid}")
            why = Why(request.purpose[:1000], request.case[:200], request.exported[:1000])
            answer = ask(
                self._settings, request.question, meter=meter, why=why, who=who, rights=allowed, service=True
            )
            with _Telling(connection, sending, meter):
                for table in answer:
                    _send_table(connection, sending, table)
            _tell(connection, sending, meter, 0)
            with sending:
                frames.send(connection, b"Z")
        except Refused as error:
            log.info("uid %d is refused: %s", peer.uid, error.why)
            with sending:
                frames.send(connection, b"E", msgspec.msgpack.encode(frames.Refusal(error.why, error.remedy)))

    def rights_of(self, peer: Peer) -> Rights:
        if peer.uid in {0, self._settings.data.stat().st_uid}:
            return rights.ADMIN
        return rights.of(
            self._settings.access, peer.uid, peer.gids, user_name=user_name, group_name=_group_name
        )


class _Telling:
    """Says how far it is while a part of the answer is being looked for; notices who went away."""

    def __init__(self, connection: socket.socket, sending: threading.Lock, meter: Meter) -> None:
        self._connection = connection
        self._sending = sending
        self._meter = meter
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        told = 0
        while not self._done.wait(TELL_SECONDS):
            try:
                told = _tell(self._connection, self._sending, self._meter, told)
            except OSError:
                self._meter.stop()
                return


def _tell(connection: socket.socket, sending: threading.Lock, meter: Meter, told: int) -> int:
    notes = tuple(meter.notes)
    said = frames.Progress(meter.done, meter.total, notes[told:], meter.offset)
    with sending:
        frames.send(connection, b"P", msgspec.msgpack.encode(said))
    return len(notes)


def _send_table(connection: socket.socket, sending: threading.Lock, table: pa.Table) -> None:
    for start in range(0, max(1, table.num_rows), frames.ROWS):
        body = frames.packed(table.slice(start, frames.ROWS))
        if len(body) > frames.LARGEST_FRAME:
            raise Refused("the rows are too large to be sent", "ask for fewer columns")
        with sending:
            frames.send(connection, b"T", body)


def _request(connection: socket.socket) -> frames.Request:
    frame = frames.receive(connection, frames.LARGEST_REQUEST)
    if frame.kind != b"Q":
        raise Refused("not a question", "use the program `sekisho` of the same version")
    try:
        return msgspec.msgpack.decode(frame.body, type=frames.Request)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refused(f"not a question: {error}", "use the program `sekisho` of the same version") from error


def _turn_away(connection: socket.socket) -> None:
    said = frames.Refusal("too many questions at once", f"wait for the answers to yours (at most {EACH})")
    try:
        with connection:
            connection.settimeout(1.0)
            frames.send(connection, b"E", msgspec.msgpack.encode(said))
    except OSError as error:
        log.info("turned away: %s", error)


def peer_of(connection: socket.socket) -> Peer:
    """User and groups of the process at the other end when it connected, from the kernel."""
    _, uid, gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        more = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 65_536 * 4)
    except OSError:
        more = b""  # before Linux 4.13: only the first group counts
    return Peer(uid, (gid, *struct.unpack(f"{len(more) // 4}I", more)))


def _group_name(gid: int) -> str | None:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return None


def open_way(settings: Settings, path: Path) -> None:
    """Let others walk (not look) through the folders to the socket inside the data folder.

    Raises ``Refused`` if that would uncover anything: a file or folder beside the way that others may open.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    if path.parent != settings.run_dir / "ask":
        return  # a place of the owner's own choice, with the permissions that he gave it
    way = (settings.data, settings.run_dir, path.parent)
    beside = [entry for folder in way for entry in folder.iterdir() if entry not in way and entry != path]
    uncovered = [entry for entry in beside if _open_to_others(entry)]
    if uncovered:
        listed = " ".join(str(entry) for entry in uncovered[:20])
        raise Refused(f"others could open: {listed}", f"run: chmod go-rwx {listed}")
    for folder in way:
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o011)


def _open_to_others(entry: Path) -> bool:
    held = entry.lstat()
    return not stat.S_ISLNK(held.st_mode) and bool(stat.S_IMODE(held.st_mode) & 0o077)
