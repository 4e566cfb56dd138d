"""Backups of a whole installation, taken while it runs, checked, and brought back.

A backup's folder holds each content once (``files/<first two digits>/<SHA-256>``), so the next backup
writes only what is
new, and one description per backup (``backups/<time>.json``). Secrets are one file, encrypted with a
passphrase; its
key also signs the descriptions, so that whoever has the disk but not the passphrase cannot change them
unseen.
"""

from sekisho.keeping.backup.bring import bring
from sekisho.keeping.backup.check import Fault, verify
from sekisho.keeping.backup.description import Backup, Entry, Facts, Tables, backups, newest
from sekisho.keeping.backup.make import Made, make

__all__ = [
    "Backup",
    "Entry",
    "Facts",
    "Fault",
    "Made",
    "Tables",
    "backups",
    "bring",
    "make",
    "newest",
    "verify",
]
