"""The cold tier: closed days as large sorted Parquet files with an index beside each, and an Iceberg table."""
