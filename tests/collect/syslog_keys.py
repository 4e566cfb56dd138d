"""A throw-away certificate authority with a server and a client certificate."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Keys(NamedTuple):
    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def make_keys(folder: Path) -> Keys:
    """CA ``Example CA``; server ``localhost``/127.0.0.1; client CN ``shipper-01.example.jp``."""
    now = datetime.now(UTC)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def issue(subject: str, issuer: str, signer: ec.EllipticCurvePrivateKey | None) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName(
                    [
                        x509.DNSName(subject.replace(" ", "-")),
                        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
                    ]
                ),
                critical=False,
            )
        )
        signed = builder.sign(signer or key, hashes.SHA256())
        certificate, private = folder / f"{subject}.pem", folder / f"{subject}.key"
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        if signer is None:
            signers.append(key)
        return certificate, private

    signers: list[ec.EllipticCurvePrivateKey] = []
    ca, _ = issue("Example CA", "Example CA", None)
    server = issue("localhost", "Example CA", signers[0])
    client = issue("shipper-01.example.jp", "Example CA", signers[0])
    return Keys(ca, *server, *client)
