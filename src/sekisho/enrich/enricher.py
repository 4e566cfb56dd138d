"""Adds who, what and where to a batch. Pure: the same events, tables and files give the same columns."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from sekisho.contract import Context
from sekisho.enrich.decoys import COLUMNS as DECOY_COLUMNS
from sekisho.enrich.decoys import Decoys
from sekisho.enrich.devices import Ledger
from sekisho.enrich.identity import Held, Holders, Parties
from sekisho.enrich.places import Atlas, OwnNetworks, place_columns
from sekisho.enrich.timeline import Coded, micros, spread
from sekisho.ocsf import EVENT_SCHEMA
from sekisho.settings import Enrich


class _Master:
    """The tables of one context version, indexed once."""

    def __init__(self, context: Context, decoy_key: bytes, systems: Mapping[str, tuple[str, ...]]) -> None:
        self.version = context.version
        self.holders = Holders(context.tables["accounts"], systems)
        self.ledger = Ledger(context.tables["devices"])
        self.networks = OwnNetworks(context.tables["networks"])
        self.decoys = Decoys(context.tables["decoys"], decoy_key)


class Enricher:
    """``decoy_key`` is the installation's key of the decoys' hashes; ``account_systems`` says for each
    source id under which systems of the table ``accounts`` its accounts are kept (default: its own id).

    Raises ``Refused`` at construction if a file named in the settings cannot be used.
    """

    def __init__(
        self, options: Enrich, decoy_key: bytes, account_systems: Mapping[str, tuple[str, ...]]
    ) -> None:
        self._atlas = Atlas(options)
        self._decoy_key = decoy_key
        self._systems = dict(account_systems)
        self._master: _Master | None = None
        self._files = self._atlas.digest()

    def batch(self, events: pa.Table, context: Context) -> pa.Table:
        """``events`` (NORMALISED_SCHEMA) with the enrichment columns (EVENT_SCHEMA), rows in order."""
        master = self._of(context)
        times = micros(events.column("time"), 0)
        added = place_columns(self._atlas, master.networks, events.column("src_endpoint_ip"), times)
        about, by = master.holders.held(Parties.of(events), Coded.of(events.column("source")), times)
        added |= _accounts("", about) | _accounts("actor_", by)
        added["device_asset"] = spread(master.ledger.assets, master.ledger.find(events, times))
        decoys, places = master.decoys.find(events, times)
        added["decoy_uid"] = spread(master.decoys.uids, decoys)
        added["decoy_in"] = spread(DECOY_COLUMNS, places)
        version = pa.scalar(f"{context.version}+{self._files}", pa.string())
        added["context_version"] = pa.repeat(version, events.num_rows)
        columns = [added.get(field.name, None) for field in EVENT_SCHEMA]
        return pa.Table.from_arrays(
            [
                events.column(field.name) if column is None else column
                for field, column in zip(EVENT_SCHEMA, columns, strict=True)
            ],
            schema=EVENT_SCHEMA,
        )

    def versions(self) -> dict[str, str]:
        """Files and lists in use, with their digests; ``context`` is the master data last used."""
        found = self._atlas.versions()
        if self._master is not None:
            found["context"] = self._master.version
        return found

    def failures(self) -> dict[str, int]:
        """Look-ups that failed inside a broken database, by file (their columns are null)."""
        return self._atlas.failures()

    def _of(self, context: Context) -> _Master:
        if self._master is None or self._master.version != context.version:
            self._master = _Master(context, self._decoy_key, self._systems)
        return self._master


def _accounts(prefix: str, held: Held) -> dict[str, pa.Array]:
    names = ("account", "person_uid", "account_ref")
    return {f"{prefix}{name}": column for name, column in zip(names, held, strict=True)}
