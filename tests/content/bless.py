"""``python -m tests.content.bless [SOURCE...]``: writes the golden outputs anew; the diff is the review."""

from __future__ import annotations

import sys

from tests.content.cases import Case, cases, run, text


def _bless(case: Case) -> bool:
    new = text(run(case))
    old = case.golden.read_text(encoding="utf-8") if case.golden.exists() else ""
    if new != old:
        case.golden.write_text(new, encoding="utf-8")
    return new != old


def main(wanted: list[str]) -> None:
    chosen = [case for case in cases() if not wanted or case.source in wanted]
    changed = [case for case in chosen if _bless(case)]
    for case in changed:
        print(f"written: {case.golden.name} of {case.source}")
    print(f"{len(changed)} of {len(chosen)} golden outputs changed")


if __name__ == "__main__":
    main(sys.argv[1:])
