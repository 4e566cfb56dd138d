"""Asking the store: in this process by whoever may read the data folder, else through `sekisho serve ask`.

Every question is in the journal, or durably owed to it, before any of its answer is shown: employees' data
are personal data, and whoever looks at them is named.
"""

from __future__ import annotations

import hashlib
import os
import pwd
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
from django.db import DatabaseError, connections

from sekisho.collect import local
from sekisho.lake import answers, manifest, questions, reader
from sekisho.lake import query as language
from sekisho.lake.questions import Explain, Find, Hunted, Meter, Question, Sql
from sekisho.lake.rights import ADMIN, Rights
from sekisho.model import Refused, Retry
from sekisho.modules import database
from sekisho.settings import Settings
from sekisho.wiring.clock import now
from sekisho.wiring.handing import audit


class Who(NamedTuple):
    """As the kernel names the asker, never as he calls himself."""

    uid: int
    name: str


class Why(NamedTuple):
    """What the question is for, as the asker says."""

    purpose: str = ""
    case: str = ""
    #: name of the file that is written, if one is
    exported: str = ""


def user_name(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def me() -> Who:
    uid = os.getuid()
    return Who(uid, user_name(uid) or f"uid {uid}")


def readable(data: Path) -> bool:
    """Whether this process reads the folder itself; one that is not there yet counts too."""
    try:
        there = data.exists()
    except PermissionError:
        return False
    return not there or os.access(data, os.R_OK | os.X_OK)


def ask(
    settings: Settings,
    question: Question,
    *,
    meter: Meter,
    why: Why = Why(),  # noqa: B008 - frozen
    who: Who | None = None,
    rights: Rights = ADMIN,
    service: bool = False,
) -> Iterator[pa.Table]:
    """The answer, recorded before and after. Raises ``Refused`` if it cannot be recorded.

    ``service``  never opens the journal itself: that is the collector's
    """
    check(question)
    if not (settings.lake_dir / manifest.FILE).exists():
        reader.snapshot(settings.lake_dir)  # says what is missing
    asker = who or me()
    if isinstance(question, Explain):
        return answers.answer(question, settings.lake_dir, settings.lake, rights, now=now(), meter=meter)
    if settings.access.require_purpose and not (why.purpose or why.case):
        raise Refused("each question must say what it is for", "give --purpose TEXT or --case ID")
    asked = _Record(question, asker, rights, why, service=service)
    keep(settings, asked.begun(), service=service)
    return _answered(settings, question, asked, meter, rights)


def check(question: Question) -> None:
    """Raises ``Refused`` where the question itself is wrong; that needs no record."""
    zone = questions.zone_of(question.zone)
    language.compile(question.query, zone, now())
    for option, text in (("--since", question.since), ("--until", question.until)):
        if text:
            questions.moment(option, text, zone, now())


def _answered(
    settings: Settings, question: Question, asked: _Record, meter: Meter, rights: Rights
) -> Iterator[pa.Table]:
    failed = "it was ended early"
    try:
        yield from answers.answer(question, settings.lake_dir, settings.lake, rights, now=now(), meter=meter)
        failed = "it was ended early" if meter.ended.is_set() else ""
    except Refused as error:
        failed = error.why
        raise
    finally:
        keep(settings, asked.ended(meter, failed), service=asked.service)


def keep(settings: Settings, event: Mapping[str, Any], *, service: bool) -> None:
    """Into the journal; if that cannot be now, owed durably; else ``Refused``."""
    if not service or local.answers(settings.run_dir / "collect.sock"):
        try:
            audit(settings, [event])
        except (Retry, Refused, OSError) as error:
            problem: Exception | None = error
        else:
            return
    else:
        problem = None
    try:
        database.start(settings.data)
        database.migrate()
        from sekisho.modules.outbox import flows  # Django must be configured before its models load

        flows.owe_audit([event], now=now())
        if service:
            connections.close_all()  # its threads come and go
    except (DatabaseError, OSError, Refused) as error:
        raise Refused(
            f"the question cannot be recorded, so it is not answered: {problem or 'no collector answers'};"
            f" {error}",
            "make room on the disk, or start the platform: sekisho up",
        ) from error


class _Record:
    """One question as two events of OCSF Datastore Activity (class 6005): asked, and answered."""

    def __init__(self, question: Question, who: Who, rights: Rights, why: Why, *, service: bool) -> None:
        self.service = service
        self._question = question
        self._who = who
        self._rights = rights
        self._why = why
        self._began = now()
        seed = f"{who.uid} {os.getpid()} {self._began.timestamp()} {id(self)}"
        self._uid = hashlib.sha256(seed.encode()).hexdigest()[:32]

    def begun(self) -> dict[str, Any]:
        return self._event("asked", "asks", 99, {"status": "Asked"}, {})

    def ended(self, meter: Meter, failed: str) -> dict[str, Any]:
        status = 2 if failed else 1
        told: dict[str, Any] = {
            "status": "Failure" if failed else "Success",
            "count": meter.found,
            "duration": max(0, int((now() - self._began).total_seconds() * 1000)),
        }
        if failed:
            told["status_detail"] = failed[:1000]
        seen = {"rows": meter.found, "looked_through": meter.done, "snapshot_offset": meter.offset}
        return self._event("answered", f"was given {meter.found} rows for", status, told, seen)

    def _event(
        self, step: str, verb: str, status: int, told: dict[str, Any], seen: dict[str, Any]
    ) -> dict[str, Any]:
        kind = str(self._question.__struct_config__.tag)
        text = _text(self._question)
        why = " ".join(
            f"({name}: {value})" for name, value in zip(self._why._fields, self._why, strict=True) if value
        )
        return {
            "class_uid": 6005,
            "category_uid": 6,
            "activity_id": 4,
            "type_uid": 600504,
            "time": int(now().timestamp() * 1000),
            "severity_id": 1,
            "status_id": status,
            **told,
            "message": f"{self._who.name} ({self._rights.role}) {verb} {kind}: {text[:2000]} {why}".strip(),
            "actor": {"user": {"name": self._who.name, "uid": str(self._who.uid)}},
            "src_endpoint": {"hostname": os.uname().nodename},
            "type_id": 1,
            "database": {"name": "sekisho", "type_id": 1},
            "table": {"name": "events"},
            "query_info": {"query_string": text, "uid": self._uid},
            "policy": {"name": f"role {self._rights.role}"},
            "metadata": {
                "version": "1.8.0",
                "uid": f"search-{self._uid}-{step}",
                "event_code": f"search.{step}",
                "log_name": "search",
                "correlation_uid": self._uid,
                "product": {"name": "Sekisho", "vendor_name": "Sekisho"},
            },
            "unmapped": {
                "kind": kind,
                "role": self._rights.role,
                "purpose": self._why.purpose,
                "case": self._why.case,
                "exported": self._why.exported,
                "question": _options(self._question),
                **seen,
            },
        }


def _text(question: Question) -> str:
    if isinstance(question, Sql):
        return question.statement
    if isinstance(question, Hunted):
        listed = msgspec.json.encode(question.sought)
        return f"{len(question.sought)} indicators, SHA-256 {hashlib.sha256(listed).hexdigest()}"
    if isinstance(question, Find) and not question.query:
        return "(everything)"
    return question.query


def _options(question: Question) -> dict[str, Any]:
    told = msgspec.to_builtins(question)
    assert isinstance(told, dict)
    told["columns"] = " ".join(told.get("columns") or ())
    return {name: value for name, value in told.items() if name not in _ELSEWHERE and value}


#: Said in other attributes of the record, or of no meaning for it.
_ELSEWHERE = frozenset({"ask", "sought", "statement", "query", "single"})
