"""The whole list of errors that somebody handles. Everything else is a bug and ends the process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class ContentProblem(NamedTuple):
    """One thing wrong with a content file: the place, why, and what the author can do."""

    where: str
    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}\n    remedy: {self.remedy}"


class ContentError(Exception):
    """Content that an author can mend. All problems are collected and shown at once."""

    def __init__(self, problems: Sequence[ContentProblem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(
            f"{count} problem{'s' if count != 1 else ''} in content\n"
            + "\n".join(str(problem) for problem in self.problems)
        )


class Retry(Exception):  # noqa: N818 - as ARCHITECTURE.md names it: an answer, not a fault
    """At an I/O edge: not possible now (disk full, peer busy); try again after so many seconds."""

    def __init__(self, after: float, why: str) -> None:
        self.after = after
        self.why = why
        super().__init__(f"{why}; retry after {after:g} s")


class Refused(Exception):  # noqa: N818 - as above
    """At an I/O edge: this will not be done, and repeating it does not help."""

    def __init__(self, why: str, remedy: str = "") -> None:
        self.why = why
        self.remedy = remedy
        super().__init__(f"{why}\n    remedy: {remedy}" if remedy else why)
