"""The cold files as an Apache Iceberg table (format version 2), which other engines read as it is.

Catalogue: SQLite beside the files. The table follows the manifest, which stays the arbiter for Sekisho's
own readers; it can be made anew from it at any time (and is, when the folder has moved: Iceberg
writes absolute places). Field ids are those inside the Parquet files. Spec: https://iceberg.apache.org/spec/

``pyiceberg`` takes about a second to import, so only compaction does (decision 0030).
"""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.serializers import ToOutputFile
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadataV2
from pyiceberg.table.sorting import SortOrder
from pyiceberg.table.update import AddSchemaUpdate, SetCurrentSchemaUpdate
from pyiceberg.transforms import DayTransform
from pyiceberg.types import (
    BooleanType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)
from sqlalchemy.exc import DatabaseError

from sekisho.lake import files

NAME = ("sekisho", "events")
CATALOG = "catalog.sqlite3"
#: Properties of a snapshot: which compaction made it, which files of the hot tier it took over.
COMPACTION = "sekisho.compaction"
TOOK_OVER = "sekisho.took-over"

_TYPES: dict[pa.DataType, IcebergType] = {
    pa.string(): StringType(),
    pa.bool_(): BooleanType(),
    pa.int32(): IntegerType(),
    pa.int64(): LongType(),
    pa.timestamp("us", tz="UTC"): TimestamptzType(),
}
#: Iceberg keeps the ids above for itself.
_GREATEST_ID = 2_147_483_447
_PROPERTIES = {
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    # long texts have no statistics in the files either
    **{f"write.metadata.metrics.column.{name}": "none" for name in sorted(files.WIDE)},
}

log = logging.getLogger(__name__)


def schema_of(columns: pa.Schema, number: int = 0) -> Schema:
    """The lake's columns as an Iceberg schema; every one may be null."""
    fields = [
        NestedField(files.field_id(column.name), column.name, _TYPES[column.type], required=False)
        for column in columns
    ]
    if max(field.field_id for field in fields) > _GREATEST_ID:
        raise AssertionError("a column's field id is among those that Iceberg keeps for itself; rename it")
    return Schema(*fields, schema_id=number)


class Events:
    """The table of one lake folder; made if there is none. ``columns`` is the schema it is to have."""

    def __init__(self, folder: Path, columns: pa.Schema = files.SCHEMA) -> None:
        self._folder = folder / "cold"
        self._columns = columns
        self._table = self._open()
        self._follow_schema()

    @property
    def table(self) -> Table:
        return self._table

    def close(self) -> None:
        self._catalog.close()

    def publish(self, wanted: Iterable[Path], about: Mapping[str, str]) -> bool:
        """Make the table consist of exactly these files, in one snapshot; False if it did already.

        ``about``  properties of the snapshot
        """
        target = {path.as_uri(): path for path in wanted}
        held = {task.file.file_path: task.file for task in self._table.scan().plan_files()}
        new, gone = [uri for uri in target if uri not in held], [uri for uri in held if uri not in target]
        if not new and not gone:
            return False
        with self._table.transaction() as transaction:
            change = transaction.update_snapshot(snapshot_properties=dict(about))
            producer: Any = change.overwrite() if gone else change.fast_append()
            with producer as snapshot:
                for uri in new:
                    snapshot.append_data_file(
                        parquet_file_to_data_file(self._table.io, transaction.table_metadata, uri)
                    )
                for uri in gone:
                    snapshot.delete_data_file(held[uri])
        return True

    def expire(self, before: datetime) -> None:
        """Forget snapshots that are older; the newest one stays."""
        self._table.maintenance.expire_snapshots().older_than(before).commit()

    def compactions(self) -> set[str]:
        """Ids of the compactions whose snapshots are still known."""
        found = (snapshot.summary for snapshot in self._table.snapshots())
        return {summary[COMPACTION] or "" for summary in found if summary and COMPACTION in summary}

    # -- opening -----------------------------------------------------------------------------------

    def _open(self) -> Table:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._catalog = self._connect()
        try:
            table = self._catalog.load_table(NAME)
            if table.location() == self._folder.as_uri():
                return table
            log.info("%s has moved: its Iceberg table is made anew", self._folder)
        except NoSuchTableError:
            return self._create()
        except (DatabaseError, OSError, ValueError) as error:
            log.warning("%s: the Iceberg catalogue is not readable (%s) and made anew", self._folder, error)
        self._catalog.close()
        (self._folder / CATALOG).unlink(missing_ok=True)
        shutil.rmtree(self._folder / "metadata", ignore_errors=True)
        self._catalog = self._connect()
        return self._create()

    def _connect(self) -> SqlCatalog:
        uri = f"sqlite:///{self._folder / CATALOG}"
        return SqlCatalog("sekisho", uri=uri, warehouse=self._folder.as_uri())

    def _create(self) -> Table:
        self._catalog.create_namespace_if_not_exists(NAME[0])
        schema = schema_of(self._columns)
        day = PartitionField(files.field_id("time"), 1000, DayTransform(), "time_day")
        metadata = TableMetadataV2.model_validate(
            {
                "location": self._folder.as_uri(),
                "schemas": [schema],
                "current-schema-id": 0,
                "last-column-id": schema.highest_field_id,
                "partition-specs": [PartitionSpec(day, spec_id=0)],
                "default-spec-id": 0,
                "last-partition-id": 1000,
                "sort-orders": [SortOrder(order_id=0)],
                "default-sort-order-id": 0,
                "properties": dict(_PROPERTIES),
                "table-uuid": uuid.uuid4(),
            }
        )
        # ``create_table`` would number the fields anew
        place = f"{self._folder.as_uri()}/metadata/00000-{uuid.uuid4()}.metadata.json"
        (self._folder / "metadata").mkdir(exist_ok=True, mode=0o700)
        ToOutputFile.table_metadata(metadata, self._table_io(place))
        return self._catalog.register_table(NAME, place)

    def _table_io(self, place: str) -> Any:
        return self._catalog._load_file_io(location=place).new_output(place)  # noqa: SLF001 - no public way

    def _follow_schema(self) -> None:
        """Columns that came since are added, with their own ids; widened ones widened. None ever goes."""
        current = self._table.schema()
        wanted = schema_of(self._columns)
        known = {field.field_id for field in wanted.fields}
        kept = [field for field in current.fields if field.field_id not in known]
        fields = [*wanted.fields, *kept]
        if {(f.field_id, f.name, str(f.field_type)) for f in fields} == {
            (f.field_id, f.name, str(f.field_type)) for f in current.fields
        }:
            return
        number = max(schema.schema_id for schema in self._table.metadata.schemas) + 1
        schema = Schema(*fields, schema_id=number)
        updates = (
            AddSchemaUpdate.model_validate({"schema": schema}),
            SetCurrentSchemaUpdate.model_validate({"schema-id": -1}),
        )
        self._catalog.commit_table(self._table, (), updates)
        self._table = self._catalog.load_table(NAME)
