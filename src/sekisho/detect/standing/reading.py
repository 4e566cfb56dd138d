"""The three questions that the digest asks of newly stored events (DuckDB's dialect). Few columns, no raw.

Each takes two parameters: the packed journal offsets low < offset <= high. What was handed over as a file is
left out: it is a selection of the past, and its end is no silence. So are the platform's own records.
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

_SPAN = "journal_offset > ? AND journal_offset <= ?"
_LIVE = "receiver NOT IN ('file', 'internal')"
_HOST = "coalesce(lower(device_hostname), '')"

#: Records by source, host, hour of the event and hour of receipt. A time after the receipt counts as the
#: receipt: nobody can fill hours to come. Masks have one bit for each 5 minutes of the hour.
COUNTS = f"""
SELECT live, source, host, asset, t // 3600000000 AS hour, r // 3600000000 AS received,
       bit_or((1 << ((t // 300000000) % 12))::INTEGER) AS mask,
       bit_or((1 << ((r // 300000000) % 12))::INTEGER) AS received_mask,
       count(*) AS n, max(r) AS newest,
       min(delay) AS least, max(delay) AS most, count(delay) AS delays
FROM (
  SELECT {_LIVE} AS live, source, {_HOST} AS host, coalesce(device_asset, '') AS asset,
         epoch_us(least(time, ingested_at)) AS t, epoch_us(ingested_at) AS r,
         nullif(epoch_us(ingested_at) - epoch_us(time), 0) AS delay
  FROM events WHERE {_SPAN}
)
GROUP BY ALL
"""  # noqa: S608 - constants

#: Runs of consecutive record numbers, by log. The number of a Windows event counts in its channel; that of
#: RFC 5424 counts over what one sender sends, a whole host or one program: both are kept, the denser one
#: speaks.
RUNS = f"""
SELECT source, host, log, min(seq) AS low, max(seq) AS high, min(t) AS low_time, max(t) AS high_time,
  count(*) AS n
FROM (
  SELECT *, seq - row_number() OVER (PARTITION BY source, host, log, epoch ORDER BY seq) AS run
  FROM (
    SELECT source, host, log, epoch, seq, min(t) AS t
    FROM (
      SELECT *, sum((seq * 2 < before)::INTEGER) OVER (PARTITION BY source, host, log ORDER BY t, seq) AS
        epoch
      FROM (
        SELECT *, lag(seq, 1, 0) OVER (PARTITION BY source, host, log ORDER BY t, seq) AS before
        FROM (
          SELECT CASE WHEN source IN ('windows', 'sysmon') THEN source ELSE 'syslog' END AS source, {_HOST}
            AS host,
                 unnest(CASE WHEN source IN ('windows', 'sysmon') THEN [coalesce(metadata_log_name, '')]
                        ELSE ['', 'program ' || coalesce(metadata_log_provider, '')] END) AS log,
                 metadata_sequence AS seq, epoch_us(time) AS t
          FROM events
          WHERE {_SPAN} AND {_LIVE} AND metadata_sequence IS NOT NULL
            AND source IN ('windows', 'sysmon', 'syslog', 'linux_auth', 'openssh')
        )
      )
    )
    GROUP BY ALL
  )
)
GROUP BY source, host, log, epoch, run
ORDER BY source, host, log, low_time, low
"""  # noqa: S608 - constants

#: Services of EDR sensors as Windows names them.
_SENSORS = (
    "('sense', 'windefend', 'csfalconservice', 'csagent', 'crowdstrike falcon sensor service',"
    " 'windows defender advanced threat protection service', 'microsoft defender antivirus service')"
)

#: Single events that explain an absence.
MARKS = f"""
SELECT kind, epoch_us(time) AS time, event_uid AS uid, source, host, asset, code, actor, actor_uid, process,
  told
FROM (
  SELECT *, {_HOST} AS host, coalesce(device_asset, '') AS asset, coalesce(metadata_event_code, '') AS code,
         coalesce(actor_user_name, '') AS actor, coalesce(actor_user_uid, '') AS actor_uid,
         coalesce(actor_process_file_path, '') AS process,
         CASE WHEN activity_name = 'Time Change' THEN coalesce(unmapped, message, '')
              ELSE coalesce(win_service_name, resource_name, metadata_log_name, '') END AS told,
         CASE WHEN class_uid = 1008 AND activity_id IN (1, 2) THEN 'cleared'
              WHEN class_uid = 1008 AND activity_id IN (7, 10) THEN 'stopped'
              WHEN activity_name = 'Time Change' THEN 'time-change'
              WHEN metadata_log_provider = 'Microsoft-Windows-Windows Defender'
                   AND metadata_event_code IN ('5001', '5010', '5012') THEN 'sensor'
              WHEN metadata_log_provider = 'Service Control Manager' AND metadata_event_code = '7040'
                   AND lower(win_service_name) IN {_SENSORS} THEN 'sensor'
              WHEN source = 'edr_defender' AND metadata_event_code = 'TamperingAttempt' THEN 'sensor'
              WHEN activity_name IN ('Shutdown', 'Shutdown Requested', 'Sleep', 'Standby Enter', 'Unexpected
                Shutdown')
                   THEN 'power'
         END AS kind
  FROM events
  WHERE {_SPAN} AND source <> 'sekisho' AND (class_uid IN (1008, 0, 201004, 6002))
)
WHERE kind IS NOT NULL
"""  # noqa: S608 - constants


class Read(NamedTuple):
    """The three answers over one span of the journal."""

    counts: pa.Table
    runs: pa.Table
    marks: pa.Table


def statements() -> tuple[str, str, str]:
    """SQL of the fields of ``Read``, in their order."""
    return COUNTS, RUNS, MARKS
