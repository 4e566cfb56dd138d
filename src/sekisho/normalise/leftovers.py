"""``unmapped`` of JSON records: what the source's Struct does not declare.

A JSON merge patch (RFC 7386) with ``null`` for every declared field deletes exactly what was mapped; DuckDB
applies it to all records of a batch at once. Lists of Structs stay whole, because a merge patch cannot reach
into a list.
"""

from __future__ import annotations

from typing import Any

import duckdb
import msgspec
import pyarrow as pa
from msgspec import inspect

_CONFIG: dict[str, Any] = {
    "threads": 1,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "enable_external_access": False,
}


def _holds_struct(kind: inspect.Type) -> bool:
    """Whether values of this type hold Structs inside a list or dictionary (then they are kept whole)."""
    if isinstance(kind, inspect.StructType):
        return True
    if isinstance(kind, inspect.UnionType):
        return any(_holds_struct(option) for option in kind.types)
    if isinstance(kind, inspect.ListType | inspect.VarTupleType | inspect.SetType | inspect.FrozenSetType):
        return _holds_struct(kind.item_type)
    if isinstance(kind, inspect.TupleType):
        return any(_holds_struct(item) for item in kind.item_types)
    return isinstance(kind, inspect.DictType) and _holds_struct(kind.value_type)


def _patch_of(kind: inspect.Type) -> Any:
    """Patch for one declared value; ``...`` where it must stay."""
    if isinstance(kind, inspect.UnionType):
        structs = [option for option in kind.types if isinstance(option, inspect.StructType)]
        if structs:
            merged: dict[str, Any] = {}
            for struct in structs:
                merged.update(_patch_of(struct))
            return merged
    if isinstance(kind, inspect.StructType):
        patches = {field.encode_name: _patch_of(field.type) for field in kind.fields}
        return {name: patch for name, patch in patches.items() if patch is not ...}
    return ... if _holds_struct(kind) else None


def null_patch(record: type[Any]) -> str:
    """The merge patch (JSON) that deletes what ``record`` declares."""
    return msgspec.json.encode(_patch_of(inspect.type_info(record))).decode()


class Leftovers:
    """Applies null patches. One DuckDB in memory, one thread; not shared between threads."""

    def __init__(self) -> None:
        self._duckdb = duckdb.connect(":memory:", config=_CONFIG)
        self._duckdb.execute("SET preserve_insertion_order = true")

    def of(self, payloads: pa.Array, patch: str) -> list[str | None]:
        """What is left of each payload (null where nothing is). Unreadable payloads give ``""``."""
        quoted = patch.replace("'", "''")
        self._duckdb.register("payloads", pa.table({"payload": payloads}))
        try:
            return self._query(f"json_merge_patch(payload, '{quoted}')::varchar")
        except duckdb.Error:
            merged = f"json_merge_patch(payload, '{quoted}')::varchar"
            return self._query(f"CASE WHEN json_valid(payload) THEN {merged} ELSE '' END")
        finally:
            self._duckdb.unregister("payloads")

    def _query(self, expression: str) -> list[str | None]:
        query = f"SELECT nullif({expression}, '{{}}') AS rest FROM payloads"  # noqa: S608 - as above
        left: list[str | None] = self._duckdb.sql(query).to_arrow_table().column("rest").to_pylist()
        return left
