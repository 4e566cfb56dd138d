"""Records become events, or rejects with the reason: unwrap, recognise, decode, map, columns."""

from sekisho.normalise.batch import Normalised, Normaliser
from sekisho.normalise.routing import recognise

__all__ = ["Normalised", "Normaliser", "recognise"]
