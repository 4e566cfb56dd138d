"""No file of the program grows beyond what is read in one go, but tables of names."""

from __future__ import annotations

from tests.conftest import ROOT

#: lines; about 400 is the aim
LIMIT = 460
#: files that are one long table: nobody reads them from top to bottom
TABLES = {
    "ocsf/classes.py": "the classes of OCSF with their activities, one entry each",
}


def test_files_are_small() -> None:
    source = ROOT / "src" / "sekisho"
    sizes = {
        path.relative_to(source).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in source.rglob("*.py")
    }
    assert len(sizes) > 100, f"these are not the files of the program: {source}"
    long = {name: size for name, size in sizes.items() if size > LIMIT}
    assert long.keys() <= TABLES.keys(), "split by subject, so that each file says one thing"
    assert set(TABLES) <= set(long), "the list names a file that is short now, or gone"
