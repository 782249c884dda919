"""Two small certificate authorities: one for development, one for the bundled broker's clients.

The first is enough TLS to work on one machine and never for production, where certificates come from an authority that
clients know already. The second signs what `/notifiers` hands to each client when the broker asks for certificates
(MQTT-09); only the broker beside this VTN trusts it. Nothing here knows of HTTP, MQTT or the database.
"""

import dataclasses
import ipaddress
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vtn.errors import CannotStart
from vtn.privatefiles import private_folder

ROOT_DAYS = 3650
SERVER_DAYS = 397
BACKDATE = timedelta(hours=1)
RENEWED_BEFORE = timedelta(days=SERVER_DAYS)
LONGEST_COMMON_NAME = 64
DEVELOPMENT, CLIENTS = "EVTN development authority", "EVTN broker clients"


@dataclasses.dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key, as PEM text."""

    certificate: str
    key: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    """Whom a client certificate names: the client, which of its secrets it was issued under, and when it dies."""

    client_id: str
    generation: str
    expires_at_s: float


def make_development_certificates(folder: Path, hosts: Sequence[str], now: datetime) -> list[Path]:
    """Write `ca.pem`, `server.pem` and `server.key` into a folder for these host names; the list of files written.

    An existing authority is kept, so that clients that trust it need no change; `ca.key` never leaves the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ca_key, ca = _authority(folder, DEVELOPMENT, now)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name("EVTN development server"), ca.subject, key.public_key(), now, timedelta(days=SERVER_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    chain = [part.public_bytes(serialization.Encoding.PEM) for part in (certificate, ca)]
    (folder / "server.pem").write_bytes(b"".join(chain))
    _write_key(folder / "server.key", key)
    return [folder / "ca.pem", folder / "server.pem", folder / "server.key"]


class ClientAuthority:
    """Signs certificates for the broker's clients. Its key stays in its folder; `ca.pem` is what the broker trusts."""

    def __init__(self, folder: Path, now: datetime) -> None:
        private_folder(folder)
        self.path = folder / "ca.pem"
        try:
            self._key, self._certificate = _authority(folder, CLIENTS, now)
        except ValueError:
            raise CannotStart(
                f"{folder} does not hold a certificate authority; remove it and it is made anew"
            ) from None

    def issue(self, client_id: str, generation: str, now: datetime, lifetime: timedelta) -> Issued:
        """A certificate for a client and a new private key, which nobody else keeps.

        The common name is the clientID, as brokers expect; X.520 lets it have 64 characters, a clientID may have more.
        So the identity is read from the user id, which has no such bound, and a longer clientID has no common name.
        """
        names = [x509.NameAttribute(NameOID.USER_ID, client_id), x509.NameAttribute(NameOID.SERIAL_NUMBER, generation)]
        if len(client_id) <= LONGEST_COMMON_NAME:
            names.append(x509.NameAttribute(NameOID.COMMON_NAME, client_id))
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(x509.Name(names), self._certificate.subject, key.public_key(), now, lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Issued(certificate.public_bytes(serialization.Encoding.PEM).decode(), _private_pem(key).decode())


def holder(certificate: str) -> Holder:
    """Whom a PEM certificate names, its signature unchecked; ValueError when the client authority makes no such."""
    read = x509.load_pem_x509_certificate(certificate.encode())
    client_id, generation = (
        read.subject.get_attributes_for_oid(name) for name in (NameOID.USER_ID, NameOID.SERIAL_NUMBER)
    )
    if len(client_id) != 1 or len(generation) != 1:
        raise ValueError("the certificate names no client")
    return Holder(str(client_id[0].value), str(generation[0].value), read.not_valid_after_utc.timestamp())


def trust_anchor(chain: Path) -> str:
    """The last certificate of a PEM file, which is the highest that a chain shows; CannotStart without one."""
    try:
        certificates = x509.load_pem_x509_certificates(chain.read_bytes())
    except (OSError, ValueError) as error:
        raise CannotStart(f"{chain} does not hold a certificate: {error}") from None
    return certificates[-1].public_bytes(serialization.Encoding.PEM).decode()


def _authority(folder: Path, subject: str, now: datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """The authority in a folder; made when there is none, or when the one there has little time left."""
    key_path, certificate_path = folder / "ca.key", folder / "ca.pem"
    if key_path.exists() and certificate_path.exists():
        held = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        if isinstance(held, ec.EllipticCurvePrivateKey) and certificate.not_valid_after_utc > now + RENEWED_BEFORE:
            return held, certificate
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(subject)
    certificate = (
        _builder(name, name, key.public_key(), now, timedelta(days=ROOT_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_signing_only(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    _write_key(key_path, key)
    return key, certificate


def _signing_only() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + lifetime)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_private_pem(key))


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
