"""Starting Django for one data folder, from any process (command line, pipeline, web server)."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import django
from django.apps import apps
from django.core.management import call_command

SETTINGS = "sekisho.console.settings"


def start(data: Path) -> None:
    """Configure Django for the data folder and load the apps. Repeating it does no harm.

    A process that already runs on another folder is moved to the new one: open connections of this
    thread are closed. Raises ``model.Refused`` if a key file is readable by others.
    """
    data = data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    os.environ["SEKISHO_DATA"] = str(data)
    os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS
    if not apps.ready:
        django.setup()
    _point_at(data)


def _point_at(data: Path) -> None:
    from django.conf import settings
    from django.db import connections

    name = data / "console.sqlite3"
    if settings.DATABASES["default"]["NAME"] == name:
        return
    connections.close_all()
    settings.DATABASES["default"]["NAME"] = name  # the dictionary that the connections read, too


def migrate() -> None:
    """Create or bring forward the tables. Repeating it does no harm; two at once wait for each other."""
    from django.conf import settings
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    lock = Path(f"{settings.DATABASES['default']['NAME']}.lock")
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # Django itself does not keep two migrations apart
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", interactive=False, verbosity=0)
