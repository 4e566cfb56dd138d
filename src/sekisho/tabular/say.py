"""Problems of a file as lines for a person."""

from __future__ import annotations

from collections.abc import Sequence

from sekisho.model import Language, Problem


def told(problems: Sequence[Problem], language: Language) -> list[str]:
    """One line each: row, column, what stands there, what is expected, an example."""
    return [_line(problem, language) for problem in problems]


def _line(problem: Problem, language: Language) -> str:
    ja = language == "ja"
    place = []
    if problem.row is not None:
        place.append(f"{problem.row} 行目" if ja else f"row {problem.row}")
    if problem.column:
        place.append(f"列「{problem.column}」" if ja else f"column {problem.column}")
    got = problem.got
    said = (f"「{got}」" if ja else f"'{got}'") if got else ("空欄" if ja else "empty")
    where = " ".join(place) if ja else ", ".join(place)
    start = f"{where}: " if where else ""
    if not where:
        said = got
    wanted = problem.expected.get(language)
    example = (
        (f"（例: {problem.example}）" if ja else f" (example: {problem.example})") if problem.example else ""
    )
    line = f"{start}{said} → {wanted}{example}" if ja else f"{start}{said}; expected {wanted}{example}"
    return _printable(line)  # names of columns are the file's own, too


def _printable(text: str) -> str:
    """What is no letter, mark or blank (an escape sequence, say) must not reach a terminal."""
    return "".join(
        c if c.isprintable() or c == "\N{IDEOGRAPHIC SPACE}" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
