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
    #: seconds in which a request, or a syslog message from its first byte, must have arrived whole
    read_timeout: Annotated[float, Meta(gt=0)] = 30.0
    #: connections at a time, of each listener (HTTP, syslog over TCP, syslog over TLS)
    max_connections: Annotated[int, Meta(ge=1)] = 2000
    #: of these, syslog connections of one sender (IPv4 address or IPv6 /64)
    max_connections_of_peer: Annotated[int, Meta(ge=1)] = 100
    #: bytes of unfinished syslog messages of all senders together
    max_unfinished: Annotated[int, Meta(ge=4096)] = 64 * 1024 * 1024
    #: refuse (503) when less than this many bytes are free on the disk
    min_free: int = 512 * 1024 * 1024
    #: addresses from which plain syslog is taken (CIDR); empty = any
    syslog_allow: tuple[str, ...] = ()
    segment_bytes: Annotated[int, Meta(ge=4096)] = 128 * 1024 * 1024


class Pipeline(_Section, frozen=True):
    """``batch_records``: upper bound of one micro-batch; ``linger``: seconds to wait for a fuller one."""

    batch_records: Annotated[int, Meta(ge=1, le=200_000)] = 20_000
    linger: Annotated[float, Meta(ge=0, le=30)] = 1.0
    #: the same batch crashes so many times before it is halved, and one record before it is rejected
    crashes: Annotated[int, Meta(ge=1)] = 3
    #: seconds between two looks for what is absent (silence, missing numbers, stopped sensors)
    absence_every: Annotated[float, Meta(ge=1)] = 60.0


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


Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class SealFile(_Section, frozen=True):
    """Checkpoints appended to a file: on another mount, or on media that are written once."""

    name: Name
    path: str


class SealWebhook(_Section, frozen=True):
    """Checkpoints posted as JSON. ``url_file``: holds the URL, readable by the owner only."""

    name: Name
    url_file: str
    ca: str = ""


class SealSyslog(_Section, frozen=True):
    """Checkpoints as RFC 5424 messages over TCP, with TLS unless ``tls`` is false."""

    name: Name
    host: str
    port: Port = 6514
    tls: bool = True
    ca: str = ""


class SealWitness(_Section, frozen=True):
    """A witness (C2SP tlog-witness), such as another Sekisho: ``url`` is what stands before
    ``/add-checkpoint``, ``vkey`` its key, ``token_file`` holds the token that it gave us."""

    name: Name
    url: str
    vkey: str
    token_file: str = ""
    ca: str = ""


class Seal(_Section, frozen=True):
    """How the journal is sealed, and who is told of it."""

    #: seconds; at most so long are new logs without a checkpoint
    interval: Annotated[float, Meta(ge=1, le=60)] = 60.0
    #: name of this log in its checkpoints; taken at the first start; empty: made from the host's name
    origin: str = ""
    #: private key, e.g. a systemd credential; empty: secrets/seal.key in the data folder
    key_file: str = ""
    files: tuple[SealFile, ...] = ()
    webhooks: tuple[SealWebhook, ...] = ()
    syslog: tuple[SealSyslog, ...] = ()
    witnesses: tuple[SealWitness, ...] = ()
    #: time-stamping authority (RFC 3161); empty: no stamps
    tsa_url: str = ""
    #: certificates (PEM) that the authority's signature must lead to
    tsa_ca: str = ""
    #: seconds between two stamps
    tsa_interval: Annotated[float, Meta(ge=1)] = 3600.0


class WitnessLog(_Section, frozen=True):
    """A log that may be cosigned: its verifier key (the origin is the key's name)."""

    vkey: str


class Witness(_Section, frozen=True):
    """Being a witness for others, at ``/witness/add-checkpoint`` of the HTTP receiver, with a token."""

    #: name in the cosignatures; empty: made from the host's name at the first start
    name: str = ""
    logs: tuple[WitnessLog, ...] = ()


class KeepSource(_Section, frozen=True):
    """Another period for one source; what is left out is as for all."""

    source: str
    hot_days: Annotated[int, Meta(ge=1, le=36_500)] | None = None
    journal_years: Annotated[float, Meta(gt=0, le=100)] | None = None


class Archive(_Section, frozen=True):
    """Where sealed journal segments are copied to: ``folder`` (another mount) or ``bucket``
    (S3-compatible)."""

    #: a folder on another disk or machine
    folder: str = ""
    #: an S3 bucket; with Object Lock if `lock_days` is set
    bucket: str = ""
    #: URL of the object store; empty: the region's own of AWS
    endpoint: str = ""
    region: str = "us-east-1"
    #: put before each key in the bucket
    prefix: str = "sekisho"
    #: file with `aws_access_key_id` and `aws_secret_access_key` (as the AWS tools write it), readable by the
    #: owner only; empty: from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)
    credentials_file: str = ""
    #: certificate authorities for the endpoint (PEM file); empty: the usual ones
    ca_file: str = ""
    lock_mode: Literal["GOVERNANCE", "COMPLIANCE"] = "GOVERNANCE"
    #: days for which the object store refuses to delete a segment; 0: no Object Lock is asked for
    lock_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    #: megabytes per second at most; 0: as fast as it goes
    rate_mb: Annotated[float, Meta(ge=0)] = 0.0
    #: days after which a segment that is archived and confirmed leaves this machine; 0: it stays its
    #: whole period
    local_days: Annotated[int, Meta(ge=0, le=36_500)] = 0


class Keep(_Section, frozen=True):
    """How long logs are kept. Nothing that a legal hold covers is deleted (`sekisho hold`)."""

    #: days for which events can be searched
    hot_days: Annotated[int, Meta(ge=1, le=36_500)] = 400
    #: years for which the journal (every record as received) stays
    journal_years: Annotated[float, Meta(gt=0, le=100)] = 7.0
    sources: tuple[KeepSource, ...] = ()
    archive: Archive | None = None


class Role(_Section, frozen=True):
    """What some people may ask the store. The first role that names a person counts.

    ``users``, ``groups``  of the operating system, by name or number; who asks is told by the kernel
    ``sources``            source ids that are seen; empty = all
    ``longest_days``       longest stretch of time of one question; 0 = any
    """

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    #: the records as received (raw) and what the mapping left over (unmapped)
    raw: bool = False
    sql: bool = False
    #: files with all rows; without it a question gives at most 1,000
    export: bool = False
    hunt: bool = False
    longest_days: Annotated[int, Meta(ge=0)] = 0


class Access(_Section, frozen=True):
    """Who else may ask the store than the owner of the data folder, who may everything (role admin).

    With a role named, `sekisho up` answers questions on a Unix socket for those who cannot read the folder.
    """

    roles: tuple[Role, ...] = ()
    #: each question must say what for (--purpose or --case)
    require_purpose: bool = False
    #: where to answer; empty = ask/ask.sock in the data folder's ``run``
    socket: str = ""


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
    seal: Seal = Seal()
    witness: Witness = Witness()

    @property
    def seal_key(self) -> Path:
        return self.data / self.seal.key_file if self.seal.key_file else self.secrets_dir / "seal.key"

    keep: Keep = Keep()
    access: Access = Access()

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
    def keeping_dir(self) -> Path:
        return self.data / "keeping"

    @property
    def run_dir(self) -> Path:
        return self.data / "run"

    @property
    def console_db(self) -> Path:
        return self.data / "console.sqlite3"
