"""A certificate authority for tests: certificates with the names, and for the time, that a test wants."""

import dataclasses
import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOOPBACK = (x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost"))


@dataclasses.dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM text, and as files."""

    certificate: bytes
    key: bytes
    folder: Path
    name: str

    @property
    def pem(self) -> Path:
        return self.folder / f"{self.name}.pem"

    @property
    def key_file(self) -> Path:
        return self.folder / f"{self.name}.key"

    def write(self) -> Self:
        self.pem.write_bytes(self.certificate)
        self.key_file.write_bytes(self.key)
        return self


class Authority:
    """Signs certificates; its own is in `file`. They are written into `folder`."""

    def __init__(self, folder: Path, name: str = "tests") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key.public_key(), timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.file = folder / f"{name}-ca.pem"
        self.file.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject, public_key, lifetime):
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + lifetime)
        )

    def issue(
        self,
        name: str,
        *alternative: x509.GeneralName,
        server: bool = False,
        both: bool = False,
        lifetime: timedelta = timedelta(days=1),
        kind: str = "ecc",
    ) -> Pair:
        """A certificate with this common name, written as `<name>.pem` and `<name>.key`; with an `ecc` or `rsa` key."""
        key = ec.generate_private_key(ec.SECP256R1()) if kind == "ecc" else rsa.generate_private_key(65_537, 2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] if server else []
        usages += [] if server and not both else [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = self._builder(subject, key.public_key(), lifetime)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        names = [*alternative, *(LOOPBACK if server else ())]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        signed = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return Pair(signed, private, self._folder, name).write()
