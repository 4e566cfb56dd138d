"""Django settings, computed from the data folder in ``$SEKISHO_DATA``. No secret is written here.

Without ``$SEKISHO_DATA`` (type checker, documentation) nothing is created: the database is in
memory and the key lasts as long as the process.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from sekisho.settings import secret

_FOLDER = os.environ.get("SEKISHO_DATA", "")
DATA = Path(_FOLDER) if _FOLDER else None

SECRET_KEY = secret(DATA / "secrets" / "django.key").hex() if DATA else secrets.token_hex(32)
DEBUG = False
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "sekisho.modules.outbox",
    "sekisho.modules.ledger",
    "sekisho.modules.people",
    "sekisho.modules.grants",
    "sekisho.modules.decoys",
    "sekisho.modules.alerts",
    "sekisho.modules.searches",
]
MIDDLEWARE: list[str] = []
ROOT_URLCONF = "sekisho.console.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA / "console.sqlite3" if DATA else ":memory:",
        "OPTIONS": {
            # a writer takes the lock when it begins: no deadlock between read and write (SQLite, "Isolation")
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            # FULL: an alert that was raised before the lake's commit must not vanish in a power cut
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
        },
    }
}

LANGUAGE_CODE = "ja"
LANGUAGES = [("ja", "日本語"), ("en", "English")]
USE_I18N = True
TIME_ZONE = "UTC"
USE_TZ = True
LOGGING_CONFIG = None
