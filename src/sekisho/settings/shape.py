"""What ``sekisho.toml`` may say. Secrets are never written here: only where they are found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=0, le=65535)]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Tls(_Section, frozen=True):
    """Server certificate; with ``client_ca`` a client certificate may stand for a token (mutual TLS)."""

    certificate: str
    key: str
    client_ca: str = ""


class Collect(_Section, frozen=True):
    """Receivers. A port of 0 switches the receiver off; ``host`` is the address to listen on."""

    host: str = "127.0.0.1"
    http_port: Port = 8088
    syslog_udp_port: Port = 5514
    syslog_tcp_port: Port = 5514
    syslog_tls_port: Port = 0
    tls: Tls | None = None
    #: bytes of one request after decompression
    max_body: Annotated[int, Meta(ge=1024)] = 64 * 1024 * 1024
    #: bytes of one record
    max_record: Annotated[int, Meta(ge=1024)] = 1024 * 1024
    #: seconds in which a request must have arrived whole
    read_timeout: Annotated[float, Meta(gt=0)] = 30.0
    max_connections: Annotated[int, Meta(ge=1)] = 2000
    #: refuse (503) when less than this many bytes are free on the disk
    min_free: int = 512 * 1024 * 1024
    #: addresses from which plain syslog is taken (CIDR); empty = any
    syslog_allow: tuple[str, ...] = ()
    segment_bytes: Annotated[int, Meta(ge=4096)] = 128 * 1024 * 1024


class Pipeline(_Section, frozen=True):
    """``batch_records``: upper bound of one micro-batch; ``linger``: seconds to wait for a fuller one."""

    batch_records: Annotated[int, Meta(ge=1, le=200_000)] = 20_000
    linger: Annotated[float, Meta(ge=0, le=30)] = 1.0
    #: the same batch crashes so many times before it is halved
    crashes: Annotated[int, Meta(ge=1)] = 3


class Lake(_Section, frozen=True):
    merge_files: Annotated[int, Meta(ge=2)] = 64
    #: hours after the end of a day (UTC) until its events move to the cold tier; 0 = never
    compact_after: Annotated[float, Meta(ge=0, le=8760)] = 6.0
    #: days with fewer events stay in the hot tier
    compact_rows: Annotated[int, Meta(ge=1)] = 20_000
    duckdb_memory: str = "256MB"
    duckdb_threads: Annotated[int, Meta(ge=1)] = 2


class Network(_Section, frozen=True):
    """A list of address ranges (one CIDR per line) or AS numbers (``AS64500`` per line)."""

    path: str
    net_class: Literal["vpn", "tor", "relay", "hosting", "satellite", "mobile", "fixed"]
    name: str


class Enrich(_Section, frozen=True):
    """MMDB files in MaxMind's format and lists of networks; none is needed to start."""

    country_mmdb: str = ""
    asn_mmdb: str = ""
    networks: tuple[Network, ...] = ()


class Webhook(_Section, frozen=True):
    """``url_file``: a file that holds the URL (it is a secret), readable by the owner only."""

    url_file: str
    language: Literal["ja", "en"] = "ja"
    min_severity: Literal["low", "medium", "high", "critical"] = "medium"


class Mail(_Section, frozen=True):
    host: str
    sender: str
    to: tuple[str, ...]
    port: Port = 587
    language: Literal["ja", "en"] = "ja"
    min_severity: Literal["low", "medium", "high", "critical"] = "medium"
    starttls: bool = True
    user: str = ""
    password_file: str = ""


class Notify(_Section, frozen=True):
    webhooks: tuple[Webhook, ...] = ()
    mail: tuple[Mail, ...] = ()
    #: put before the path of an alert in links
    console_url: str = ""


class Settings(_Section, frozen=True):
    """All of it. ``data`` is the folder it was read from."""

    data: Path = Path()
    language: Literal["ja", "en"] = "ja"
    zone: str = "Asia/Tokyo"
    collect: Collect = Collect()
    pipeline: Pipeline = Pipeline()
    lake: Lake = Lake()
    enrich: Enrich = Enrich()
    notify: Notify = Notify()

    @property
    def journal_dir(self) -> Path:
        return self.data / "journal"

    @property
    def lake_dir(self) -> Path:
        return self.data / "lake"

    @property
    def context_dir(self) -> Path:
        return self.data / "context"

    @property
    def secrets_dir(self) -> Path:
        return self.data / "secrets"

    @property
    def run_dir(self) -> Path:
        return self.data / "run"

    @property
    def console_db(self) -> Path:
        return self.data / "console.sqlite3"
