"""How far each way of telling has got, and when it is tried again. State on the disk, one small file each."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import NamedTuple

import msgspec

from sekisho.journal import sealed as sealed_file
from sekisho.journal.asking import NotToldError
from sekisho.journal.note import BadNote
from sekisho.journal.sealed import Sealed
from sekisho.journal.telling import Teller, unsent

log = logging.getLogger(__name__)

FIRST_PAUSE = 1.0
LAST_PAUSE = 300.0
BATCH = 200


class State(msgspec.Struct, frozen=True):
    """``position``: byte of the file ``checkpoints`` from which on it was not told; -1: nothing yet.

    ``size``: frames that the other side knows to be sealed. Times in seconds since 1970 UTC.
    ``error``: why the last try failed; ``refused``: the other side says that the journal was altered.
    """

    position: int = -1
    size: int = 0
    told_at: int = 0
    error: str = ""
    error_at: int = 0
    refused: bool = False
    tries: int = 0


class Step(NamedTuple):
    """``pause``: seconds until the next try; ``incident``: a refusal that was not known before."""

    pause: float
    incident: str = ""


class Told:
    """One way of telling. ``step`` never raises for the other side; a second call meanwhile does nothing.

    ``journal``: folder of the checkpoints; ``states``: folder of the state files.
    """

    def __init__(self, name: str, kind: str, teller: Teller, journal: Path, states: Path) -> None:
        self.name = name
        self.kind = kind
        self._teller = teller
        self._journal = journal
        states.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._busy = threading.Lock()
        self._path = states / f"{kind}-{name}.json"
        self.state = self._read()

    def step(self, now: int) -> Step:
        """Tell what is new, if it is time. ``now``: seconds since 1970 UTC."""
        if not self._busy.acquire(blocking=False):
            return Step(FIRST_PAUSE)
        try:
            return self._step(now)
        finally:
            self._busy.release()

    def _step(self, now: int) -> Step:
        state = self.state
        due = state.told_at + self._teller.every
        if self._teller.every and now < due and not state.error:
            return Step(min(due - now, 60.0))
        try:
            batch, position = self._batch()
            if not batch:
                return Step(FIRST_PAUSE)
            size = self._teller.tell(batch, state.size)
        except NotToldError as error:
            return self._failed(error, now)
        except (OSError, ValueError) as error:
            return self._failed(NotToldError(f"{type(error).__name__}: {error}"), now)
        if state.error:
            log.info("%s %s: told again", self.kind, self.name)
        self._keep(State(position, size, now))
        return Step(0.0)

    def _batch(self) -> tuple[list[Sealed], int]:
        """What is told now. The first time, or where only the newest counts: changes of key and the last."""
        position = self.state.position
        if position < 0 and self._teller.newest_only:
            return self._newest()
        batch, position = unsent(self._journal, max(0, position), BATCH)
        while self._teller.newest_only and batch:
            more, further = unsent(self._journal, position, BATCH)
            if not more:
                break
            batch, position = [one for one in batch if one.checkpoint.rotation] + more, further
        if self._teller.newest_only:
            batch = [one for one in batch[:-1] if one.checkpoint.rotation] + batch[-1:]
        return batch, position

    def _newest(self) -> tuple[list[Sealed], int]:
        end = (self._journal / sealed_file.NAME).stat().st_size
        try:
            last = sealed_file.last(self._journal)
        except BadNote:
            last = None
        return ([last] if last else []), end

    def _failed(self, error: NotToldError, now: int) -> Step:
        state = self.state
        news = error.refused and not state.refused
        if error.why != state.error:
            log.error("%s %s: not told: %s", self.kind, self.name, error.why)
        self._keep(
            msgspec.structs.replace(
                state, error=error.why, error_at=now, refused=error.refused, tries=state.tries + 1
            )
        )
        pause = min(LAST_PAUSE, FIRST_PAUSE * 2 ** min(state.tries, 16))
        return Step(pause, f"{self.kind} {self.name}: {error.why}" if news else "")

    def _read(self) -> State:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=State)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return State()

    def _keep(self, state: State) -> None:
        self.state = state
        fresh = self._path.with_suffix(".new")
        try:
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, msgspec.json.encode(state))
            finally:
                os.close(fd)
            fresh.replace(self._path)
        except OSError as error:
            log.error("%s %s: the state cannot be kept: %s", self.kind, self.name, error)
