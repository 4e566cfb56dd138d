"""How long logs are kept, what must not go, and where copies are: retention, legal hold, archive, backup.

Above the stages, because it looks at the journal and the lake together; no process needs it to receive,
judge or
search. It never reads the clock and never writes to the journal itself: both are handed in by ``wiring``.
"""
