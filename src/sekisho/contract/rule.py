"""A detection: a query over a batch of events and the master data, and what it tells a person."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sekisho.model import Severity, Text

ATTACK_ID = re.compile(r"T\d{4}(\.\d{3})?")

#: One row of the rule's query.
Match = Mapping[str, Any]


class Told(NamedTuple):
    """What a match means. ``subject`` and ``anchor`` decide the alert's id (rules-of-detection.md, I5)."""

    subject: str
    anchor: str
    severity: Severity
    what: Text


@dataclass(frozen=True)
class Rule:
    """``query`` is DuckDB SQL that reads ``events`` (the batch, or the past in a replay) and the
    master-data tables of ``sekisho.contract.tables``. It returns one row per matching event with at
    least all columns of ``events`` (``SELECT e.*, ...``); further columns are facts for ``tell``, and
    ``about_person`` says whom the match is about where that is not ``person_uid``.

    ``scope`` is SQL over the columns of one event. ``query`` and ``unjudged`` see only the events for which
    it holds, and do not run on a batch that has none (the more it leaves out, the cheaper the rule).
    ``events`` holds the columns that the rule's SQL names; ``tell`` gets all.

    Two more tables are there: ``source_systems`` (source, system) and ``account_keys`` (the accounts with
    ``source``, ``*`` for every one, and ``key``, the folded name): an event's row is found by
    ``key = account_ref`` (``actor_account_ref``: of who acted) and ``source``, never by names.

    ``query`` must judge each event by itself and by master data only, so that batch size, order
    and lateness cannot change the result (rules-of-detection.md, I2).

    To each row that ``tell`` gets the detector adds facts of the world, worded for a person:
    ``zone`` (IANA zone of the person, Asia/Tokyo if unknown), ``local_day`` (date there), ``local_time``,
    ``jst``, ``when`` (``jst``, and ``local_time`` in brackets where the person's clock shows another time),
    ``person_name`` (name and number), ``who`` (person, else account, else ``?``), ``network`` (/24 or /64
    of ``src_endpoint_ip``), ``where`` (address, country and kind of network, ``?`` if not recorded),
    ``from_ja`` and ``from_en`` (the clause "、接続元 …", ", from …"; empty if not recorded). Other moments
    are worded by ``sekisho.model.moment``.

    ``unjudged`` is SQL with the columns ``reason`` and ``events``: how many events of the batch the rule
    could not judge, and why (empty: it judges every event it has the columns for).

    ``tables``   master data without which the rule cannot judge
    ``columns``  event columns without which the rule cannot judge
    ``shown``    event columns listed for each piece of evidence
    """

    id: str
    title: Text
    advisory: tuple[str, ...]
    attack: tuple[str, ...]
    query: str
    tell: Callable[[Match], Told]
    why: Text
    todo: tuple[Text, ...]
    columns: tuple[str, ...]
    tables: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    author: str = "Sekisho"
    reference: str = ""
    unjudged: str = ""
    scope: str = "true"
