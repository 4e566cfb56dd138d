"""The outbox: what a change still owes to others, written in the same transaction as the change.

The database and the journal cannot be changed together. So a change leaves here what has to follow it
(audit events, publishing, judging again), and a row goes only when that is done. After a crash in between
it is done later: at least once, and doing it twice changes nothing.
"""
