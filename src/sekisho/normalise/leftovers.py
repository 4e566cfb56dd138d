"""``unmapped`` of JSON records: what the source's Struct does not declare.

What is left is copied as it was written (``msgspec.Raw``), never parsed again. Keys stand in the order of
the Struct, then by name, so that the text depends on the record alone. Declared fields are left out, also
where they are null. Lists and dictionaries of Structs stay whole, because a mapping may use only some of
their items.

Two ways with the same result. ``Plan.left`` works with dictionaries and serves any record. ``Extended`` is a
Struct that is made at run time from the source's own and the keys that its records really have: one decode
then gives the mapped fields and the leftovers. A record with a key it does not know goes the first way, and
``Learner`` counts that key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType, inspect

_encode = msgspec.json.Encoder().encode
_object = msgspec.json.Decoder(dict[str, Raw]).decode
_BRACE = ord("{")
_EMPTY = b"{}"
#: A key is learned once so many records had it; a new Struct is made after so many records without one.
_FAMILIAR = 8
_PATIENCE = 32
#: Keys that are counted, and keys that a Struct may have; beyond that all is learned anew. Bounds what a
#: sender of ever new keys can make of this.
_COUNTED = 4096
_LEARNED = 512

Path = tuple[str, ...]


def _structs(kind: inspect.Type) -> list[inspect.StructType]:
    """The Struct of ``Struct`` and ``Struct | None``; all Structs of any other union."""
    options = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return [option for option in options if isinstance(option, inspect.StructType)]


def _simple(kind: inspect.Type) -> bool:
    options = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return all(isinstance(option, inspect.StructType | inspect.NoneType) for option in options)


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


@dataclass
class Plan:
    """One level of a record: what is mapped (key → field), what is mapped in part, what stays whole."""

    struct: inspect.StructType
    path: Path = ()
    mapped: dict[str, str] = field(default_factory=dict)
    nested: dict[str, tuple[inspect.Field, Plan]] = field(default_factory=dict)
    whole: dict[str, inspect.Field] = field(default_factory=dict)
    #: keys of ``nested`` and ``whole`` in the order of the Struct
    parts: list[str] = field(default_factory=list)
    #: whether ``Extended`` can stand for it
    plain: bool = True

    @classmethod
    def of(cls, record: type[Any]) -> Plan:
        kind = inspect.type_info(record)
        assert isinstance(kind, inspect.StructType), f"{record} is no Struct"
        return cls._level(kind, ())

    @classmethod
    def _level(cls, struct: inspect.StructType, path: Path) -> Plan:
        plan = cls(struct, path)
        config = struct.cls.__struct_config__
        plan.plain = not (config.frozen or config.array_like or config.tag or config.forbid_unknown_fields)
        for one in struct.fields:
            key, found = one.encode_name, _structs(one.type)
            if len(found) == 1 and len(path) < 8:
                inner = cls._level(found[0], (*path, key))
                plan.nested[key] = (one, inner)
                known_default = one.required or one.default is None
                plan.plain = plan.plain and inner.plain and _simple(one.type) and known_default
            elif _holds_struct(one.type):
                plan.whole[key] = one
                plan.plain = plan.plain and not path and (one.required or one.default is None)
            else:
                plan.mapped[key] = one.name
        plan.parts = [one.encode_name for one in struct.fields if one.encode_name not in plan.mapped]
        return plan

    def left(self, payload: bytes | Raw, seen: list[tuple[Path, str]]) -> dict[str, Any]:
        """What is left of an object that fits the Struct; ``seen`` gets all keys that it lacks."""
        found = _object(payload)
        mapped, nested, whole = self.mapped, self.nested, self.whole
        parts: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for key, value in found.items():
            if key in mapped:
                continue
            if key in nested or key in whole:
                parts[key] = value
            else:
                seen.append((self.path, key))
                others[key] = value
        kept = {key: parts[key] for key in self.parts if key in parts and bytes(parts[key]) != b"null"}
        for key in kept.keys() & nested.keys():
            if memoryview(kept[key])[0] == _BRACE:
                kept[key] = nested[key][1].left(kept[key], seen)
        for key in sorted(others):
            kept[key] = others[key]
        return kept


class Extended:
    """The source's Struct and the leftovers of its records in one."""

    def __init__(self, plan: Plan, learned: dict[Path, list[str]]) -> None:
        struct, lines = _extend(plan, learned)
        self._erase = _eraser(lines)
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(struct).decode
        self._whole = [
            (one.name, msgspec.json.Decoder(_annotation(plan.struct.cls, one.name)).decode)
            for one in plan.whole.values()
        ]

    def open(self, payload: bytes) -> tuple[Any, list[Raw | None]]:
        """The record as its mapping expects it, and the lists that stay whole. Raises msgspec's errors."""
        record = self.decode(payload)
        kept: list[Raw | None] = []
        for name, decode in self._whole:
            raw = getattr(record, name)
            if raw is not None:
                setattr(record, name, value := decode(raw))
                raw = None if value is None else raw
            kept.append(raw)
        return record, kept

    def left(self, record: Any, kept: list[Raw | None]) -> bytes | None:
        """What is left of a record, which is used up."""
        self._erase(record)
        for (name, _), raw in zip(self._whole, kept, strict=True):
            setattr(record, name, raw)
        text = _encode(record)
        return None if text == _EMPTY else text


