"""Copies of finished segments outside this machine: a folder on another mount, or an S3-compatible
object store.

Nothing in an archive is ever deleted or changed from here; the rights to do so are not needed. What it holds:

=============================  =====================================================================
``journal/<first>.seg``        a segment, byte for byte; beside it the files that belong to it
``journal/<first>.json``       ``Description``: the segment's contents, and each file with its hash;
written last
``standing/<name>/<offset>``   a file of the journal as a whole (checkpoints) from that byte on
=============================  =====================================================================
"""

from sekisho.keeping.archive.folder import Folder
from sekisho.keeping.archive.placing import Description, Place, Placed, Throttle
from sekisho.keeping.archive.restore import Restored, Wanted, restore
from sekisho.keeping.archive.run import Archive, Found, Outcome

__all__ = [
    "Archive",
    "Description",
    "Folder",
    "Found",
    "Outcome",
    "Place",
    "Placed",
    "Restored",
    "Throttle",
    "Wanted",
    "restore",
]
