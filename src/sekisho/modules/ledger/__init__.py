"""The ledger (台帳): how the modules that keep master data store it, with full history.

Nothing is overwritten: a change supersedes the old version of a row and adds a new one, with the
import (who, when, which file) behind both. ``people``, ``grants`` and ``decoys`` stand on it.
"""
