"""`sekisho new`: writes a content file and an empty, failing case beside it."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import click

from sekisho.cli import new_forms
from sekisho.contract import discovery
from sekisho.model import Refused

_ID = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
_LATER = {
    "question": "self-inspection is not yet part of the platform",
    "action": "response is not yet part of the platform",
    "inspection": "code inspection is not yet part of the platform",
}


@click.command(short_help="Start a source or a rule with a failing case.")
@click.argument("kind", type=click.Choice(["source", "rule", *_LATER]))
@click.argument("content_id", metavar="ID")
@click.option("--group", default=None, metavar="NAME", help="Folder of a rule, e.g. accounts.")
@click.option("--sigma", is_flag=True, help="A rule in Sigma (YAML) instead of Python.")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Content folder; the one that is shipped if not given.",
)
def command(kind: str, content_id: str, group: str | None, sigma: bool, root: Path | None) -> None:
    """Write the file of a new source or rule, and an empty case that fails until it is filled.

    \b
    Examples:
      sekisho new source bastion
      sekisho new rule admin-at-night --group accounts
      sekisho new rule log-shipper-stopped --group logs --sigma
    """
    if kind in _LATER:
        raise Refused(f"`sekisho new {kind}`: {_LATER[kind]}", "sources and rules can be written now")
    if not _ID.fullmatch(content_id):
        raise Refused(f"{content_id!r} is no id", "lower-case words joined by - or _, e.g. admin-at-night")
    root = root or discovery.CONTENT
    stem = discovery.stem_of(content_id)
    if kind == "source":
        if group or sigma:
            raise Refused("--group and --sigma belong to rules", f"sekisho new source {content_id}")
        written = _source(root, content_id, stem)
    else:
        written = _rule(root, content_id.replace("_", "-"), stem, _group(group), sigma=sigma)
    for path in written:
        click.echo(f"written: {path}")
    click.echo("next: fill the case, then the file; `make suite` fails until both are right")


def _group(group: str | None) -> str:
    if group is None or not _ID.fullmatch(group):
        raise Refused("a rule needs a group", "--group NAME, a lower-case folder name such as accounts")
    return group


def _source(root: Path, content_id: str, stem: str) -> list[Path]:
    folder = root / "sources"
    case = folder / f"{stem}.cases" / "example.in"
    return _write({folder / f"{stem}.py": new_forms.SOURCE.replace("NEW_ID", content_id), case: ""})


def _rule(root: Path, content_id: str, stem: str, group: str, *, sigma: bool) -> list[Path]:
    folder = root / "rules" / group
    taken = [path for path in (root / "rules").glob(f"*/{stem}.*") if path.parent != folder]
    if taken:
        raise Refused(f"the id {content_id} is taken by {taken[0]}", "choose another id")
    form = new_forms.SIGMA if sigma else new_forms.RULE
    text = form.replace("NEW_ID", content_id).replace("NEW_UUID", str(uuid.uuid4()))
    return _write(
        {
            folder / f"{stem}.{'yml' if sigma else 'py'}": text,
            folder / f"{stem}.cases.yml": new_forms.RULE_CASES,
        }
    )


def _write(texts: dict[Path, str]) -> list[Path]:
    """Write all or none."""
    there = [str(path) for path in texts if path.exists()]
    if there:
        raise Refused(f"exists already: {', '.join(there)}", "choose another id, or remove the file first")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts)
