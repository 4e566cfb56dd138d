"""The body of Elasticsearch's ``_bulk``: an action line, then for most actions a document line. Pure."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from sekisho.collect import objects

Operation = Literal["index", "create", "update", "delete"]
_DOCUMENTS = ("index", "create")


class _Target(msgspec.Struct, gc=False, rename={"index": "_index", "id": "_id"}):
    index: str | None = None
    id: str | int | None = None


class _Action(msgspec.Struct, gc=False):
    index: _Target | None = None
    create: _Target | None = None
    update: _Target | None = None
    delete: _Target | None = None


class _Document(msgspec.Struct, gc=False):
    """Any JSON object; nothing of it is kept."""


class Item(NamedTuple):
    """One action of the request.

    ``bodies``  what is journaled: the document as received; of something malformed every line of it
    ``why``     what is wrong with it; empty for a document
    """

    operation: Operation
    target: str
    id: str
    bodies: tuple[bytes, ...]
    why: str = ""


_action = msgspec.json.Decoder(_Action)
_document = msgspec.json.Decoder(_Document)


def parse(body: bytes, index: str) -> list[Item]:
    """All items in their order; ``index`` is the one of the path, for actions that name none.

    Each action gives exactly one item, so that a client which counts finds its own documents again.
    After a malformed action line the next line is taken for its document, unless it is an action.
    Raises ``objects.TooMany``.
    """
    lines = list(objects.lines(body, 2 * objects.RECORDS))
    items: list[Item] = []
    place = 0
    while place < len(lines):
        if len(items) >= objects.RECORDS:
            raise objects.TooMany
        line = lines[place]
        place += 1
        action = _read(line)
        if action is None:
            bodies: tuple[bytes, ...] = (line,)
            if place < len(lines) and _read(lines[place]) is None:
                bodies = (line, lines[place])
                place += 1
            items.append(Item("index", index, "", bodies, "the action line is not understood"))
            continue
        operation, target = action
        name, uid = target.index or index, "" if target.id is None else str(target.id)
        if operation == "delete":
            items.append(Item(operation, name, uid, (), "Sekisho deletes nothing on request"))
            continue
        if place == len(lines):
            items.append(Item(operation, name, uid, (line,), "the document after the action is missing"))
            break
        items.append(_item(operation, name, uid, lines[place]))
        place += 1
    return items


def _item(operation: Operation, index: str, uid: str, line: bytes) -> Item:
    if operation not in _DOCUMENTS:
        return Item(operation, index, uid, (), "Sekisho changes nothing on request; it stores new documents")
    why = objects.decoded(line, _document).why
    return Item(operation, index, uid, (line,), f"the document is not a JSON object: {why}" if why else "")


def _read(line: bytes) -> tuple[Operation, _Target] | None:
    action = objects.decoded(line, _action).value
    if action is None:
        return None
    named: list[tuple[Operation, _Target | None]] = [
        ("index", action.index),
        ("create", action.create),
        ("update", action.update),
        ("delete", action.delete),
    ]
    found = [(operation, target) for operation, target in named if target is not None]
    return found[0] if len(found) == 1 else None
