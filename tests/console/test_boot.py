"""Starting on a data folder: safe keys, safe database, several folders in several processes."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sekisho.model import Refused
from sekisho.settings import secret

SCRIPT = """
import sys
from pathlib import Path
from sekisho.modules import database
database.start(Path(sys.argv[1])); database.migrate(); database.start(Path(sys.argv[1])); database.migrate()
from django.conf import settings
from django.db import connection
from sekisho.modules.alerts.models import Alert
with connection.cursor() as cursor:
    names = ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
    values = [cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
print(values, Alert.objects.count(), settings.SECRET_KEY, settings.DATABASES["default"]["NAME"])
"""


def run(folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip().rsplit(" ", 2)


def test_each_folder_has_its_own_database_and_key(tmp_path: Path) -> None:
    one, two, again = run(tmp_path / "one"), run(tmp_path / "two"), run(tmp_path / "one")
    assert one[0] == two[0] == "['wal', 1, 20000, 2] 0"
    assert one == again
    assert one[1] != two[1]
    assert one[2] == str(tmp_path / "one" / "console.sqlite3")
    key = tmp_path / "one" / "secrets" / "django.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_two_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "d")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1]


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "a.key"
    key = secret(path)
    assert (len(key), secret(path)) == (32, key)
    path.chmod(0o644)
    with pytest.raises(Refused, match="chmod 600"):
        secret(path)
    path.chmod(0o600)
    path.write_text("not hex")
    with pytest.raises(Refused, match="not a key"):
        secret(path)
    path.write_text("abcd")
    with pytest.raises(Refused, match="shorter"):
        secret(path)


def test_the_models_and_the_migrations_agree(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from sekisho.modules import database;"
        "database.start(Path(sys.argv[1]));"
        "from django.core.management import call_command;"
        "call_command('makemigrations', check=True, dry_run=True); call_command('check')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
