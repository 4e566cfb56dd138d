"""Who may hold a connection of a listener, and how much of unfinished messages all senders may hold together.

Plain syslog is not authenticated: whoever reaches the port may open connections and begin messages. So each
listener has seats of its own (plain TCP cannot starve TLS), one peer has at most its share of them, and where
all are taken a newcomer gets the seat of a peer that holds more than he does. A forwarder may be quiet for
hours: silence alone costs nobody his connection.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from functools import lru_cache
from typing import Protocol

#: Why a newcomer is turned away, and why a connection had to go.
FULL, SHARE, MADE_ROOM, BUDGET = "too-many-connections", "too-many-of-peer", "made-room", "unfinished-budget"


class Sender(Protocol):
    """A connection as it is judged here. Times are those of the event loop, in seconds."""

    peer: str
    #: whether it has sent a whole message
    proven: bool
    #: when bytes came last
    heard: float
    #: when its unfinished message began
    began: float | None

    def shed(self, reason: str) -> None:
        """End it; what is unfinished is lost, and counted by the connection."""


@lru_cache(maxsize=4096)
def peer_key(peer: str) -> str:
    """One sender: an IPv4 address, or the /64 of an IPv6 address, all of which one host may use."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class Seats:
    """The connections of one listener: ``limit`` in all, ``share`` of one peer."""

    def __init__(self, limit: int, share: int) -> None:
        self._limit, self._share = limit, share
        self._taken: Counter[str] = Counter()
        self._senders: dict[int, Sender] = {}

    def refusal(self, peer: str) -> str | None:
        """Why a newcomer from ``peer`` gets no seat; None if he does. May shed another's connection."""
        key = peer_key(peer)
        if self._taken[key] >= self._share:
            return SHARE
        if len(self._senders) < self._limit:
            return None
        victim = self._victim(self._taken[key])
        if victim is None:
            return FULL
        self.leave(victim)
        victim.shed(MADE_ROOM)
        return None

    def _victim(self, held: int) -> Sender | None:
        """Who never sent anything first, then who was quiet longest; only of peers that hold more."""
        some = [
            sender
            for sender in self._senders.values()
            if self._taken[peer_key(sender.peer)] > held + sender.proven
        ]
        return min(some, key=lambda sender: (sender.proven, sender.heard), default=None)

    def take(self, sender: Sender) -> None:
        self._senders[id(sender)] = sender
        self._taken[peer_key(sender.peer)] += 1

    def leave(self, sender: Sender) -> None:
        """Any number of times."""
        if self._senders.pop(id(sender), None) is not None:
            key = peer_key(sender.peer)
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]


class Unfinished:
    """Bytes of unfinished messages, of all listeners together; beyond ``limit`` the oldest message goes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[int, tuple[Sender, int]] = {}
        self.total = 0

    def hold(self, sender: Sender, size: int) -> None:
        """``sender`` holds ``size`` bytes now. May shed connections, also this one."""
        self.total += size - self._held.pop(id(sender), (sender, 0))[1]
        if size:
            self._held[id(sender)] = (sender, size)
        while self.total > self._limit:
            oldest = min((held for held, _ in self._held.values()), key=_age)
            self.hold(oldest, 0)
            oldest.shed(BUDGET)


def _age(sender: Sender) -> float:
    return float("inf") if sender.began is None else sender.began
