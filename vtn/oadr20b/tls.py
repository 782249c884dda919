"""TLS as 2.0b wants it: RSA and ECC certificates at one listener, client certificates, and the profile's two suites.

TLS 1.2 or later. `ECDHE-ECDSA-AES128-SHA256` is always offered beside the suites of today; `AES128-SHA256`, the RSA
suite of the profile, has no forward secrecy and is offered only where a setting says so. A file that is missing
refuses to start.
"""

import ssl
from pathlib import Path

from vtn.errors import CannotStart
from vtn.tls import ServerTls, require_readable, trusting

SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256"
OLD_SUITE = ":AES128-SHA256"


def client_tls(
    ca: Path | None, certificate: Path | None, key: Path | None, *, all_ciphers: bool = False
) -> ssl.SSLContext:
    """A VEN's side: it trusts `ca` alone where that is named, and shows its own certificate."""
    context = trusting(ca, certificate, key)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(SUITES + (OLD_SUITE if all_ciphers else ""))
    return context


class TwoCertificateTls(ServerTls):
    """A VTN's side: every client shows a certificate of `client_ca`, and is shown the RSA or the ECC one of ours."""

    def __init__(
        self, pairs: tuple[tuple[Path, Path], ...], client_ca: Path, *, all_ciphers: bool, reload_s: float = 10.0
    ) -> None:
        self._pairs = pairs
        self._suites = SUITES + (OLD_SUITE if all_ciphers else "")
        super().__init__(*pairs[0], client_ca, reload_s=reload_s, must=True)

    def _files(self) -> tuple[Path | None, ...]:
        return *super()._files(), *(path for pair in self._pairs[1:] for path in pair)

    def _load(self) -> ssl.SSLContext:
        context = super()._load()
        for certificate, key in self._pairs[1:]:
            for path in (certificate, key):
                require_readable(path)
            try:
                context.load_cert_chain(certificate, key, password=lambda: b"")
            except (OSError, ValueError) as error:
                raise CannotStart(f"the certificate {certificate} or its key {key} cannot be used: {error}") from None
        context.set_ciphers(self._suites)
        return context
