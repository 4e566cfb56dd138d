"""RFC 3161 time stamps: an authority says that a checkpoint was there at a time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from cryptography import x509

from sekisho.journal import asking
from sekisho.journal.asking import NotToldError


class BadStampError(Exception):
    """This is no stamp of these bytes by that authority; the text says why."""


def ask(url: str, data: bytes, ca: Path | None) -> bytes:
    """DER of the response over SHA-512 of ``data``; checked first, against ``ca`` if it is named.

    Raises ``NotToldError``.
    """
    from rfc3161_client import TimestampRequestBuilder

    request = TimestampRequestBuilder().data(data).build()
    headers = {"Content-Type": "application/timestamp-query"}
    answer = asking.post(url, request.as_bytes(), headers)
    if answer.status != 200:
        raise NotToldError(f"the time-stamping authority answered {answer.status}")
    try:
        check(answer.body, data, ca, nonce=request.nonce)
    except BadStampError as error:
        raise NotToldError(f"the time-stamping authority's answer is not taken: {error}") from error
    return answer.body


def check(response: bytes, data: bytes, ca: Path | None, *, nonce: int | None = None) -> datetime:
    """Time of a stamp (UTC). Without ``ca`` only that it is of this data; then nothing is proved.

    Raises ``BadStampError``.
    """
    from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

    try:
        stamp = decode_timestamp_response(response)
        info = stamp.tst_info
        digest = info.message_imprint.message
        if nonce is not None and info.nonce != nonce:
            raise BadStampError("another nonce")
        if ca is not None:
            builder = VerifierBuilder()
            for certificate in x509.load_pem_x509_certificates(ca.read_bytes()):
                builder = builder.add_root_certificate(certificate)
            builder.build().verify_message(stamp, data)
        elif digest not in _digests(data):
            raise BadStampError("it stamps other bytes")
    except (VerificationError, ValueError, OSError, TypeError) as error:
        raise BadStampError(str(error)) from error
    return info.gen_time


def _digests(data: bytes) -> tuple[bytes, ...]:
    import hashlib

    return hashlib.sha256(data).digest(), hashlib.sha512(data).digest()
