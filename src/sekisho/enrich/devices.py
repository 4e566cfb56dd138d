"""Which device of the ledger an event comes from (table ``devices``, at the event's time)."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache

import numpy as np
import pyarrow as pa

from sekisho.enrich.identity import REMEMBERED
from sekisho.enrich.timeline import NEVER, NO_STEPS, NOTHING, Coded, Ints, Span, Steps, micros, resolve, steps
from sekisho.model.folding import fold

#: In order of proof: what the device's own agent says, then the host name that logged, then the peer.
_IDS = ("device_uid", "src_endpoint_uid")
_HOSTS = ("device_hostname", "src_endpoint_hostname")


class Ledger:
    """Devices by agent id, host name and the host name's first label."""

    def __init__(self, devices: pa.Table) -> None:
        self.assets: list[str] = devices.column("asset_tag").to_pylist()
        self._ids: dict[str, list[Span]] = defaultdict(list)
        self._hosts: dict[str, list[Span]] = defaultdict(list)
        rows = zip(
            devices.column("hostname").to_pylist(),
            devices.column("agent_id").to_pylist(),
            micros(devices.column("valid_from"), 0).tolist(),
            micros(devices.column("valid_to"), NEVER).tolist(),
            strict=True,
        )
        for number, (host, agent, start, end) in enumerate(rows):
            span = Span(start, end, number)
            if agent:
                self._ids[fold(agent)].append(span)
            if host:
                for name in {fold(host), short(host)}:
                    self._hosts[name].append(span)
        self._by_id = lru_cache(maxsize=REMEMBERED)(self._id)
        self._by_host = lru_cache(maxsize=REMEMBERED)(self._host)

    def find(self, events: pa.Table, times: Ints) -> Ints:
        """Row of the ledger for each event, ``NOTHING`` where the device is not in it."""
        result = np.full(len(times), NOTHING, np.int64)
        if not self.assets:
            return result
        for name in (_IDS[0], _HOSTS[0], _IDS[1], _HOSTS[1]):
            coded = Coded.of(events.column(name))
            look = self._by_id if name in _IDS else self._by_host
            found = resolve([look(value) for value in coded.values], coded.codes, times)
            result = np.where(result == NOTHING, found, result)
        return result

    def _id(self, value: str) -> Steps:
        spans = self._ids.get(fold(value))
        return steps(spans, lasting=False) if spans else NO_STEPS

    def _host(self, value: str) -> Steps:
        spans = self._hosts.get(fold(value)) or self._hosts.get(short(value))
        return steps(spans, lasting=False) if spans else NO_STEPS


def short(host: str) -> str:
    """First label of a host name, folded; an address stays whole."""
    folded = fold(host).rstrip(".")
    label = folded.partition(".")[0]
    return folded if label.isdigit() or ":" in folded else label
