"""The cold tier: closed days as large sorted files, an index beside each, and an Iceberg table."""
