"""Tables of events: append, merge, search. The lake can always be rebuilt from the journal."""

from sekisho.lake.writer import Damage, Folded, Lake

__all__ = ["Damage", "Folded", "Lake"]
