"""Counts by hour beside a cold file: histograms and top values of a few columns without reading events."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sekisho.lake import files

SUFFIX = ".hours"
HOUR = 3_600_000_000  # µs
#: Columns that a histogram is usually narrowed by. Few values each, or the counts grow.
DIMENSIONS = (
    "source",
    "class_uid",
    "activity_id",
    "status_id",
    "severity_id",
    "is_mfa",
    "src_country",
    "src_net_class",
)
#: A day with more different combinations than this share of its events gets no counts.
WORTH = 0.1


class Cube:
    """Adds up tables of events."""

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []
        self._rows = 0

    def add(self, rows: pa.Table) -> None:
        time = rows["time"].cast(pa.int64())
        hour = pc.multiply(_floor(time), HOUR).cast(pa.timestamp("us", tz="UTC"))
        columns = [hour] + [
            rows[name]
            if name in rows.column_names
            else pa.nulls(rows.num_rows, files.SCHEMA.field(name).type)
            for name in DIMENSIONS
        ]
        table = pa.table(columns, names=["time", *DIMENSIONS])
        table = table.append_column("n", pa.array([1], pa.int64()).take(pa.array([0] * rows.num_rows)))
        self._parts.append(_added(table))
        self._rows += rows.num_rows
        if len(self._parts) >= 32:
            self._parts = [_added(pa.concat_tables(self._parts))]

    def write(self, path: Path) -> bool:
        """False, and no file, if the counts would be too many to help."""
        table = _added(pa.concat_tables(self._parts))
        if table.num_rows > max(10_000, self._rows * WORTH):
            return False
        fields = [files.SCHEMA.field(name) for name in ("time", *DIMENSIONS)]
        schema = pa.schema([*fields, pa.field("n", pa.int64(), metadata={"PARQUET:field_id": "1"})])
        with files.create(path) as file:
            pq.write_table(
                table.sort_by("time").cast(schema), file, compression="zstd", write_page_checksum=True
            )
        return True


def _floor(time: pa.ChunkedArray) -> pa.ChunkedArray:
    """Number of the hour, also before 1970."""
    return pc.floor(pc.divide(time.cast(pa.float64(), safe=False), float(HOUR))).cast(pa.int64())


def _added(table: pa.Table) -> pa.Table:
    found = table.group_by(["time", *DIMENSIONS], use_threads=False).aggregate([("n", "sum")])
    return (
        found.rename_columns([*found.column_names[:-1], "n"])
        if found.column_names[-1] == "n_sum"
        else (found.rename_columns(["n" if name == "n_sum" else name for name in found.column_names]))
    )
