"""Certificates for servers that tests start."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate(ca: Path) -> Path:
    """Make an authority and a certificate of 127.0.0.1 that it signs.

    Args:
        ca: where the authority's own certificate is written.

    Returns:
        A file beside it, with the key and certificate of the server.
    """
    root, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority of {ca.parent.name}")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    is_authority = x509.BasicConstraints(ca=True, path_length=None)
    of_root = _unsigned(issuer, issuer, root).add_extension(is_authority, critical=True).sign(root, hashes.SHA256())
    signed = _unsigned(subject, issuer, server).add_extension(here, critical=False).sign(root, hashes.SHA256())
    ca.write_bytes(of_root.public_bytes(serialization.Encoding.PEM))
    key = server.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = ca.with_name("server.pem")
    file.write_bytes(key + signed.public_bytes(serialization.Encoding.PEM))
    return file


def _unsigned(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    return builder.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + dt.timedelta(days=1))