def _annotation(struct: type[Any], name: str) -> Any:
    return next(one.type for one in msgspec.structs.fields(struct) if one.name == name)


def _extend(plan: Plan, learned: dict[Path, list[str]]) -> tuple[type[Any], list[str]]:
    """A Struct that is ``plan.struct`` and knows the learned keys; and the lines that erase its mapped
    fields, where the record of each depth is ``r0``, ``r1``, …
    """
    depth = len(plan.path)
    fields: list[tuple[str, Any, Any]] = []
    kind: Any
    lines = [f"r{depth}.{name} = UNSET" for name in plan.mapped.values()]
    for key in (*plan.parts, *learned.get(plan.path, ())):
        if key in plan.nested:
            one, inner = plan.nested[key]
            kind, inside = _extend(inner, learned)
            kind = kind if one.required else kind | None
            name = one.name
            if inside:
                below = f"r{depth + 1}"
                lines += [
                    f"{below} = r{depth}.{name}",
                    f"if {below} is not None:",
                    *(f" {x}" for x in inside),
                ]
        elif key in plan.whole:
            one = plan.whole[key]
            name, kind = one.name, Raw
        else:
            fields.append((f"left_{len(fields)}", Raw | UnsetType, msgspec.field(default=UNSET, name=key)))
            continue
        given: dict[str, Any] = {} if one.required else {"default": None}
        fields.append((name, kind, msgspec.field(name=key, **given)))
    struct = msgspec.defstruct(
        plan.struct.cls.__name__,
        fields,
        bases=(plan.struct.cls,),
        kw_only=True,
        omit_defaults=True,
        forbid_unknown_fields=True,
        gc=False,
    )
    return struct, lines


def _eraser(lines: list[str]) -> Callable[[Any], None]:
    """One function of straight lines: a loop over ``setattr`` cost a quarter of the whole stage.

    The lines hold nothing but names of fields that a source's author wrote as Python.
    """
    made: dict[str, Any] = {"UNSET": UNSET}
    exec("\n ".join(["def erase(r0):", *lines, "return None"]), made)  # noqa: S102 - see above
    erase: Callable[[Any], None] = made["erase"]
    return erase


def _nameable(key: str) -> bool:
    """Whether msgspec takes the key as a field name; a sender may write any."""
    return not any(mark < " " or mark in '\\"' for mark in key)


class Learner:
    """Which keys the records of a source have beyond what is mapped."""

    def __init__(self, record: type[Any]) -> None:
        self.plan = Plan.of(record)
        self.extended: Extended | None = None
        self._learned: set[tuple[Path, str]] = set()
        self._counts: dict[tuple[Path, str], int] = {}
        self._waited = 0

    def left(self, payload: bytes) -> bytes | None:
        """What is left of a payload that fits the Struct. Raises msgspec's errors."""
        seen: list[tuple[Path, str]] = []
        text = _encode(self.plan.left(payload, seen))
        if self.plan.plain:
            self._count(seen)
        return None if text == _EMPTY else text

    def _count(self, seen: list[tuple[Path, str]]) -> None:
        for at in seen:
            if at not in self._learned:
                self._counts[at] = self._counts.get(at, 0) + 1
        self._waited += 1
        if self._waited >= _PATIENCE:
            self._waited = 0
            self._extend()

    def _extend(self) -> None:
        new = [at for at, count in self._counts.items() if count >= _FAMILIAR and _nameable(at[1])]
        if len(self._counts) > _COUNTED:
            self._counts.clear()
        if not new and self.extended is not None:
            return
        if len(self._learned) + len(new) > _LEARNED:
            self._learned.clear()
        self._learned.update(new[:_LEARNED])
        for at in new:
            self._counts.pop(at, None)
        keys: dict[Path, list[str]] = {}
        for path, key in sorted(self._learned):
            keys.setdefault(path, []).append(key)
        self.extended = Extended(self.plan, keys)
