"""Chance with a name: every layer, person and day has a random stream of its own.

A stream is found by its name, not by its turn, so that doubling one layer leaves all others as they
were.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice(random.Random):
    """A seeded stream. The same seed and names give the same numbers on every machine."""

    def __init__(self, seed: int, *names: object) -> None:
        super().__init__(":".join([str(seed), *map(str, names)]))

    def uid(self) -> str:
        """A version 4 UUID in its usual notation."""
        return str(uuid.UUID(int=self.getrandbits(128), version=4))

    def digits(self, length: int) -> str:
        """Lower-case hexadecimal digits."""
        return f"{self.getrandbits(length * 4):0{length}x}"

    def token(self, length: int, alphabet: str = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789") -> str:
        """Characters as in an identifier or key."""
        return "".join(self.choices(alphabet, k=length))

    def many(self, mean: float) -> int:
        """A count around ``mean`` (never negative), with the spread of everyday work."""
        return max(0, round(self.gauss(mean, mean * 0.25)))

    def one(self, choices: Sequence[T]) -> T:
        return choices[int(self.random() * len(choices))]
