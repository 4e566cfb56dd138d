"""Events -> events: who (person), what (device, decoy), where (country, network), from versioned tables."""

from sekisho.enrich.enricher import Enricher

__all__ = ["Enricher"]
