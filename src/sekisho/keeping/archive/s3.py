"""An archive in an S3-compatible object store, with Object Lock where the settings ask for it.

Written against the public S3 API (PutObject, CreateMultipartUpload, UploadPart, ListParts, HeadObject,
GetObject,
ListObjectsV2). Each part goes with its SHA-256, which the store compares; afterwards the store's own
checksum is
read back. Objects are never deleted or overwritten: the key needs the rights to put, get and list only, and
PutObjectRetention with Object Lock.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

from sekisho import settings
from sekisho.keeping.archive.placing import Placed, Throttle, Unfinished
from sekisho.keeping.durably import Copied
from sekisho.model import Refused, Retry

#: Bytes of one part; what is smaller goes in one request (S3 takes parts of 5 MiB to 5 GiB, 10,000 at most).
PART = 16 << 20
ATTEMPTS = 6
FIRST_PAUSE = 0.5

#: Answers that another attempt may change.
_PASSING = {
    "SlowDown",
    "InternalError",
    "ServiceUnavailable",
    "RequestTimeout",
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
    "Throttling",
    "OperationAborted",
}
_REMEDIES = {
    "NoSuchBucket": "make the bucket first, with Object Lock if lock_days is set",
    "AccessDenied": "the key needs s3:PutObject, s3:GetObject, s3:ListBucket (s3:PutObjectRetention)",
    "InvalidAccessKeyId": "check the credentials file",
    "SignatureDoesNotMatch": "check the secret in the credentials file and the machine's clock",
    "RequestTimeTooSkewed": "set the machine's clock",
    "InvalidRequest": "is the bucket made with Object Lock? Without it, set lock_days = 0",
    "ObjectLockConfigurationNotFoundError": "make the bucket with Object Lock, or set lock_days = 0",
}


class Credentials(NamedTuple):
    """``token`` only for temporary credentials."""

    key: str
    secret: str
    token: str | None


class S3:
    """See ``placing.Place``. ``now``: the platform's clock; ``sleep`` waits between attempts (seconds).

    ``patience``: seconds without a byte after which a request is given up.
    """

    def __init__(
        self,
        options: settings.Archive,
        credentials: Credentials,
        throttle: Throttle,
        now: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
        patience: float = 60.0,
    ) -> None:
        self._options = options
        self._throttle = throttle
        self._now = now
        self._sleep = sleep
        self._prefix = f"{options.prefix.strip('/')}/" if options.prefix.strip("/") else ""
        self._credentials = credentials
        self._patience = patience

    @cached_property
    def _client(self) -> Any:
        return _client(self._options, self._credentials, self._patience)

    @property
    def name(self) -> str:
        return f"s3:{self._options.endpoint or self._options.region}/{self._options.bucket}/{self._prefix}"

    # -- putting -----------------------------------------------------------------------------------

    def put(self, name: str, path: Path, known: Copied, start: int, unfinished: Unfinished) -> str:
        with path.open("rb") as file:
            if known.size <= PART:
                version, checksum = self._single(name, file, start, known)
            else:
                version, checksum = self._multipart(name, file, start, known, unfinished)
        placed = Placed(name, known.size, known.sha256, version)
        if fault := self._fault(placed, checksum):
            raise Retry(5, f"{name}: after the upload the store has {fault}")
        return version

    def _single(self, name: str, file: IO[bytes], start: int, known: Copied) -> tuple[str, str]:
        file.seek(start)
        body = file.read(known.size)
        checksum = _checksum(body)
        self._throttle.take(len(body))
        answer = self._call(
            "put_object",
            Key=self._prefix + name,
            Body=body,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=checksum,
            Metadata={"sha256": known.sha256},
            **self._lock(),
        )
        _same_md5(name, answer, body)
        return _version(answer), checksum

    def _multipart(
        self, name: str, file: IO[bytes], start: int, known: Copied, unfinished: Unfinished
    ) -> tuple[str, str]:
        key = self._prefix + name
        upload = unfinished.get()
        there = self._parts(key, upload) if upload else None
        if there is None:
            there = {}
            upload = self._call(
                "create_multipart_upload",
                Key=key,
                ChecksumAlgorithm="SHA256",
                Metadata={"sha256": known.sha256},
                **self._lock(),
            )["UploadId"]
            unfinished.set(upload)
        parts, digests = [], []
        file.seek(start)
        for number in range(1, -(-known.size // PART) + 1):
            body = file.read(min(PART, known.size - (number - 1) * PART))
            checksum = _checksum(body)
            tag = _still_there(there.get((number, len(body))), checksum, body)
            if not tag:
                self._throttle.take(len(body))
                answer = self._call(
                    "upload_part",
                    Key=key,
                    UploadId=upload,
                    PartNumber=number,
                    Body=body,
                    ChecksumSHA256=checksum,
                )
                _same_md5(name, answer, body)
                tag = answer["ETag"]
            parts.append({"PartNumber": number, "ETag": tag, "ChecksumSHA256": checksum})
            digests.append(base64.b64decode(checksum))
        answer = self._call(
            "complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
        )
        return _version(answer), f"{_checksum(b''.join(digests))}-{len(parts)}"

    def _parts(self, key: str, upload: str) -> dict[tuple[int, int], dict[str, Any]] | None:
        """By number and size the parts that an interrupted upload left; None: it is gone."""
        found: dict[tuple[int, int], dict[str, Any]] = {}
        marker = 0
        while True:
            try:
                answer = self._call("list_parts", Key=key, UploadId=upload, PartNumberMarker=marker)
            except Refused:
                return None
            for part in answer.get("Parts", []):
                found[part["PartNumber"], part["Size"]] = part
            if not answer.get("IsTruncated"):
                return found
            marker = answer["NextPartNumberMarker"]

    def _lock(self) -> dict[str, Any]:
        if not self._options.lock_days:
            return {}
        until = self._now() + timedelta(days=self._options.lock_days)
        return {"ObjectLockMode": self._options.lock_mode, "ObjectLockRetainUntilDate": until}

    # -- looking -----------------------------------------------------------------------------------

    def check(self, placed: Placed) -> str:
        return self._fault(placed, "")

    def _fault(self, placed: Placed, checksum: str) -> str:
        head = self._head(placed)
        if head is None:
            return "nothing under that name and version"
        if head["ContentLength"] != placed.size:
            return f"{head['ContentLength']} bytes instead of {placed.size}"
        if head.get("Metadata", {}).get("sha256") != placed.sha256:
            return "another SHA-256 in its metadata"
        if checksum and head.get("ChecksumSHA256") != checksum and (fault := self._read_fault(placed)):
            return fault
        return self._lock_fault(head, fresh=bool(checksum))

    def _lock_fault(self, head: dict[str, Any], *, fresh: bool) -> str:
        """Only a fresh object must be locked for the whole time; an old one's lock has been running down."""
        if not self._options.lock_days or not fresh:
            return ""
        until = head.get("ObjectLockRetainUntilDate")
        least = self._now() + timedelta(days=self._options.lock_days) - timedelta(hours=1)
        if until is None or until.astimezone(UTC) < least:
            raise Refused(
                f"{self.name}: the store did not lock the object (retain until: {until or 'not said'})",
                "make the bucket with Object Lock enabled, or set lock_days = 0",
            )
        return ""

    def _read_fault(self, placed: Placed) -> str:
        """For stores that tell no checksum, or one of another kind: the bytes themselves."""
        hashed = hashlib.sha256()

        class _Sink:
            def write(self, part: bytes) -> int:
                hashed.update(part)
                return len(part)

        self.fetch(placed, _Sink(), lambda _: None)  # type: ignore[arg-type]  # only written to
        return "" if hashed.hexdigest() == placed.sha256 else "other bytes"

    def _head(self, placed: Placed) -> dict[str, Any] | None:
        version: dict[str, Any] = {"VersionId": placed.version} if placed.version else {}
        try:
            found: dict[str, Any] = self._call(
                "head_object", Key=self._prefix + placed.name, ChecksumMode="ENABLED", **version
            )
        except _NotThereError:
            return None
        return found

    def fetch(self, placed: Placed, into: IO[bytes], told: Callable[[int], None]) -> None:
        """In ranges of one part each: a cut connection costs one part, and the file goes on from there."""
        version: dict[str, Any] = {"VersionId": placed.version} if placed.version else {}
        at = 0
        while at < placed.size:
            end = min(at + PART, placed.size) - 1
            try:
                body = self._call(
                    "get_object",
                    read=True,
                    Key=self._prefix + placed.name,
                    Range=f"bytes={at}-{end}",
                    **version,
                )
            except _NotThereError as error:
                raise Refused(
                    f"{placed.name} is not in {self.name}", "restore it from another copy"
                ) from error
            if len(body) != end - at + 1:
                raise Refused(
                    f"{placed.name} in {self.name} ends at byte {at + len(body)} instead of {placed.size}",
                    "restore it from another copy",
                )
            self._throttle.take(len(body))
            into.write(body)
            told(len(body))
            at = end + 1

    def size(self, name: str) -> int:
        found = self._head(Placed(name, 0, "", ""))
        if found is None:
            raise Refused(f"{name} is not in {self.name}", "restore it from another copy")
        return int(found["ContentLength"])

    def names(self, before: str) -> Iterator[str]:
        token: dict[str, Any] = {}
        while True:
            answer = self._call("list_objects_v2", Prefix=self._prefix + before, **token)
            for one in answer.get("Contents", []):
                yield str(one["Key"])[len(self._prefix) :]
            if not answer.get("IsTruncated"):
                return
            token = {"ContinuationToken": answer["NextContinuationToken"]}

    # -- asking ------------------------------------------------------------------------------------

    def _call(self, operation: str, *, read: bool = False, **words: Any) -> Any:
        """One request, again with growing pauses while it may help; ``read``: give the body's bytes."""
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
        from urllib3.exceptions import HTTPError

        pause = FIRST_PAUSE
        why = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(pause)
                pause *= 2
            try:
                answer = getattr(self._client, operation)(Bucket=self._options.bucket, **words)
                return answer["Body"].read() if read else answer
            except ClientError as error:
                why = self._judged(operation, error)
            except (HTTPClientError, HTTPError, OSError) as error:
                why = f"{type(error).__name__}: {error}"
            except BotoCoreError as error:
                if "Connect" not in type(error).__name__ and "Checksum" not in type(error).__name__:
                    raise Refused(f"{self.name}: {error}", "check [keep.archive] in sekisho.toml") from error
                why = str(error)
        raise Retry(60, f"{self.name}: {operation} failed {ATTEMPTS} times: {why}")

    def _judged(self, operation: str, error: Any) -> str:
        """Why it failed, if another attempt may help. Raises ``Refused`` or ``_NotThereError`` if not."""
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if operation in {"head_object", "get_object"} and (status == 404 or code == "NoSuchKey"):
            raise _NotThereError from error
        if status >= 500 or status == 429 or code in _PASSING:
            return f"{code or status}"
        raise Refused(
            f"{self.name}: {operation}: {code or status}: {error.response['Error'].get('Message', '')}",
            _REMEDIES.get(code, "see what the object store's log says"),
        ) from error


