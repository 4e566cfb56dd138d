"""The Django project of the control plane: one SQLite database in the data folder."""

from sekisho.console.boot import migrate, start

__all__ = ["migrate", "start"]
