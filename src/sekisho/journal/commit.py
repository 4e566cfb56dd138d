"""Group commit: many connections share one fsync; each waits until its own frame is on the disk."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from sekisho.journal.writer import JournalWriter
from sekisho.model import RECORDS_PER_FRAME, Records, Refused, Retry


class _Waiting(NamedTuple):
    records: Records
    size: int
    done: asyncio.Future[int]


class GroupCommit:
    """``append`` is awaited by receivers; one worker writes whatever has gathered meanwhile.

    ``max_waiting`` bounds the bytes that wait; above it ``Retry`` is raised, so that memory stays
    flat when the disk is slower than the network.
    """

    def __init__(
        self,
        writer: JournalWriter,
        *,
        max_waiting: int = 128 * 1024 * 1024,
        max_group: int = 32 * 1024 * 1024,
    ) -> None:
        self._writer = writer
        self._max_waiting = max_waiting
        self._max_group = max_group
        self._waiting: list[_Waiting] = []
        self._size = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._worker = asyncio.create_task(self._run())

    async def append(self, records: Records) -> int:
        """Frame number, when the records are on the disk. Raises ``Retry`` or ``Refused``."""
        if len(records.bodies) > RECORDS_PER_FRAME:
            raise Refused(
                f"{len(records.bodies)} records in one batch", f"send at most {RECORDS_PER_FRAME} at once"
            )
        if self._closing or self.failed.done():
            raise Retry(5, "the journal is being closed")
        size = sum(map(len, records.bodies)) + 64 * len(records.bodies)
        if self._size and self._size + size > self._max_waiting:
            raise Retry(1, "too many bytes wait for the disk")
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(records, size, done))
        self._size += size
        self._wake.set()
        return await done

    async def close(self) -> None:
        """Write what waits, then stop."""
        self._closing = True
        self._wake.set()
        await self._worker
        self._thread.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            group = self._take()
            if not group:
                if self._closing:
                    return
                self._wake.clear()
                continue
            try:
                numbers = await loop.run_in_executor(
                    self._thread, self._writer.append, [waiting.records for waiting in group]
                )
            except Retry as retry:
                self._answer(group, retry)
            except Exception as error:  # noqa: BLE001 - top of the loop: nobody may wait for ever
                # A fault of the disk leaves its state unknown, anything else is a bug: nobody is
                # acknowledged, and the process must end and recover.
                left, self._waiting, self._size = self._waiting, [], 0
                self._answer([*group, *left], Retry(5, "the journal cannot be written"))
                self.failed.set_exception(error)
                return
            else:
                for waiting, number in zip(group, numbers, strict=True):
                    if not waiting.done.done():
                        waiting.done.set_result(number)

    def _take(self) -> list[_Waiting]:
        size = count = 0
        for waiting in self._waiting:
            if count and size + waiting.size > self._max_group:
                break
            size += waiting.size
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        self._size -= size
        return group

    @staticmethod
    def _answer(group: list[_Waiting], error: Exception) -> None:
        for waiting in group:
            if not waiting.done.done():
                waiting.done.set_exception(error)
