"""Words of strangers on a terminal: file names, cells, texts of logs. Nothing in them may steer it.

Control characters (C0, DEL, C1) and the marks that reorder or hide text are shown as escapes. ``echo`` does
so for whole lines, whatever stands in them; ``shown`` also for line ends, which could else forge a line.
"""

from __future__ import annotations

import json
import re

import click

_MARKS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff"
)
_UNSAFE_LINE = re.compile(f"[{_MARKS}]")
_UNSAFE = re.compile(f"[{_MARKS}\t\n]")


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def shown(value: object) -> str:
    """One value, in one line."""
    return _UNSAFE.sub(_escape, str(value))


def literal(value: object) -> str:
    """One value for rich: it is no markup either."""
    return shown(value).replace("[", r"\[")


def lines(text: str) -> str:
    """A text that may have lines of its own."""
    return _UNSAFE_LINE.sub(_escape, text)


def echo(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """``click.echo`` of ``lines``."""
    click.echo(lines(str(text)), err=err, nl=nl)


def echo_json(value: object, *, indent: int | None = None) -> None:
    """JSON in which no character steers a terminal; it means the same (RFC 8259, 7)."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    click.echo(_UNSAFE_LINE.sub(lambda match: f"\\u{ord(match[0]):04x}", text))