class _NotThereError(Exception):
    """The object or this version of it does not exist."""


def _client(options: settings.Archive, credentials: Credentials, patience: float) -> Any:
    import boto3  # 0.4 s and 40 MB: only where an object store is used
    from botocore.config import Config

    return boto3.session.Session().client(
        "s3",
        endpoint_url=options.endpoint or None,
        region_name=options.region,
        aws_access_key_id=credentials.key,
        aws_secret_access_key=credentials.secret,
        aws_session_token=credentials.token,
        verify=options.ca_file or None,
        config=Config(
            connect_timeout=min(10.0, patience),
            read_timeout=patience,
            retries={"total_max_attempts": 1},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if options.endpoint else "auto"},
        ),
    )


def _still_there(part: dict[str, Any] | None, checksum: str, body: bytes) -> str:
    """The part's ETag if the store says by checksum or MD5 that it has just these bytes; else empty."""
    if part is None:
        return ""
    tag = str(part["ETag"])
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    return tag if part.get("ChecksumSHA256") == checksum or tag.strip('"') == md5 else ""


def _version(answer: dict[str, Any]) -> str:
    """Empty in a bucket without versions, which some stores call ``null``."""
    version = str(answer.get("VersionId") or "")
    return "" if version == "null" else version


def _checksum(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode("ascii")


def _same_md5(name: str, answer: dict[str, Any], body: bytes) -> None:
    """An ETag is the MD5 of the bytes that arrived unless the store encrypts with keys of its own (S3 API).

    A second witness, for stores that take a checksum without comparing it.
    """
    if str(answer.get("ServerSideEncryption", "")).startswith("aws:kms") or "SSECustomerAlgorithm" in answer:
        return
    tag = str(answer.get("ETag", "")).strip('"')
    if len(tag) == 32 and tag != hashlib.md5(body, usedforsecurity=False).hexdigest():
        raise Retry(5, f"{name}: other bytes arrived than were sent")
